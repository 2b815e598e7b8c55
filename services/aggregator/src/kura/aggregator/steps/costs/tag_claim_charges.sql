WITH rates AS (
    SELECT * FROM label_rates WHERE metric = 'pvc_cost_per_month'
),

counts AS (
    SELECT
        base.usage_start,
        base.namespace,
        rates.cost_type,
        rates.tag_key,
        count(DISTINCT base.persistentvolumeclaim) AS claims
    FROM base
    INNER JOIN rates ON rates.labels = base.volume_labels
    WHERE base.persistentvolumeclaim IS NOT NULL
    GROUP BY base.usage_start, base.namespace, rates.cost_type, rates.tag_key
)

SELECT
    claim_groups.usage_start,
    'Storage' AS data_source,
    claim_groups.namespace,
    claim_groups.node,
    claim_groups.resource_id,
    claim_groups.persistentvolumeclaim,
    claim_groups.persistentvolume,
    claim_groups.storageclass,
    rates.own_label AS volume_labels,
    rates.own_label AS all_labels,
    claim_groups.cost_category_id,
    rates.cost_type AS cost_model_rate_type,
    rates.monthly_cost_type,
    rates.metric,
    rates.tag_key,
    rates.tag_value,
    rates.rate_id,
    rates.custom_name,
    rates.rate AS unit_rate,
    1 / counts.claims / $days_in_month AS quantity,
    'volume' AS target
FROM claim_groups
INNER JOIN rates ON rates.labels = claim_groups.volume_labels
INNER JOIN counts
    ON
        counts.usage_start = claim_groups.usage_start
        AND counts.namespace IS NOT DISTINCT FROM claim_groups.namespace
        AND counts.cost_type = rates.cost_type
        AND counts.tag_key = rates.tag_key
WHERE rates.rate <> 0
