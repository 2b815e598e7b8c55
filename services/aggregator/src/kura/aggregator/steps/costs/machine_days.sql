SELECT
    CAST(interval_start AS DATE) AS usage_start,
    vm_name,
    CAST(sum(CAST(vm_uptime_total_seconds AS DECIMAL(38, 15))) AS DOUBLE) / 3600 AS hours,
    max(vm_uptime_total_seconds) / 3600 AS longest_hours,
    max(vm_cpu_request_cores) AS cores
FROM vm_usage_hourly
WHERE interval_start >= $start AND interval_start < $after
GROUP BY CAST(interval_start AS DATE), vm_name
