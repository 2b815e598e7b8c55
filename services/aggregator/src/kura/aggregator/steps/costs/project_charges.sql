WITH labelled AS (
    SELECT DISTINCT
        CAST(interval_start AS DATE) AS usage_start,
        namespace,
        labels_text(label_entries(namespace_labels)) AS labels
    FROM namespace_labels_daily
    WHERE
        interval_start >= $start
        AND interval_start < $after
        AND namespace NOT LIKE 'kube-%'
        AND namespace NOT LIKE 'openshift-%'
        AND namespace <> 'openshift'
),

entries AS (
    SELECT labels, unnest(label_entries(labels)) AS entry
    FROM (SELECT DISTINCT labels FROM labelled WHERE labels IS NOT NULL)
),

keys AS (
    SELECT DISTINCT cost_type, tag_key FROM project_rates
),

rates AS (
    SELECT
        entries.labels,
        keys.cost_type,
        keys.tag_key,
        entries.entry.value AS tag_value,
        coalesce(listed.rate, usual.rate) AS rate,
        coalesce(listed.rate_id, usual.rate_id) AS rate_id,
        coalesce(listed.custom_name, usual.custom_name) AS custom_name
    FROM entries
    INNER JOIN keys ON keys.tag_key = entries.entry.key
    LEFT JOIN project_rates AS listed
        ON
            listed.cost_type = keys.cost_type
            AND listed.tag_key = keys.tag_key
            AND listed.tag_value = entries.entry.value
    LEFT JOIN project_rates AS usual
        ON usual.cost_type = keys.cost_type AND usual.tag_key = keys.tag_key AND usual.is_default
),

places AS (
    SELECT usage_start, namespace, node, max(resource_id) AS resource_id
    FROM base
    WHERE node IS NOT NULL
    GROUP BY usage_start, namespace, node
),

charged AS (
    SELECT
        labelled.usage_start,
        labelled.namespace,
        labelled.labels,
        places.node,
        places.resource_id,
        rates.* EXCLUDE (labels),
        count(places.node) OVER (
            PARTITION BY labelled.usage_start, labelled.namespace, rates.cost_type, rates.tag_key
        ) AS nodes
    FROM labelled
    INNER JOIN rates ON rates.labels = labelled.labels
    LEFT JOIN places ON places.usage_start = labelled.usage_start AND places.namespace = labelled.namespace
    WHERE rates.rate IS NOT NULL
)

SELECT
    usage_start,
    'Pod' AS data_source,
    namespace,
    node,
    resource_id,
    labels AS pod_labels,
    labels AS all_labels,
    cost_type AS cost_model_rate_type,
    'Tag' AS monthly_cost_type,
    'project_per_month' AS metric,
    tag_key,
    tag_value,
    rate_id,
    custom_name,
    rate AS unit_rate,
    1 / greatest(nodes, 1) / $days_in_month AS quantity,
    'cpu' AS target
FROM charged
WHERE rate <> 0
