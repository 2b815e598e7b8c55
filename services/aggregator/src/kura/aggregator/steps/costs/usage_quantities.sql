WITH totals AS (
    SELECT
        usage_start,
        namespace,
        node,
        data_source,
        cost_category_id,
        CAST(sum(CAST(usage_cpu AS DECIMAL(38, 15))) FILTER (WHERE node_core_hours IS NOT NULL) AS DOUBLE) AS usage_cpu,
        CAST(sum(CAST(request_cpu AS DECIMAL(38, 15))) FILTER (WHERE node_core_hours IS NOT NULL) AS DOUBLE) AS request_cpu,
        CAST(sum(CAST(effective_cpu AS DECIMAL(38, 15))) FILTER (WHERE node_core_hours IS NOT NULL) AS DOUBLE) AS effective_cpu,
        CAST(sum(CAST(usage_memory AS DECIMAL(38, 15))) AS DOUBLE) AS usage_memory,
        CAST(sum(CAST(request_memory AS DECIMAL(38, 15))) AS DOUBLE) AS request_memory,
        CAST(sum(CAST(effective_memory AS DECIMAL(38, 15))) AS DOUBLE) AS effective_memory,
        CAST(sum(CAST(usage_storage AS DECIMAL(38, 15))) AS DOUBLE) AS usage_storage,
        CAST(sum(CAST(request_storage AS DECIMAL(38, 15))) AS DOUBLE) AS request_storage,
        CAST(sum(CAST(node_core_hours AS DECIMAL(38, 15))) AS DOUBLE) AS node_core_hours,
        CAST(sum(CAST(cluster_hours AS DECIMAL(38, 15))) AS DOUBLE) AS cluster_hours
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
