WITH machines AS (
    SELECT DISTINCT namespace, pod, json_extract_string(pod_labels, '$.vm_kubevirt_io_name') AS vm_name
    FROM pod_usage_daily
    WHERE
        interval_start >= $start AND interval_start < $after
        AND pod_labels LIKE '%vm_kubevirt_io_name%'
    QUALIFY dense_rank() OVER (PARTITION BY namespace, pod ORDER BY vm_name DESC NULLS LAST) <= $most_names
)

SELECT DISTINCT machines.namespace, machines.vm_name, storage.persistentvolumeclaim AS claim
FROM machines
INNER JOIN storage_usage_daily AS storage
    ON storage.namespace = machines.namespace AND storage.pod = machines.pod
WHERE
    machines.vm_name IS NOT NULL
    AND storage.interval_start >= $start AND storage.interval_start < $after
ORDER BY ALL
