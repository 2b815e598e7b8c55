WITH considered AS (
    SELECT *
    FROM project_days
    WHERE namespace NOT IN ('Storage unattributed', 'Network unattributed') AND NOT is_platform
),

pools AS (
    SELECT
        usage_start,
        CAST(sum(CAST(cost AS DECIMAL(38, 15))) FILTER (WHERE namespace = 'Worker unallocated') AS DOUBLE) AS pool,
        CAST(sum(CAST(weight AS DECIMAL(38, 15))) FILTER (WHERE namespace <> 'Worker unallocated') AS DOUBLE) AS weight
    FROM considered
    GROUP BY usage_start
    HAVING sum(weight) FILTER (WHERE namespace <> 'Worker unallocated') > 0
),

pods AS (
    SELECT
        usage_start,
        node,
        namespace,
        'Pod' AS data_source,
        max(cost_category_id) AS cost_category_id,
        max(resource_id) AS resource_id,
        max(node_capacity_cpu_cores) AS node_capacity_cpu_cores,
        max(node_capacity_cpu_core_hours) AS node_capacity_cpu_core_hours,
        max(node_capacity_memory_gigabytes) AS node_capacity_memory_gigabytes,
        max(node_capacity_memory_gigabyte_hours) AS node_capacity_memory_gigabyte_hours,
        max(cluster_capacity_cpu_core_hours) AS cluster_capacity_cpu_core_hours,
        max(cluster_capacity_memory_gigabyte_hours) AS cluster_capacity_memory_gigabyte_hours,
        CAST(sum(CAST(weight AS DECIMAL(38, 15))) AS DOUBLE) AS weight,
        CAST(sum(CAST(cost AS DECIMAL(38, 15))) AS DOUBLE) AS cost
    FROM considered
    WHERE data_source = 'Pod'
    GROUP BY usage_start, node, namespace
)

SELECT
    pods.* EXCLUDE (cost, weight),
    'worker_distributed' AS cost_model_rate_type,
    pools.pool AS pool_cost,
    CASE WHEN pods.namespace <> 'Worker unallocated' THEN pods.weight / pools.weight END AS share,
    CASE
        WHEN pods.namespace = 'Worker unallocated' THEN -pods.cost
        ELSE pods.weight / pools.weight * pools.pool
    END AS distributed_cost
FROM pods
INNER JOIN pools ON pools.usage_start = pods.usage_start
WHERE pools.pool IS NOT NULL
