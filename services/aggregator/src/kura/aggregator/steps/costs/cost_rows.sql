WITH given AS (
    SELECT * FROM usage_rows
    UNION ALL BY NAME
    SELECT
        * EXCLUDE (metric, tag_key, tag_value, rate_id, custom_name, unit_rate, quantity, target),
        CASE target WHEN 'cpu' THEN quantity * unit_rate ELSE 0 END AS cost_model_cpu_cost,
        CASE target WHEN 'memory' THEN quantity * unit_rate ELSE 0 END AS cost_model_memory_cost,
        CASE target WHEN 'volume' THEN quantity * unit_rate ELSE 0 END AS cost_model_volume_cost,
        CASE target WHEN 'gpu' THEN quantity * unit_rate END AS cost_model_gpu_cost
    FROM charges
    UNION ALL BY NAME
    SELECT * EXCLUDE (pool_cost, share) FROM distributed WHERE distributed_cost <> 0
)

SELECT
    given.usage_start,
    given.usage_start AS usage_end,
    constants.report_period_id,
    constants.cluster_id,
    constants.cluster_alias,
    constants.source_uuid,
    given.data_source,
    given.namespace,
    given.node,
    given.resource_id,
    postgresql_jsonb(given.pod_labels) AS pod_labels,
    postgresql_jsonb(given.volume_labels) AS volume_labels,
    postgresql_jsonb(given.all_labels) AS all_labels,
    CAST(given.node_capacity_cpu_cores AS DECIMAL(33, 15)) AS node_capacity_cpu_cores,
    CAST(given.node_capacity_cpu_core_hours AS DECIMAL(33, 15)) AS node_capacity_cpu_core_hours,
    CAST(given.node_capacity_memory_gigabytes AS DECIMAL(33, 15)) AS node_capacity_memory_gigabytes,
    CAST(given.node_capacity_memory_gigabyte_hours AS DECIMAL(33, 15)) AS node_capacity_memory_gigabyte_hours,
    CAST(given.cluster_capacity_cpu_core_hours AS DECIMAL(33, 15)) AS cluster_capacity_cpu_core_hours,
    CAST(given.cluster_capacity_memory_gigabyte_hours AS DECIMAL(33, 15)) AS cluster_capacity_memory_gigabyte_hours,
    given.persistentvolumeclaim,
    given.persistentvolume,
    given.storageclass,
    given.cost_category_id,
    given.cost_model_rate_type,
    given.monthly_cost_type,
    CAST(given.cost_model_cpu_cost AS DECIMAL(33, 15)) AS cost_model_cpu_cost,
    CAST(given.cost_model_memory_cost AS DECIMAL(33, 15)) AS cost_model_memory_cost,
    CAST(given.cost_model_volume_cost AS DECIMAL(33, 15)) AS cost_model_volume_cost,
    CAST(given.cost_model_gpu_cost AS DECIMAL(33, 15)) AS cost_model_gpu_cost,
    CAST(given.distributed_cost AS DECIMAL(33, 15)) AS distributed_cost,
    given.raw_currency
FROM given
CROSS JOIN constants
WHERE hash(given.namespace, given.node) % constants.parts = constants.part
ORDER BY given.usage_start, given.namespace, given.node
