SELECT
    day,
    exact_sum(cpu_core_seconds) AS cpu_core_seconds,
    exact_sum(memory_byte_seconds) AS memory_byte_seconds
FROM node_capacity
GROUP BY day
