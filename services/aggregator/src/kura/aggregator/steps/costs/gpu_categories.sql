SELECT namespaces.namespace, max(category_patterns.cost_category_id) AS cost_category_id
FROM (SELECT DISTINCT namespace FROM gpu_daily) AS namespaces
INNER JOIN category_patterns ON namespaces.namespace LIKE category_patterns.pattern
GROUP BY namespaces.namespace
