-- $1 source uuid, $2 first day, $3 last day, $4 … arrays: namespace, vm_name, node, pod_labels, cpu, memory
WITH machines AS (
    SELECT namespace, vm_name, node, CAST(pod_labels AS jsonb) AS pod_labels, cpu, memory
    FROM unnest(
        CAST($4 AS text []), CAST($5 AS text []), CAST($6 AS text []), CAST($7 AS text []),
        CAST($8 AS text []), CAST($9 AS text [])
    ) AS given (namespace, vm_name, node, pod_labels, cpu, memory)
)

INSERT INTO reporting_ocp_vm_summary_p (
    usage_start, usage_end, source_uuid, cluster_id, cluster_alias, namespace, node, vm_name, pod_labels,
    cost_model_rate_type, cost_category_id, raw_currency, resource_ids,
    pod_request_cpu_core_hours, pod_request_memory_gigabyte_hours,
    infrastructure_raw_cost, infrastructure_markup_cost,
    cost_model_cpu_cost, cost_model_memory_cost, cost_model_volume_cost, cost_model_gpu_cost, distributed_cost
)
SELECT
    min(daily.usage_start),
    max(daily.usage_start),
    daily.source_uuid,
    daily.cluster_id,
    max(daily.cluster_alias),
    machines.namespace,
    machines.node,
    machines.vm_name,
    machines.pod_labels,
    daily.cost_model_rate_type,
    max(daily.cost_category_id),
    max(daily.raw_currency),
    array_agg(DISTINCT daily.resource_id ORDER BY daily.resource_id),
    CAST(machines.cpu AS numeric),
    CAST(machines.memory AS numeric),
    sum(daily.infrastructure_raw_cost),
    sum(daily.infrastructure_markup_cost),
    sum(daily.cost_model_cpu_cost),
    sum(daily.cost_model_memory_cost),
    sum(daily.cost_model_volume_cost),
    sum(daily.cost_model_gpu_cost),
    sum(daily.distributed_cost)
FROM reporting_ocpusagelineitem_daily_summary AS daily
INNER JOIN machines
    ON machines.namespace = daily.namespace AND machines.vm_name = daily.pod_labels ->> 'vm_kubevirt_io_name'
WHERE
    daily.source_uuid = CAST($1 AS uuid)
    AND daily.usage_start BETWEEN $2 AND $3
    AND daily.data_source = 'Pod'
    AND daily.all_labels ? 'vm_kubevirt_io_name'
    AND daily.namespace NOT IN (
        'Worker unallocated', 'Platform unallocated', 'Network unattributed', 'Storage unattributed'
    )
    AND coalesce(daily.cost_model_cpu_cost, 0) + coalesce(daily.cost_model_memory_cost, 0)
        + coalesce(daily.cost_model_volume_cost, 0) + coalesce(daily.distributed_cost, 0)
        + coalesce(daily.infrastructure_raw_cost, 0) + coalesce(daily.infrastructure_markup_cost, 0) <> 0
GROUP BY
    daily.source_uuid,
    daily.cluster_id,
    daily.cost_model_rate_type,
    machines.namespace,
    machines.node,
    machines.vm_name,
    machines.pod_labels,
    machines.cpu,
    machines.memory
