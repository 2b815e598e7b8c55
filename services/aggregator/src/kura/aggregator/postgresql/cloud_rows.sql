-- $1 report period, $2 first day, $3 last day
SELECT
    usage_start,
    data_source,
    namespace,
    node,
    resource_id,
    cost_category_id,
    CAST(pod_labels AS text) AS pod_labels,
    CAST(volume_labels AS text) AS volume_labels,
    CAST(all_labels AS text) AS all_labels,
    persistentvolumeclaim,
    persistentvolume,
    storageclass,
    CAST(pod_usage_cpu_core_hours AS double precision) AS pod_usage_cpu_core_hours,
    CAST(pod_request_cpu_core_hours AS double precision) AS pod_request_cpu_core_hours,
    CAST(pod_effective_usage_cpu_core_hours AS double precision) AS pod_effective_usage_cpu_core_hours,
    CAST(pod_usage_memory_gigabyte_hours AS double precision) AS pod_usage_memory_gigabyte_hours,
    CAST(pod_request_memory_gigabyte_hours AS double precision) AS pod_request_memory_gigabyte_hours,
    CAST(pod_effective_usage_memory_gigabyte_hours AS double precision) AS pod_effective_usage_memory_gigabyte_hours,
    CAST(node_capacity_cpu_cores AS double precision) AS node_capacity_cpu_cores,
    CAST(node_capacity_cpu_core_hours AS double precision) AS node_capacity_cpu_core_hours,
    CAST(node_capacity_memory_gigabytes AS double precision) AS node_capacity_memory_gigabytes,
    CAST(node_capacity_memory_gigabyte_hours AS double precision) AS node_capacity_memory_gigabyte_hours,
    CAST(cluster_capacity_cpu_core_hours AS double precision) AS cluster_capacity_cpu_core_hours,
    CAST(cluster_capacity_memory_gigabyte_hours AS double precision) AS cluster_capacity_memory_gigabyte_hours,
    CAST(persistentvolumeclaim_capacity_gigabyte_months AS double precision)
        AS persistentvolumeclaim_capacity_gigabyte_months,
    CAST(volume_request_storage_gigabyte_months AS double precision) AS volume_request_storage_gigabyte_months,
    CAST(persistentvolumeclaim_usage_gigabyte_months AS double precision)
        AS persistentvolumeclaim_usage_gigabyte_months,
    CAST(infrastructure_raw_cost AS double precision) AS infrastructure_raw_cost,
    CAST(infrastructure_markup_cost AS double precision) AS infrastructure_markup_cost,
    raw_currency
FROM reporting_ocpusagelineitem_daily_summary
WHERE
    report_period_id = $1
    AND usage_start BETWEEN $2 AND $3
    AND infrastructure_raw_cost <> 0
    AND cost_model_rate_type IS NULL
