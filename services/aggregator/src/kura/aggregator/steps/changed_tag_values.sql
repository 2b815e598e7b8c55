WITH tags AS (
    SELECT * FROM pod_tags
    UNION
    SELECT * FROM volume_tags
),

given AS (
    SELECT
        key,
        value,
        list_sort(list(DISTINCT namespace)) AS namespaces,
        list_sort(coalesce(list(DISTINCT node) FILTER (WHERE node IS NOT NULL), [])) AS nodes
    FROM tags
    GROUP BY key, value
)

SELECT given.key, given.value, given.namespaces, given.nodes
FROM given
LEFT JOIN stored ON stored.key = given.key AND stored.value = given.value
WHERE
    stored.key IS NULL
    OR NOT list_contains(stored.cluster_ids, $cluster_id)
    OR ($cluster_alias IS NOT NULL AND NOT list_contains(stored.cluster_aliases, $cluster_alias))
    OR NOT list_has_all(stored.namespaces, given.namespaces)
    OR NOT list_has_all(coalesce(stored.nodes, []), given.nodes)
