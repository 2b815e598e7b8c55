SELECT DISTINCT CAST(interval_start AS DATE) AS day, node, node_labels
FROM node_labels_daily
WHERE interval_start >= $start AND interval_start < $after
