-- $1 row, $2 cluster alias, $3 cluster id
UPDATE reporting_ocp_clusters SET cluster_alias = $2, cluster_id = $3 WHERE uuid = CAST($1 AS uuid)
