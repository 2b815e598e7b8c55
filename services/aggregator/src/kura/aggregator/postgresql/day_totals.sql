-- $1 source uuid, $2 first day, $3 last day; the rows of the summary alone, without costs
SELECT
    usage_start,
    data_source,
    count(*) AS row_count,
    CAST(coalesce(sum(pod_usage_cpu_core_hours), 0) AS double precision) AS pod_usage_cpu_core_hours,
    CAST(coalesce(sum(pod_request_cpu_core_hours), 0) AS double precision) AS pod_request_cpu_core_hours,
    CAST(coalesce(sum(pod_usage_memory_gigabyte_hours), 0) AS double precision) AS pod_usage_memory_gigabyte_hours,
    CAST(coalesce(sum(persistentvolumeclaim_usage_gigabyte_months), 0) AS double precision)
        AS persistentvolumeclaim_usage_gigabyte_months,
    CAST(coalesce(sum(persistentvolumeclaim_capacity_gigabyte_months), 0) AS double precision)
        AS persistentvolumeclaim_capacity_gigabyte_months
FROM reporting_ocpusagelineitem_daily_summary
WHERE
    source_uuid = CAST($1 AS uuid)
    AND usage_start BETWEEN $2 AND $3
    AND data_source IN ('Pod', 'Storage')
    AND cost_model_rate_type IS NULL
    AND coalesce(infrastructure_raw_cost, 0) = 0
GROUP BY usage_start, data_source
ORDER BY usage_start, data_source
