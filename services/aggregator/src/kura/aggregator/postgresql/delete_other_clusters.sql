-- $1 source uuid, $2 row to keep
DELETE FROM reporting_ocp_clusters WHERE provider_id = CAST($1 AS uuid) AND uuid <> CAST($2 AS uuid)
