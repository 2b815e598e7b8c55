WITH stored AS (
    SELECT uuid, node, resource_id, node_capacity_cpu_cores, node_role, architecture
    FROM stored_nodes
    WHERE of_this_cluster
)

SELECT
    CAST(NULL AS VARCHAR) AS uuid,
    found.node,
    found.resource_id,
    found.node_capacity_cpu_cores,
    found.node_role,
    found.architecture
FROM found_nodes AS found
WHERE
    NOT EXISTS (
        SELECT 1
        FROM stored
        WHERE
            stored.node = found.node
            AND stored.resource_id IS NOT DISTINCT FROM found.resource_id
            AND stored.node_capacity_cpu_cores IS NOT DISTINCT FROM found.node_capacity_cpu_cores
    )
UNION ALL
SELECT
    stored.uuid,
    stored.node,
    stored.resource_id,
    stored.node_capacity_cpu_cores,
    CASE
        WHEN $newest AND found.reported_role IS NOT NULL THEN found.reported_role
        WHEN coalesce(stored.node_role, '') = '' OR coalesce(stored.architecture, '') = '' THEN found.node_role
        ELSE stored.node_role
    END AS node_role,
    CASE
        WHEN coalesce(stored.node_role, '') = '' OR coalesce(stored.architecture, '') = ''
            THEN coalesce(found.architecture, stored.architecture)
        ELSE stored.architecture
    END AS architecture
FROM stored
INNER JOIN found_nodes AS found
    ON found.node = stored.node AND found.resource_id IS NOT DISTINCT FROM stored.resource_id
WHERE
    ($newest AND stored.node_role IS DISTINCT FROM found.reported_role AND found.reported_role IS NOT NULL)
    OR (
        (coalesce(stored.node_role, '') = '' OR coalesce(stored.architecture, '') = '')
        AND (
            stored.node_role IS DISTINCT FROM found.node_role
            OR stored.architecture IS DISTINCT FROM coalesce(found.architecture, stored.architecture)
        )
    )
