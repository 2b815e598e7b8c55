WITH node_hours AS (
    SELECT
        interval_start,
        node,
        max(node_capacity_cpu_core_seconds) AS cpu_core_seconds,
        max(node_capacity_memory_byte_seconds) AS memory_byte_seconds
    FROM pod_usage_hourly
    WHERE interval_start >= $start AND interval_start < $after
    GROUP BY interval_start, node
)
SELECT
    CAST(interval_start AS DATE) AS day,
    node,
    exact_sum(cpu_core_seconds) AS cpu_core_seconds,
    exact_sum(memory_byte_seconds) AS memory_byte_seconds
FROM node_hours
GROUP BY CAST(interval_start AS DATE), node
