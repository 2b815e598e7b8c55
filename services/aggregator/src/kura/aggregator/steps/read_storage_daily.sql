SELECT
    CAST(interval_start AS DATE) AS day,
    namespace,
    pod,
    persistentvolumeclaim,
    persistentvolume,
    storageclass,
    csi_volume_handle,
    persistentvolume_labels,
    persistentvolumeclaim_labels,
    persistentvolumeclaim_capacity_bytes,
    persistentvolumeclaim_capacity_byte_seconds,
    volume_request_storage_byte_seconds,
    persistentvolumeclaim_usage_byte_seconds
FROM storage_usage_daily
WHERE interval_start >= $start AND interval_start < $after
