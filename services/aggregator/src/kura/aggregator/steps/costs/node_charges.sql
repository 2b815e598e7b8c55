SELECT
    node_groups.usage_start,
    'Pod' AS data_source,
    node_groups.namespace,
    node_groups.node,
    node_groups.resource_id,
    node_groups.pod_labels,
    node_groups.pod_labels AS all_labels,
    node_groups.cost_category_id,
    node_groups.node_capacity_cpu_cores,
    node_groups.node_capacity_cpu_core_hours,
    node_groups.node_capacity_memory_gigabytes,
    node_groups.node_capacity_memory_gigabyte_hours,
    node_groups.cluster_capacity_cpu_core_hours,
    node_groups.cluster_capacity_memory_gigabyte_hours,
    rates.cost_type AS cost_model_rate_type,
    rates.monthly_cost_type,
    rates.metric,
    rates.rate AS unit_rate,
    CASE rates.metric
        WHEN 'node_cost_per_month' THEN node_groups.used / nullif(node_groups.node_weight, 0)
        WHEN 'node_core_cost_per_month'
            THEN node_groups.used / nullif(node_groups.node_weight, 0) * node_groups.node_capacity_cpu_cores
        WHEN 'cluster_cost_per_month' THEN node_groups.used / nullif(node_groups.cluster_weight, 0)
    END / $days_in_month AS quantity,
    $weight AS target
FROM node_groups
CROSS JOIN monthly_rates AS rates
LEFT JOIN replaced
    ON
        replaced.labels = node_groups.pod_labels
        AND replaced.metric = rates.metric
        AND replaced.metric <> 'cluster_cost_per_month'
        AND replaced.cost_type = rates.cost_type
WHERE replaced.labels IS NULL
