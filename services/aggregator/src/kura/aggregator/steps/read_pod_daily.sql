SELECT
    CAST(interval_start AS DATE) AS day,
    namespace,
    node,
    pod,
    resource_id,
    node_role,
    pod_labels,
    pod_usage_cpu_core_seconds,
    pod_request_cpu_core_seconds,
    pod_limit_cpu_core_seconds,
    pod_effective_usage_cpu_core_seconds,
    pod_usage_memory_byte_seconds,
    pod_request_memory_byte_seconds,
    pod_limit_memory_byte_seconds,
    pod_effective_usage_memory_byte_seconds,
    node_capacity_cpu_cores,
    node_capacity_memory_bytes
FROM pod_usage_daily
WHERE interval_start >= $start AND interval_start < $after
