WITH labelled AS (
    SELECT *, 'pod' AS side, pod_labels AS labels FROM base WHERE pod_labels IS NOT NULL
    UNION ALL
    SELECT *, 'volume' AS side, volume_labels AS labels FROM base WHERE volume_labels IS NOT NULL
),

priced AS (
    SELECT
        labelled.*,
        rates.* EXCLUDE (labels, side, monthly_cost_type),
        CASE WHEN rates.is_listed THEN rates.own_label ELSE labelled.labels END AS kept_labels,
        CASE rates.metric
            WHEN 'cpu_core_usage_per_hour' THEN labelled.pod_usage_cpu_core_hours
            WHEN 'cpu_core_request_per_hour' THEN labelled.pod_request_cpu_core_hours
            WHEN 'cpu_core_effective_usage_per_hour' THEN labelled.pod_effective_usage_cpu_core_hours
            WHEN 'memory_gb_usage_per_hour' THEN labelled.pod_usage_memory_gigabyte_hours
            WHEN 'memory_gb_request_per_hour' THEN labelled.pod_request_memory_gigabyte_hours
            WHEN 'memory_gb_effective_usage_per_hour' THEN labelled.pod_effective_usage_memory_gigabyte_hours
            WHEN 'storage_gb_usage_per_month' THEN labelled.persistentvolumeclaim_usage_gigabyte_months
            WHEN 'storage_gb_request_per_month' THEN labelled.volume_request_storage_gigabyte_months
        END AS measure
    FROM labelled
    INNER JOIN label_rates AS rates ON rates.labels = labelled.labels AND rates.side = labelled.side
    WHERE rates.rate <> 0
)

SELECT
    usage_start,
    data_source,
    namespace,
    node,
    resource_id,
    persistentvolumeclaim,
    persistentvolume,
    storageclass,
    CASE WHEN side = 'pod' THEN kept_labels END AS pod_labels,
    CASE WHEN side = 'volume' THEN kept_labels END AS volume_labels,
    kept_labels AS all_labels,
    cost_category_id,
    max(node_capacity_cpu_cores) AS node_capacity_cpu_cores,
    max(node_capacity_cpu_core_hours) AS node_capacity_cpu_core_hours,
    max(node_capacity_memory_gigabytes) AS node_capacity_memory_gigabytes,
    max(node_capacity_memory_gigabyte_hours) AS node_capacity_memory_gigabyte_hours,
    max(cluster_capacity_cpu_core_hours) AS cluster_capacity_cpu_core_hours,
    max(cluster_capacity_memory_gigabyte_hours) AS cluster_capacity_memory_gigabyte_hours,
    cost_type AS cost_model_rate_type,
    'Tag' AS monthly_cost_type,
    metric,
    tag_key,
    tag_value,
    rate_id,
    custom_name,
    rate AS unit_rate,
    CAST(sum(CAST(measure AS DECIMAL(38, 15))) AS DOUBLE) AS quantity,
    CASE
        WHEN side = 'volume' THEN 'volume'
        WHEN starts_with(metric, 'memory') THEN 'memory'
        ELSE 'cpu'
    END AS target
FROM priced
GROUP BY
    usage_start,
    data_source,
    namespace,
    node,
    resource_id,
    persistentvolumeclaim,
    persistentvolume,
    storageclass,
    side,
    kept_labels,
    cost_category_id,
    cost_type,
    metric,
    tag_key,
    tag_value,
    rate_id,
    custom_name,
    rate
HAVING sum(measure) <> 0
