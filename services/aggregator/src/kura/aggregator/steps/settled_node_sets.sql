SELECT day, node, max(labels) AS labels
FROM node_label_sets
WHERE day IN (SELECT day FROM crowded_days)
GROUP BY day, node
UNION ALL
SELECT day, node, labels
FROM node_label_sets
WHERE day NOT IN (SELECT day FROM crowded_days)
