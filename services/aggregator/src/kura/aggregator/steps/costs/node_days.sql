SELECT
    usage_start,
    node,
    CAST(sum(CAST(weight AS DECIMAL(38, 15))) AS DOUBLE) AS used,
    coalesce(max(node_weight) / nullif(max(cluster_weight), 0), 0)
    * coalesce(max(node_weight) / nullif(max(node_size), 0), 0) AS cluster_hours
FROM base
WHERE node <> ''
GROUP BY usage_start, node
