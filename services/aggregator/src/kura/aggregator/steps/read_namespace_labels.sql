SELECT DISTINCT CAST(interval_start AS DATE) AS day, namespace, namespace_labels
FROM namespace_labels_daily
WHERE interval_start >= $start AND interval_start < $after
