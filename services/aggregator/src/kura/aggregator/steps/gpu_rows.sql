WITH devices AS (
    SELECT
        day,
        namespace,
        node,
        gpu_vendor_name,
        gpu_model_name,
        nullif(mig_profile, '') AS mig_profile,
        nullif(mig_instance_id, '') AS mig_instance_id,
        gpu_uuid,
        max(gpu_memory_capacity_mib) AS memory_mib,
        max(mig_slice_count) AS mig_slice_count,
        max(gpu_max_slices) AS gpu_max_slices,
        max(mig_strategy) AS mig_strategy,
        max(mig_memory_capacity_mib) AS mig_memory_mib
    FROM gpu_daily
    GROUP BY
        day,
        namespace,
        node,
        gpu_vendor_name,
        gpu_model_name,
        nullif(mig_profile, ''),
        nullif(mig_instance_id, ''),
        gpu_uuid
)

SELECT
    devices.day AS usage_start,
    devices.namespace,
    devices.node,
    devices.gpu_vendor_name AS vendor_name,
    devices.gpu_model_name AS model_name,
    devices.memory_mib * 0.001048576 AS memory_capacity_gb,
    devices.gpu_uuid,
    devices.mig_instance_id,
    CASE WHEN devices.mig_profile IS NULL THEN 'dedicated' ELSE 'MIG' END AS gpu_mode,
    devices.mig_profile,
    CAST(devices.mig_slice_count AS INTEGER) AS mig_slice_count,
    CAST(devices.gpu_max_slices AS INTEGER) AS gpu_max_slices,
    devices.mig_memory_mib * 0.001048576 AS mig_memory_capacity_gb,
    devices.mig_strategy,
    categories.cost_category_id
FROM devices
LEFT JOIN namespace_categories AS categories ON categories.namespace = devices.namespace
