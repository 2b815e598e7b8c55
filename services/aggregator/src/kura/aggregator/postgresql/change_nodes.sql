-- $1 … arrays: uuid, node_role, architecture
UPDATE reporting_ocp_nodes AS stored
SET node_role = given.node_role, architecture = given.architecture
FROM unnest($1::text[], $2::text[], $3::text[]) AS given (uuid, node_role, architecture)
WHERE stored.uuid = CAST(given.uuid AS uuid)
