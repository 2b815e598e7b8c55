SELECT 'node' AS kind, count(*) AS changed
FROM (SELECT day, node FROM node_label_sets GROUP BY day, node HAVING count(*) > 1)
UNION ALL
SELECT 'namespace' AS kind, count(*) AS changed
FROM (SELECT day, namespace FROM namespace_label_sets GROUP BY day, namespace HAVING count(*) > 1)
