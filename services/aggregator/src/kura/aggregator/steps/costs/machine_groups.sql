SELECT
    usage_start,
    node,
    namespace,
    data_source,
    cost_category_id,
    pod_labels,
    all_labels,
    json_extract_string(pod_labels, '$.vm_kubevirt_io_name') AS vm_name,
    max(resource_id) AS resource_id,
    max(node_capacity_cpu_cores) AS node_capacity_cpu_cores,
    max(node_capacity_cpu_core_hours) AS node_capacity_cpu_core_hours,
    max(node_capacity_memory_gigabytes) AS node_capacity_memory_gigabytes,
    max(node_capacity_memory_gigabyte_hours) AS node_capacity_memory_gigabyte_hours,
    max(cluster_capacity_cpu_core_hours) AS cluster_capacity_cpu_core_hours,
    max(cluster_capacity_memory_gigabyte_hours) AS cluster_capacity_memory_gigabyte_hours,
    coalesce(bool_or(pod_request_cpu_core_hours <> 0), false) AS is_requested,
    bool_or(pod_usage_cpu_core_hours IS NOT NULL AND pod_request_cpu_core_hours IS NOT NULL) AS is_running
FROM base
WHERE data_source = 'Pod' AND contains(all_labels, '"vm_kubevirt_io_name":')
GROUP BY usage_start, node, namespace, data_source, cost_category_id, pod_labels, all_labels
