SELECT day, namespace, max(labels) AS labels
FROM namespace_label_sets
WHERE day IN (SELECT day FROM crowded_days)
GROUP BY day, namespace
UNION ALL
SELECT day, namespace, labels
FROM namespace_label_sets
WHERE day NOT IN (SELECT day FROM crowded_days)
