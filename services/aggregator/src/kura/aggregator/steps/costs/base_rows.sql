WITH stored AS (
    SELECT
        summary.usage_start,
        summary.data_source,
        summary.namespace,
        summary.node,
        summary.resource_id,
        coalesce(mapped_pods.mapped, summary.pod_labels) AS pod_labels,
        coalesce(mapped_volumes.mapped, summary.volume_labels) AS volume_labels,
        coalesce(mapped_all.mapped, summary.all_labels) AS all_labels,
        summary.pod_usage_cpu_core_hours,
        summary.pod_request_cpu_core_hours,
        summary.pod_effective_usage_cpu_core_hours,
        summary.pod_usage_memory_gigabyte_hours,
        summary.pod_request_memory_gigabyte_hours,
        summary.pod_effective_usage_memory_gigabyte_hours,
        summary.node_capacity_cpu_cores,
        summary.node_capacity_cpu_core_hours,
        summary.node_capacity_memory_gigabytes,
        summary.node_capacity_memory_gigabyte_hours,
        summary.cluster_capacity_cpu_core_hours,
        summary.cluster_capacity_memory_gigabyte_hours,
        summary.persistentvolumeclaim,
        summary.persistentvolume,
        summary.storageclass,
        summary.persistentvolumeclaim_capacity_gigabyte_months,
        summary.volume_request_storage_gigabyte_months,
        summary.persistentvolumeclaim_usage_gigabyte_months,
        summary.cost_category_id,
        CAST(NULL AS DOUBLE) AS infrastructure_raw_cost,
        CAST(NULL AS DOUBLE) AS infrastructure_markup_cost,
        CAST(NULL AS VARCHAR) AS raw_currency
    FROM summary
    LEFT JOIN mapped AS mapped_pods ON mapped_pods.labels = summary.pod_labels
    LEFT JOIN mapped AS mapped_volumes ON mapped_volumes.labels = summary.volume_labels
    LEFT JOIN mapped AS mapped_all ON mapped_all.labels = summary.all_labels
    WHERE summary.usage_start BETWEEN $first AND $last
),

of_clouds AS (
    SELECT
        cloud.* EXCLUDE (pod_labels, volume_labels, all_labels, infrastructure_markup_cost),
        labels_text(label_entries(cloud.pod_labels)) AS pod_labels,
        labels_text(label_entries(cloud.volume_labels)) AS volume_labels,
        labels_text(label_entries(cloud.all_labels)) AS all_labels,
        coalesce(cloud.infrastructure_raw_cost * $markup, cloud.infrastructure_markup_cost) AS infrastructure_markup_cost
    FROM cloud
    WHERE cloud.usage_start BETWEEN $first AND $last
),

base AS (
    SELECT * FROM stored
    UNION ALL BY NAME
    SELECT * FROM of_clouds
)

SELECT
    base.*,
    CASE $weight
        WHEN 'memory' THEN base.pod_effective_usage_memory_gigabyte_hours
        ELSE base.pod_effective_usage_cpu_core_hours
    END AS weight,
    CASE $weight
        WHEN 'memory' THEN base.node_capacity_memory_gigabyte_hours
        ELSE base.node_capacity_cpu_core_hours
    END AS node_weight,
    CASE $weight
        WHEN 'memory' THEN base.cluster_capacity_memory_gigabyte_hours
        ELSE base.cluster_capacity_cpu_core_hours
    END AS cluster_weight,
    CASE $weight
        WHEN 'memory' THEN base.node_capacity_memory_gigabytes
        ELSE base.node_capacity_cpu_cores
    END AS node_size
FROM base
