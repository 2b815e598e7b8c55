-- $1 source uuid, $2 cluster alias
SELECT CAST(uuid AS text) AS uuid, cluster_alias
FROM reporting_ocp_clusters
WHERE provider_id = CAST($1 AS uuid)
ORDER BY cluster_alias = $2 DESC NULLS LAST, uuid
FOR UPDATE
