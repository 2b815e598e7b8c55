SELECT day, namespace, pod, max(node) AS node, max_by(resource_id, (node, resource_id)) AS resource_id
FROM pod_daily
WHERE day IN (SELECT day FROM crowded_days)
GROUP BY day, namespace, pod
UNION ALL
SELECT day, namespace, pod, node, resource_id
FROM pod_daily
WHERE day NOT IN (SELECT day FROM crowded_days)
