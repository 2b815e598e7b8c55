WITH sums AS (
    SELECT
        usage_start,
        node,
        namespace,
        data_source,
        persistentvolumeclaim,
        pod_labels,
        volume_labels,
        all_labels,
        cost_category_id,
        max(resource_id) AS resource_id,
        max(persistentvolume) AS persistentvolume,
        max(storageclass) AS storageclass,
        max(node_capacity_cpu_cores) AS node_capacity_cpu_cores,
        max(node_capacity_cpu_core_hours) AS node_capacity_cpu_core_hours,
        max(node_capacity_memory_gigabytes) AS node_capacity_memory_gigabytes,
        max(node_capacity_memory_gigabyte_hours) AS node_capacity_memory_gigabyte_hours,
        max(cluster_capacity_cpu_core_hours) AS cluster_capacity_cpu_core_hours,
        max(cluster_capacity_memory_gigabyte_hours) AS cluster_capacity_memory_gigabyte_hours,
        coalesce(CAST(sum(CAST(pod_usage_cpu_core_hours AS DECIMAL(38, 15))) AS DOUBLE), 0) AS usage_cpu,
        coalesce(CAST(sum(CAST(pod_request_cpu_core_hours AS DECIMAL(38, 15))) AS DOUBLE), 0) AS request_cpu,
        coalesce(CAST(sum(CAST(pod_effective_usage_cpu_core_hours AS DECIMAL(38, 15))) AS DOUBLE), 0) AS effective_cpu,
        coalesce(CAST(sum(CAST(pod_usage_memory_gigabyte_hours AS DECIMAL(38, 15))) AS DOUBLE), 0) AS usage_memory,
        coalesce(CAST(sum(CAST(pod_request_memory_gigabyte_hours AS DECIMAL(38, 15))) AS DOUBLE), 0) AS request_memory,
        coalesce(CAST(sum(CAST(pod_effective_usage_memory_gigabyte_hours AS DECIMAL(38, 15))) AS DOUBLE), 0) AS effective_memory,
        coalesce(CAST(sum(CAST(persistentvolumeclaim_usage_gigabyte_months AS DECIMAL(38, 15))) AS DOUBLE), 0) AS usage_storage,
        coalesce(CAST(sum(CAST(volume_request_storage_gigabyte_months AS DECIMAL(38, 15))) AS DOUBLE), 0) AS request_storage,
        CAST(sum(CAST(weight AS DECIMAL(38, 15))) AS DOUBLE) AS used
    FROM base
    WHERE namespace IS NOT NULL
    GROUP BY
        usage_start,
        node,
        namespace,
        data_source,
        persistentvolumeclaim,
        pod_labels,
        volume_labels,
        all_labels,
        cost_category_id
)

SELECT
    sums.* EXCLUDE (used),
    CASE
        WHEN $weight <> 'memory' THEN sums.effective_cpu
        WHEN sums.node_capacity_memory_gigabyte_hours = 0 THEN 0
        ELSE sums.used / sums.node_capacity_memory_gigabyte_hours * sums.node_capacity_cpu_core_hours
    END AS node_core_hours,
    coalesce(sums.used / nullif(node_days.used, 0) * node_days.cluster_hours, 0) AS cluster_hours
FROM sums
LEFT JOIN node_days ON node_days.usage_start = sums.usage_start AND node_days.node = sums.node
