-- $1 source uuid, $2 cluster id, $3 cluster alias
INSERT INTO reporting_ocp_clusters (cluster_id, cluster_alias, provider_id) VALUES ($2, $3, CAST($1 AS uuid))
ON CONFLICT (cluster_id, cluster_alias, provider_id) DO NOTHING
