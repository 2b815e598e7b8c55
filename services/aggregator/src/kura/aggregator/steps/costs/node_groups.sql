SELECT
    usage_start,
    node,
    namespace,
    pod_labels,
    cost_category_id,
    max(resource_id) AS resource_id,
    max(node_capacity_cpu_cores) AS node_capacity_cpu_cores,
    max(node_capacity_cpu_core_hours) AS node_capacity_cpu_core_hours,
    max(node_capacity_memory_gigabytes) AS node_capacity_memory_gigabytes,
    max(node_capacity_memory_gigabyte_hours) AS node_capacity_memory_gigabyte_hours,
    max(cluster_capacity_cpu_core_hours) AS cluster_capacity_cpu_core_hours,
    max(cluster_capacity_memory_gigabyte_hours) AS cluster_capacity_memory_gigabyte_hours,
    CAST(sum(CAST(weight AS DECIMAL(38, 15))) AS DOUBLE) AS used,
    max(node_weight) AS node_weight,
    max(cluster_weight) AS cluster_weight,
    CAST(sum(CAST(pod_effective_usage_cpu_core_hours AS DECIMAL(38, 15))) AS DOUBLE) AS effective_cpu
FROM base
WHERE
    data_source = 'Pod'
    AND namespace IS NOT NULL
    AND node_capacity_cpu_core_hours <> 0
    AND cluster_capacity_cpu_core_hours <> 0
GROUP BY usage_start, node, namespace, pod_labels, cost_category_id
