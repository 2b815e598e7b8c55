WITH namespaces AS (
    SELECT namespace FROM pod_daily
    UNION
    SELECT namespace FROM storage_daily
    UNION
    SELECT namespace FROM gpu_daily
    UNION
    SELECT unnest($further) AS namespace
)
SELECT namespaces.namespace, max(category_patterns.cost_category_id) AS cost_category_id
FROM namespaces
INNER JOIN category_patterns ON namespaces.namespace LIKE category_patterns.pattern
GROUP BY namespaces.namespace
