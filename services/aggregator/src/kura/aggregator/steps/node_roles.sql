SELECT node, resource_id, node_role
FROM stored_nodes
WHERE uuid NOT IN (SELECT uuid FROM node_changes WHERE uuid IS NOT NULL)
UNION ALL
SELECT node, resource_id, node_role
FROM node_changes
