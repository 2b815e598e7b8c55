WITH spread AS (
    SELECT
        pods.*,
        coalesce(own_sets.labels, '{}') AS of_pod,
        coalesce(node_sets.labels, '{}') AS of_node,
        coalesce(namespace_sets.labels, '{}') AS of_namespace,
        coalesce(
            pods.pod_effective_usage_cpu_core_seconds,
            CASE
                WHEN pods.pod_usage_cpu_core_seconds IS NOT NULL AND pods.pod_request_cpu_core_seconds IS NOT NULL
                    THEN greatest(pods.pod_usage_cpu_core_seconds, pods.pod_request_cpu_core_seconds)
            END
        ) AS effective_cpu,
        coalesce(
            pods.pod_effective_usage_memory_byte_seconds,
            CASE
                WHEN pods.pod_usage_memory_byte_seconds IS NOT NULL AND pods.pod_request_memory_byte_seconds IS NOT NULL
                    THEN greatest(pods.pod_usage_memory_byte_seconds, pods.pod_request_memory_byte_seconds)
            END
        ) AS effective_memory
    FROM pod_daily AS pods
    LEFT JOIN filtered_labels AS own_sets
        ON own_sets.label_text = pods.pod_labels
    LEFT JOIN node_label_sets AS node_sets
        ON node_sets.day = pods.day AND node_sets.node = pods.node
    LEFT JOIN namespace_label_sets AS namespace_sets
        ON namespace_sets.day = pods.day AND namespace_sets.namespace = pods.namespace
    WHERE pods.node <> ''
),

merged AS (
    SELECT of_node, of_namespace, of_pod, merged_labels([of_node, of_namespace, of_pod]) AS pod_labels
    FROM (SELECT DISTINCT of_node, of_namespace, of_pod FROM spread)
),

grouped AS (
    SELECT
        spread.day,
        spread.namespace,
        spread.node,
        merged.pod_labels,
        max(spread.resource_id) AS resource_id,
        exact_sum(spread.pod_usage_cpu_core_seconds) AS usage_cpu,
        exact_sum(spread.pod_request_cpu_core_seconds) AS request_cpu,
        exact_sum(spread.pod_limit_cpu_core_seconds) AS limit_cpu,
        exact_sum(spread.effective_cpu) AS effective_cpu,
        exact_sum(spread.pod_usage_memory_byte_seconds) AS usage_memory,
        exact_sum(spread.pod_request_memory_byte_seconds) AS request_memory,
        exact_sum(spread.pod_limit_memory_byte_seconds) AS limit_memory,
        exact_sum(spread.effective_memory) AS effective_memory,
        max(spread.node_capacity_cpu_cores) AS node_cpu_cores,
        max(spread.node_capacity_memory_bytes) AS node_memory_bytes
    FROM spread
    INNER JOIN merged
        ON
            merged.of_node = spread.of_node
            AND merged.of_namespace = spread.of_namespace
            AND merged.of_pod = spread.of_pod
    GROUP BY spread.day, spread.namespace, spread.node, merged.pod_labels
)

SELECT
    grouped.day AS usage_start,
    grouped.namespace,
    grouped.node,
    grouped.resource_id,
    grouped.pod_labels,
    grouped.usage_cpu / 3600 AS pod_usage_cpu_core_hours,
    grouped.request_cpu / 3600 AS pod_request_cpu_core_hours,
    grouped.effective_cpu / 3600 AS pod_effective_usage_cpu_core_hours,
    grouped.limit_cpu / 3600 AS pod_limit_cpu_core_hours,
    grouped.usage_memory / 3600 / 1073741824 AS pod_usage_memory_gigabyte_hours,
    grouped.request_memory / 3600 / 1073741824 AS pod_request_memory_gigabyte_hours,
    grouped.effective_memory / 3600 / 1073741824 AS pod_effective_usage_memory_gigabyte_hours,
    grouped.limit_memory / 3600 / 1073741824 AS pod_limit_memory_gigabyte_hours,
    grouped.node_cpu_cores AS node_capacity_cpu_cores,
    nodes.cpu_core_seconds / 3600 AS node_capacity_cpu_core_hours,
    grouped.node_memory_bytes / 1073741824 AS node_capacity_memory_gigabytes,
    nodes.memory_byte_seconds / 3600 / 1073741824 AS node_capacity_memory_gigabyte_hours,
    clusters.cpu_core_seconds / 3600 AS cluster_capacity_cpu_core_hours,
    clusters.memory_byte_seconds / 3600 / 1073741824 AS cluster_capacity_memory_gigabyte_hours,
    categories.cost_category_id
FROM grouped
LEFT JOIN node_capacity AS nodes ON nodes.day = grouped.day AND nodes.node = grouped.node
LEFT JOIN cluster_capacity AS clusters ON clusters.day = grouped.day
LEFT JOIN namespace_categories AS categories ON categories.namespace = grouped.namespace
