SELECT
    CAST(interval_start AS DATE) AS day,
    namespace,
    node,
    gpu_uuid,
    gpu_vendor_name,
    gpu_model_name,
    gpu_memory_capacity_mib,
    mig_profile,
    mig_instance_id,
    mig_strategy,
    mig_slice_count,
    mig_memory_capacity_mib,
    gpu_max_slices,
    gpu_pod_uptime
FROM gpu_usage_daily
WHERE interval_start >= $start AND interval_start < $after
