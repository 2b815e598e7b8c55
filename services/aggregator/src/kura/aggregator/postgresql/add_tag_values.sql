-- $1 cluster id, $2 cluster alias; the pairs are in the temporary table `seen_tag_values`
INSERT INTO reporting_ocptags_values AS stored (key, value, cluster_ids, cluster_aliases, namespaces, nodes)
SELECT key, value, ARRAY[$1], array_remove(ARRAY[$2], NULL), namespaces, nodes
FROM seen_tag_values
ORDER BY key, value
ON CONFLICT (key, value) DO UPDATE SET
    cluster_ids = (
        SELECT array_agg(DISTINCT item ORDER BY item)
        FROM unnest(stored.cluster_ids || excluded.cluster_ids) AS united (item)
    ),
    cluster_aliases = (
        SELECT coalesce(array_agg(DISTINCT item ORDER BY item), '{}')
        FROM unnest(stored.cluster_aliases || excluded.cluster_aliases) AS united (item)
    ),
    namespaces = (
        SELECT array_agg(DISTINCT item ORDER BY item)
        FROM unnest(stored.namespaces || excluded.namespaces) AS united (item)
    ),
    nodes = (
        SELECT coalesce(array_agg(DISTINCT item ORDER BY item), '{}')
        FROM unnest(coalesce(stored.nodes, '{}') || excluded.nodes) AS united (item)
    )
