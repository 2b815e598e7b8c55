SELECT
    usage_groups.usage_start,
    usage_groups.data_source,
    usage_groups.namespace,
    usage_groups.node,
    usage_groups.resource_id,
    usage_groups.persistentvolumeclaim,
    usage_groups.persistentvolume,
    usage_groups.storageclass,
    usage_groups.pod_labels,
    usage_groups.volume_labels,
    usage_groups.all_labels,
    usage_groups.cost_category_id,
    usage_groups.node_capacity_cpu_cores,
    usage_groups.node_capacity_cpu_core_hours,
    usage_groups.node_capacity_memory_gigabytes,
    usage_groups.node_capacity_memory_gigabyte_hours,
    usage_groups.cluster_capacity_cpu_core_hours,
    usage_groups.cluster_capacity_memory_gigabyte_hours,
    rates.cost_type AS cost_model_rate_type,
    usage_groups.usage_cpu * rates.cpu_core_usage_per_hour
    + usage_groups.request_cpu * rates.cpu_core_request_per_hour
    + usage_groups.effective_cpu * rates.cpu_core_effective_usage_per_hour
    + usage_groups.node_core_hours * (rates.node_core_cost_per_hour + rates.cluster_core_cost_per_hour)
    + CASE WHEN $weight = 'memory' THEN 0 ELSE usage_groups.cluster_hours * rates.cluster_cost_per_hour END
        AS cost_model_cpu_cost,
    usage_groups.usage_memory * rates.memory_gb_usage_per_hour
    + usage_groups.request_memory * rates.memory_gb_request_per_hour
    + usage_groups.effective_memory * rates.memory_gb_effective_usage_per_hour
    + CASE WHEN $weight = 'memory' THEN usage_groups.cluster_hours * rates.cluster_cost_per_hour ELSE 0 END
        AS cost_model_memory_cost,
    usage_groups.usage_storage * rates.storage_gb_usage_per_month
    + usage_groups.request_storage * rates.storage_gb_request_per_month AS cost_model_volume_cost
FROM usage_groups
CROSS JOIN usage_rates AS rates
