-- The machines of the second-latest day with pods, or of the only one: $1 source uuid, $2 first day, $3 last day.
WITH days AS (
    SELECT CAST(day AS date) AS day
    FROM generate_series(CAST($2 AS timestamp), CAST($3 AS timestamp), interval '1 day') AS series (day)
    WHERE EXISTS (
        SELECT 1
        FROM reporting_ocpusagelineitem_daily_summary
        WHERE
            source_uuid = CAST($1 AS uuid)
            AND usage_start = CAST(day AS date)
            AND pod_request_cpu_core_hours IS NOT NULL
    )
    ORDER BY day DESC
    LIMIT 2
)

SELECT DISTINCT ON (namespace, pod_labels ->> 'vm_kubevirt_io_name')
    namespace,
    pod_labels ->> 'vm_kubevirt_io_name' AS vm_name,
    node,
    CAST(pod_labels AS text) AS pod_labels,
    CAST(pod_request_cpu_core_hours AS text) AS cpu_core_hours,
    CAST(pod_request_memory_gigabyte_hours AS text) AS memory_gigabyte_hours
FROM reporting_ocpusagelineitem_daily_summary
WHERE
    source_uuid = CAST($1 AS uuid)
    AND usage_start = (SELECT min(day) FROM days)
    AND data_source = 'Pod'
    AND all_labels ? 'vm_kubevirt_io_name'
    AND pod_request_cpu_core_hours IS NOT NULL
ORDER BY
    namespace,
    pod_labels ->> 'vm_kubevirt_io_name',
    pod_request_cpu_core_hours DESC,
    node,
    pod_labels
