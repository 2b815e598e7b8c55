SELECT
    vm_name,
    max_by(node, (interval_start, node)) AS node,
    max_by(resource_id, (interval_start, node)) AS resource_id,
    CAST(max(interval_start) AS DATE) AS day
FROM vm_usage_hourly
WHERE interval_start >= $start AND interval_start < $after
GROUP BY vm_name
