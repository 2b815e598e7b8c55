SELECT CAST(interval_start AS DATE) AS day, node, node_labels, count(*) AS intervals
FROM node_labels_hourly
WHERE
    interval_start >= $start
    AND interval_start < $after
    AND contains(node_labels, '"nvidia_com_gpu_present"')
GROUP BY CAST(interval_start AS DATE), node, node_labels
QUALIFY row_number() OVER (PARTITION BY CAST(interval_start AS DATE), node ORDER BY count(*) DESC, node_labels) <= 100
