-- $1 keys
SELECT key, value, cluster_ids, cluster_aliases, namespaces, nodes
FROM reporting_ocptags_values
WHERE key = ANY($1)
