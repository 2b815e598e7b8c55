SELECT
    coalesce(persistentvolume, '') AS persistent_volume,
    coalesce(persistentvolumeclaim, '') AS persistent_volume_claim,
    max(csi_volume_handle) AS csi_volume_handle
FROM storage_daily
GROUP BY coalesce(persistentvolume, ''), coalesce(persistentvolumeclaim, '')
