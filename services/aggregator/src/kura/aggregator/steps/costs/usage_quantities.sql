WITH totals AS (
    SELECT
        usage_start,
        namespace,
        node,
        data_source,
        cost_category_id,
        sum(usage_cpu) FILTER (WHERE node_core_hours IS NOT NULL) AS usage_cpu,
        sum(request_cpu) FILTER (WHERE node_core_hours IS NOT NULL) AS request_cpu,
        sum(effective_cpu) FILTER (WHERE node_core_hours IS NOT NULL) AS effective_cpu,
        sum(usage_memory) AS usage_memory,
        sum(request_memory) AS request_memory,
        sum(effective_memory) AS effective_memory,
        sum(usage_storage) AS usage_storage,
        sum(request_storage) AS request_storage,
        sum(node_core_hours) AS node_core_hours,
        sum(cluster_hours) AS cluster_hours
    FROM usage_groups
    GROUP BY usage_start, namespace, node, data_source, cost_category_id
),

quantities AS (
    SELECT
        usage_start,
        namespace,
        node,
        data_source,
        cost_category_id,
        unnest([
            {'metric': 'cpu_core_usage_per_hour', 'quantity': usage_cpu},
            {'metric': 'cpu_core_request_per_hour', 'quantity': request_cpu},
            {'metric': 'cpu_core_effective_usage_per_hour', 'quantity': effective_cpu},
            {'metric': 'memory_gb_usage_per_hour', 'quantity': usage_memory},
            {'metric': 'memory_gb_request_per_hour', 'quantity': request_memory},
            {'metric': 'memory_gb_effective_usage_per_hour', 'quantity': effective_memory},
            {'metric': 'storage_gb_usage_per_month', 'quantity': usage_storage},
            {'metric': 'storage_gb_request_per_month', 'quantity': request_storage},
            {'metric': 'node_core_cost_per_hour', 'quantity': node_core_hours},
            {'metric': 'cluster_core_cost_per_hour', 'quantity': node_core_hours},
            {'metric': 'cluster_cost_per_hour', 'quantity': cluster_hours}
        ], recursive := true)
    FROM totals
)

SELECT
    quantities.usage_start,
    quantities.namespace,
    quantities.node,
    quantities.data_source,
    quantities.cost_category_id,
    quantities.metric,
    usage_totals.cost_type AS cost_model_rate_type,
    quantities.quantity
FROM quantities
INNER JOIN usage_totals ON usage_totals.metric = quantities.metric
WHERE quantities.quantity <> 0
