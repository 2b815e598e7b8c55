SELECT
    usage_start,
    data_source,
    count(*) AS row_count,
    coalesce(sum(pod_usage_cpu_core_hours), 0) AS pod_usage_cpu_core_hours,
    coalesce(sum(pod_request_cpu_core_hours), 0) AS pod_request_cpu_core_hours,
    coalesce(sum(pod_usage_memory_gigabyte_hours), 0) AS pod_usage_memory_gigabyte_hours,
    coalesce(sum(persistentvolumeclaim_usage_gigabyte_months), 0) AS persistentvolumeclaim_usage_gigabyte_months,
    coalesce(sum(persistentvolumeclaim_capacity_gigabyte_months), 0) AS persistentvolumeclaim_capacity_gigabyte_months
FROM summary_rows
GROUP BY usage_start, data_source
ORDER BY usage_start, data_source
