SELECT
    day,
    sum(cpu_core_seconds ORDER BY cpu_core_seconds) AS cpu_core_seconds,
    sum(memory_byte_seconds ORDER BY memory_byte_seconds) AS memory_byte_seconds
FROM node_capacity
GROUP BY day
