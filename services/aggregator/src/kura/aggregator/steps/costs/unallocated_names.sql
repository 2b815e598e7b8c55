WITH roles AS (
    SELECT
        node,
        resource_id,
        CASE
            WHEN max(node_role) IN ('master', 'infra') THEN 'Platform unallocated'
            WHEN max(node_role) = 'worker' THEN 'Worker unallocated'
        END AS namespace
    FROM stored_nodes
    GROUP BY node, resource_id
)

SELECT roles.node, roles.resource_id, roles.namespace, max(patterns.cost_category_id) AS cost_category_id
FROM roles
LEFT JOIN category_patterns AS patterns ON roles.namespace LIKE patterns.pattern
GROUP BY roles.node, roles.resource_id, roles.namespace
