WITH roles AS (
    SELECT node, resource_id, max(node_role) AS node_role
    FROM node_roles
    GROUP BY node, resource_id
),

totals AS (
    SELECT
        pods.usage_start,
        pods.node,
        max(roles.node_role) AS node_role,
        max(pods.resource_id) AS resource_id,
        sum(pods.pod_usage_cpu_core_hours ORDER BY pods.pod_usage_cpu_core_hours) AS usage_cpu,
        sum(pods.pod_request_cpu_core_hours ORDER BY pods.pod_request_cpu_core_hours) AS request_cpu,
        sum(
            pods.pod_effective_usage_cpu_core_hours ORDER BY pods.pod_effective_usage_cpu_core_hours
        ) AS effective_cpu,
        sum(pods.pod_usage_memory_gigabyte_hours ORDER BY pods.pod_usage_memory_gigabyte_hours) AS usage_memory,
        sum(pods.pod_request_memory_gigabyte_hours ORDER BY pods.pod_request_memory_gigabyte_hours) AS request_memory,
        sum(
            pods.pod_effective_usage_memory_gigabyte_hours ORDER BY pods.pod_effective_usage_memory_gigabyte_hours
        ) AS effective_memory,
        max(pods.node_capacity_cpu_cores) AS node_capacity_cpu_cores,
        max(pods.node_capacity_cpu_core_hours) AS node_capacity_cpu_core_hours,
        max(pods.node_capacity_memory_gigabytes) AS node_capacity_memory_gigabytes,
        max(pods.node_capacity_memory_gigabyte_hours) AS node_capacity_memory_gigabyte_hours,
        max(pods.cluster_capacity_cpu_core_hours) AS cluster_capacity_cpu_core_hours,
        max(pods.cluster_capacity_memory_gigabyte_hours) AS cluster_capacity_memory_gigabyte_hours
    FROM pod_rows AS pods
    LEFT JOIN roles ON roles.node = pods.node AND roles.resource_id = pods.resource_id
    WHERE
        pods.namespace NOT IN (
            'Platform unallocated', 'Worker unallocated', 'Network unattributed', 'Storage unattributed'
        )
        AND pods.node IS NOT NULL
    GROUP BY pods.usage_start, pods.node
),

named AS (
    SELECT
        *,
        CASE
            WHEN node_role IN ('master', 'infra') THEN 'Platform unallocated'
            WHEN node_role = 'worker' THEN 'Worker unallocated'
        END AS namespace
    FROM totals
)

SELECT
    named.usage_start,
    named.namespace,
    named.node,
    named.resource_id,
    named.node_capacity_cpu_core_hours - named.usage_cpu AS pod_usage_cpu_core_hours,
    named.node_capacity_cpu_core_hours - named.request_cpu AS pod_request_cpu_core_hours,
    named.node_capacity_cpu_core_hours - named.effective_cpu AS pod_effective_usage_cpu_core_hours,
    named.node_capacity_memory_gigabyte_hours - named.usage_memory AS pod_usage_memory_gigabyte_hours,
    named.node_capacity_memory_gigabyte_hours - named.request_memory AS pod_request_memory_gigabyte_hours,
    named.node_capacity_memory_gigabyte_hours - named.effective_memory AS pod_effective_usage_memory_gigabyte_hours,
    named.node_capacity_cpu_cores,
    named.node_capacity_cpu_core_hours,
    named.node_capacity_memory_gigabytes,
    named.node_capacity_memory_gigabyte_hours,
    named.cluster_capacity_cpu_core_hours,
    named.cluster_capacity_memory_gigabyte_hours,
    categories.cost_category_id
FROM named
LEFT JOIN namespace_categories AS categories ON categories.namespace = named.namespace
