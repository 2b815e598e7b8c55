WITH hours AS (
    SELECT *
    FROM vm_usage_hourly
    WHERE interval_start >= $start AND interval_start < $after
),

latest AS (
    SELECT
        namespace,
        vm_name,
        node,
        max(vm_cpu_request_cores) * 24 AS cpu_core_hours,
        max(vm_memory_request_bytes) / 1073741824 * 24 AS memory_gigabyte_hours
    FROM hours
    WHERE interval_start = (SELECT max(interval_start) FROM hours)
    GROUP BY namespace, vm_name, node
    QUALIFY row_number() OVER (PARTITION BY namespace, vm_name ORDER BY node DESC) = 1
),

claims AS (
    SELECT DISTINCT namespace, vm_name, vm_persistentvolumeclaim_name AS claim
    FROM hours
)

SELECT
    latest.namespace,
    latest.vm_name,
    latest.node,
    claims.claim,
    latest.cpu_core_hours,
    latest.memory_gigabyte_hours
FROM latest
INNER JOIN claims ON claims.namespace = latest.namespace AND claims.vm_name = latest.vm_name
ORDER BY ALL
