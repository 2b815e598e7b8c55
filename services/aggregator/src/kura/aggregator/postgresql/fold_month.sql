-- $1 source uuid, $2 first and $3 last day of the month
INSERT INTO reporting_ocp_month_summary_p (
    usage_start, usage_end,
    source_uuid, cluster_id, cluster_alias, cost_category_id, raw_currency, cost_model_rate_type, data_source,
    namespace, node, persistentvolumeclaim, storageclass, pod_labels, volume_labels, all_labels,
    infrastructure_raw_cost, infrastructure_markup_cost, cost_model_cpu_cost, cost_model_memory_cost,
    cost_model_volume_cost, cost_model_gpu_cost, distributed_cost, pod_usage_cpu_core_hours,
    pod_request_cpu_core_hours, pod_effective_usage_cpu_core_hours, pod_limit_cpu_core_hours,
    pod_usage_memory_gigabyte_hours, pod_request_memory_gigabyte_hours, pod_effective_usage_memory_gigabyte_hours,
    pod_limit_memory_gigabyte_hours, volume_request_storage_gigabyte_months,
    persistentvolumeclaim_usage_gigabyte_months, persistentvolumeclaim_capacity_gigabyte_months,
    infrastructure_data_in_gigabytes, infrastructure_data_out_gigabytes
)
SELECT
    date_trunc('month', min(usage_start)), max(usage_start),
    source_uuid, cluster_id, cluster_alias, cost_category_id, raw_currency, cost_model_rate_type, data_source,
    namespace, node, persistentvolumeclaim, storageclass, pod_labels, volume_labels, all_labels,
    sum(infrastructure_raw_cost), sum(infrastructure_markup_cost), sum(cost_model_cpu_cost),
    sum(cost_model_memory_cost), sum(cost_model_volume_cost), sum(cost_model_gpu_cost), sum(distributed_cost),
    sum(pod_usage_cpu_core_hours), sum(pod_request_cpu_core_hours), sum(pod_effective_usage_cpu_core_hours),
    sum(pod_limit_cpu_core_hours), sum(pod_usage_memory_gigabyte_hours), sum(pod_request_memory_gigabyte_hours),
    sum(pod_effective_usage_memory_gigabyte_hours), sum(pod_limit_memory_gigabyte_hours),
    sum(volume_request_storage_gigabyte_months), sum(persistentvolumeclaim_usage_gigabyte_months),
    sum(persistentvolumeclaim_capacity_gigabyte_months), sum(infrastructure_data_in_gigabytes),
    sum(infrastructure_data_out_gigabytes)
FROM reporting_ocpusagelineitem_daily_summary
WHERE source_uuid = CAST($1 AS uuid) AND usage_start BETWEEN $2 AND $3
GROUP BY
    source_uuid, cluster_id, cluster_alias, cost_category_id, raw_currency, cost_model_rate_type, data_source,
    namespace, node, persistentvolumeclaim, storageclass, pod_labels, volume_labels, all_labels
