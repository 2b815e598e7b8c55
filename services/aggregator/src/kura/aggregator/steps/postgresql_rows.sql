SELECT
    summary.usage_start,
    summary.usage_start AS usage_end,
    constants.report_period_id,
    constants.cluster_id,
    constants.cluster_alias,
    constants.source_uuid,
    summary.data_source,
    summary.namespace,
    summary.node,
    summary.resource_id,
    postgresql_jsonb(coalesce(mapped_pods.mapped, summary.pod_labels)) AS pod_labels,
    postgresql_jsonb(coalesce(mapped_volumes.mapped, summary.volume_labels)) AS volume_labels,
    postgresql_jsonb(coalesce(mapped_all.mapped, summary.all_labels)) AS all_labels,
    postgresql_numeric(summary.pod_usage_cpu_core_hours) AS pod_usage_cpu_core_hours,
    postgresql_numeric(summary.pod_request_cpu_core_hours) AS pod_request_cpu_core_hours,
    postgresql_numeric(summary.pod_effective_usage_cpu_core_hours) AS pod_effective_usage_cpu_core_hours,
    postgresql_numeric(summary.pod_limit_cpu_core_hours) AS pod_limit_cpu_core_hours,
    postgresql_numeric(summary.pod_usage_memory_gigabyte_hours) AS pod_usage_memory_gigabyte_hours,
    postgresql_numeric(summary.pod_request_memory_gigabyte_hours) AS pod_request_memory_gigabyte_hours,
    postgresql_numeric(summary.pod_effective_usage_memory_gigabyte_hours) AS pod_effective_usage_memory_gigabyte_hours,
    postgresql_numeric(summary.pod_limit_memory_gigabyte_hours) AS pod_limit_memory_gigabyte_hours,
    postgresql_numeric(summary.node_capacity_cpu_cores) AS node_capacity_cpu_cores,
    postgresql_numeric(summary.node_capacity_cpu_core_hours) AS node_capacity_cpu_core_hours,
    postgresql_numeric(summary.node_capacity_memory_gigabytes) AS node_capacity_memory_gigabytes,
    postgresql_numeric(summary.node_capacity_memory_gigabyte_hours) AS node_capacity_memory_gigabyte_hours,
    postgresql_numeric(summary.cluster_capacity_cpu_core_hours) AS cluster_capacity_cpu_core_hours,
    postgresql_numeric(summary.cluster_capacity_memory_gigabyte_hours) AS cluster_capacity_memory_gigabyte_hours,
    summary.persistentvolumeclaim,
    summary.persistentvolume,
    summary.storageclass,
    postgresql_numeric(summary.persistentvolumeclaim_capacity_gigabyte) AS persistentvolumeclaim_capacity_gigabyte,
    postgresql_numeric(summary.persistentvolumeclaim_capacity_gigabyte_months) AS persistentvolumeclaim_capacity_gigabyte_months,
    postgresql_numeric(summary.volume_request_storage_gigabyte_months) AS volume_request_storage_gigabyte_months,
    postgresql_numeric(summary.persistentvolumeclaim_usage_gigabyte_months) AS persistentvolumeclaim_usage_gigabyte_months,
    summary.cost_category_id,
    postgresql_jsonb(summary.infrastructure_usage_cost) AS infrastructure_usage_cost
FROM summary
CROSS JOIN constants
LEFT JOIN mapped AS mapped_pods ON mapped_pods.labels = summary.pod_labels
LEFT JOIN mapped AS mapped_volumes ON mapped_volumes.labels = summary.volume_labels
LEFT JOIN mapped AS mapped_all ON mapped_all.labels = summary.all_labels
WHERE hash(summary.namespace, summary.node) % constants.parts = constants.part
