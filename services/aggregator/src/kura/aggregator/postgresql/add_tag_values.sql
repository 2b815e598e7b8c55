-- $1 cluster id, $2 cluster alias, $3 … arrays: key, value, namespace, node
WITH given AS (
    SELECT
        key, value, ARRAY[$1] AS cluster_ids, array_remove(ARRAY[$2], NULL) AS cluster_aliases,
        array_agg(DISTINCT namespace ORDER BY namespace) AS namespaces,
        coalesce(array_agg(DISTINCT node ORDER BY node) FILTER (WHERE node IS NOT NULL), '{}') AS nodes
    FROM unnest($3::text[], $4::text[], $5::text[], $6::text[]) AS given (key, value, namespace, node)
    GROUP BY key, value
)
INSERT INTO reporting_ocptags_values AS stored (key, value, cluster_ids, cluster_aliases, namespaces, nodes)
SELECT given.key, given.value, given.cluster_ids, given.cluster_aliases, given.namespaces, given.nodes
FROM given
LEFT JOIN reporting_ocptags_values AS present ON present.key = given.key AND present.value = given.value
WHERE present.key IS NULL OR NOT (
    present.cluster_ids @> given.cluster_ids AND present.cluster_aliases @> given.cluster_aliases
    AND present.namespaces @> given.namespaces AND coalesce(present.nodes, '{}') @> given.nodes
)
ORDER BY given.key, given.value
ON CONFLICT (key, value) DO UPDATE SET
    cluster_ids = (SELECT array_agg(DISTINCT item ORDER BY item)
        FROM unnest(stored.cluster_ids || excluded.cluster_ids) AS united (item)),
    cluster_aliases = (SELECT coalesce(array_agg(DISTINCT item ORDER BY item), '{}')
        FROM unnest(stored.cluster_aliases || excluded.cluster_aliases) AS united (item)),
    namespaces = (SELECT array_agg(DISTINCT item ORDER BY item)
        FROM unnest(stored.namespaces || excluded.namespaces) AS united (item)),
    nodes = (SELECT coalesce(array_agg(DISTINCT item ORDER BY item), '{}')
        FROM unnest(coalesce(stored.nodes, '{}') || excluded.nodes) AS united (item))
