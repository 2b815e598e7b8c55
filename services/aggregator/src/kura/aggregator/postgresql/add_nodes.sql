-- $1 cluster row, $2 … arrays: node, resource_id, cores, node_role, architecture
INSERT INTO reporting_ocp_nodes (cluster_id, node, resource_id, node_capacity_cpu_cores, node_role, architecture)
SELECT CAST($1 AS uuid), node, resource_id, CAST(cores AS numeric(18, 2)), node_role, architecture
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    AS given (node, resource_id, cores, node_role, architecture)
ON CONFLICT DO NOTHING
