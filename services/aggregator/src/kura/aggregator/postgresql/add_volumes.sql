-- $1 cluster row, $2 … arrays: persistent_volume, persistent_volume_claim, csi_volume_handle
-- Of several handles the largest stays, whatever the order of the runs.
INSERT INTO reporting_ocp_pvcs AS stored
    (cluster_id, persistent_volume, persistent_volume_claim, csi_volume_handle)
SELECT CAST($1 AS uuid), given.persistent_volume, given.persistent_volume_claim, given.csi_volume_handle
FROM unnest($2::text[], $3::text[], $4::text[]) AS given (persistent_volume, persistent_volume_claim, csi_volume_handle)
LEFT JOIN reporting_ocp_pvcs AS present
    ON present.cluster_id = CAST($1 AS uuid) AND present.persistent_volume = given.persistent_volume
    AND present.persistent_volume_claim = given.persistent_volume_claim
WHERE present.uuid IS NULL
    OR coalesce(present.csi_volume_handle, '') < coalesce(given.csi_volume_handle, '') COLLATE "C"
ON CONFLICT (persistent_volume, persistent_volume_claim, cluster_id)
    DO UPDATE SET csi_volume_handle = greatest(stored.csi_volume_handle, excluded.csi_volume_handle COLLATE "C")
