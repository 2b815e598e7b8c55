WITH counts AS (
    SELECT usage_start, namespace, count(DISTINCT persistentvolumeclaim) AS claims
    FROM base
    WHERE persistentvolumeclaim IS NOT NULL
    GROUP BY usage_start, namespace
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
    claim_groups.volume_labels,
    claim_groups.volume_labels AS all_labels,
    claim_groups.cost_category_id,
    rates.cost_type AS cost_model_rate_type,
    rates.monthly_cost_type,
    rates.metric,
    rates.rate AS unit_rate,
    1 / counts.claims / $days_in_month AS quantity,
    'volume' AS target
FROM claim_groups
INNER JOIN counts
    ON counts.usage_start = claim_groups.usage_start AND counts.namespace IS NOT DISTINCT FROM claim_groups.namespace
CROSS JOIN monthly_rates AS rates
LEFT JOIN replaced
    ON
        replaced.labels = claim_groups.volume_labels
        AND replaced.metric = rates.metric
        AND replaced.cost_type = rates.cost_type
WHERE replaced.labels IS NULL
