SELECT
    CAST(interval_start AS DATE) AS usage_start,
    json_extract_string(pod_labels, '$.vm_kubevirt_io_name') AS vm_name,
    CAST(count(*) AS DOUBLE) AS hours,
    CAST(NULL AS DOUBLE) AS longest_hours,
    CAST(NULL AS DOUBLE) AS cores
FROM pod_usage_hourly
WHERE
    interval_start >= $start
    AND interval_start < $after
    AND contains(pod_labels, '"vm_kubevirt_io_name"')
GROUP BY CAST(interval_start AS DATE), json_extract_string(pod_labels, '$.vm_kubevirt_io_name')
