WITH cost_rows AS (
    SELECT
        usage_start,
        node,
        namespace,
        cost_category_id,
        data_source,
        resource_id,
        node_capacity_cpu_cores,
        node_capacity_cpu_core_hours,
        node_capacity_memory_gigabytes,
        node_capacity_memory_gigabyte_hours,
        cluster_capacity_cpu_core_hours,
        cluster_capacity_memory_gigabyte_hours,
        raw_currency,
        weight,
        coalesce(infrastructure_raw_cost, 0) + coalesce(infrastructure_markup_cost, 0) AS cost
    FROM base
    UNION ALL BY NAME
    SELECT
        usage_start,
        node,
        namespace,
        cost_category_id,
        data_source,
        coalesce(cost_model_cpu_cost, 0)
        + coalesce(cost_model_memory_cost, 0)
        + coalesce(cost_model_volume_cost, 0) AS cost
    FROM usage_rows
    UNION ALL BY NAME
    SELECT
        usage_start,
        node,
        namespace,
        cost_category_id,
        data_source,
        resource_id,
        node_capacity_cpu_cores,
        node_capacity_cpu_core_hours,
        node_capacity_memory_gigabytes,
        node_capacity_memory_gigabyte_hours,
        cluster_capacity_cpu_core_hours,
        cluster_capacity_memory_gigabyte_hours,
        quantity * unit_rate AS cost
    FROM charges
    WHERE target <> 'gpu' AND quantity * unit_rate <> 0
)

SELECT
    usage_start,
    node,
    namespace,
    cost_category_id,
    data_source,
    cost_category_id IS NOT DISTINCT FROM $platform AND $platform IS NOT NULL AS is_platform,
    max(resource_id) AS resource_id,
    max(node_capacity_cpu_cores) AS node_capacity_cpu_cores,
    max(node_capacity_cpu_core_hours) AS node_capacity_cpu_core_hours,
    max(node_capacity_memory_gigabytes) AS node_capacity_memory_gigabytes,
    max(node_capacity_memory_gigabyte_hours) AS node_capacity_memory_gigabyte_hours,
    max(cluster_capacity_cpu_core_hours) AS cluster_capacity_cpu_core_hours,
    max(cluster_capacity_memory_gigabyte_hours) AS cluster_capacity_memory_gigabyte_hours,
    max(raw_currency) AS raw_currency,
    CAST(sum(CAST(weight AS DECIMAL(38, 15))) AS DOUBLE) AS weight,
    CAST(sum(CAST(coalesce(cost, 0) AS DECIMAL(38, 15))) AS DOUBLE) AS cost
FROM cost_rows
WHERE namespace IS NOT NULL
GROUP BY usage_start, node, namespace, cost_category_id, data_source
