-- $1 source uuid, $2 first day, $3 last day, $4 … arrays: namespace, vm_name, node, pod_labels, claim
WITH machines AS (
    SELECT namespace, vm_name, node, CAST(pod_labels AS jsonb) AS pod_labels, claim
    FROM unnest(
        CAST($4 AS text []), CAST($5 AS text []), CAST($6 AS text []), CAST($7 AS text []), CAST($8 AS text [])
    ) AS given (namespace, vm_name, node, pod_labels, claim)
),

days AS (
    SELECT CAST(day AS date) AS day
    FROM generate_series(CAST($2 AS timestamp), CAST($3 AS timestamp), interval '1 day') AS series (day)
    WHERE EXISTS (
        SELECT 1
        FROM reporting_ocpusagelineitem_daily_summary
        WHERE source_uuid = CAST($1 AS uuid) AND usage_start = CAST(day AS date) AND data_source = 'Storage'
    )
    ORDER BY day DESC
    LIMIT 2
),

volumes AS (
    SELECT *
    FROM reporting_ocpusagelineitem_daily_summary
    WHERE source_uuid = CAST($1 AS uuid) AND usage_start BETWEEN $2 AND $3 AND data_source = 'Storage'
),

present AS (
    SELECT DISTINCT namespace, persistentvolumeclaim
    FROM volumes
    WHERE usage_start = (SELECT min(day) FROM days)
)

INSERT INTO reporting_ocp_vm_summary_p (
    usage_start, usage_end, source_uuid, cluster_id, cluster_alias, namespace, node, vm_name, pod_labels,
    cost_model_rate_type, cost_category_id, raw_currency, resource_ids,
    persistentvolumeclaim, storageclass,
    persistentvolumeclaim_usage_gigabyte_months, persistentvolumeclaim_capacity_gigabyte_months,
    infrastructure_raw_cost, infrastructure_markup_cost,
    cost_model_cpu_cost, cost_model_memory_cost, cost_model_volume_cost, cost_model_gpu_cost, distributed_cost
)
SELECT
    min(volumes.usage_start),
    max(volumes.usage_start),
    volumes.source_uuid,
    volumes.cluster_id,
    max(volumes.cluster_alias),
    machines.namespace,
    machines.node,
    machines.vm_name,
    coalesce(volumes.volume_labels, '{}') || coalesce(machines.pod_labels, '{}'),
    volumes.cost_model_rate_type,
    max(volumes.cost_category_id),
    max(volumes.raw_currency),
    array_agg(DISTINCT volumes.resource_id ORDER BY volumes.resource_id),
    machines.claim,
    max(volumes.storageclass),
    max(volumes.persistentvolumeclaim_usage_gigabyte_months),
    max(volumes.persistentvolumeclaim_capacity_gigabyte_months),
    sum(volumes.infrastructure_raw_cost),
    sum(volumes.infrastructure_markup_cost),
    sum(volumes.cost_model_cpu_cost),
    sum(volumes.cost_model_memory_cost),
    sum(volumes.cost_model_volume_cost),
    sum(volumes.cost_model_gpu_cost),
    sum(volumes.distributed_cost)
FROM volumes
INNER JOIN machines ON machines.namespace = volumes.namespace AND machines.claim = volumes.persistentvolumeclaim
INNER JOIN present ON present.namespace = volumes.namespace AND present.persistentvolumeclaim = machines.claim
WHERE volumes.node IS NOT NULL AND volumes.resource_id IS NOT NULL
GROUP BY
    volumes.source_uuid,
    volumes.cluster_id,
    volumes.cost_model_rate_type,
    machines.namespace,
    machines.node,
    machines.vm_name,
    coalesce(volumes.volume_labels, '{}') || coalesce(machines.pod_labels, '{}'),
    machines.claim
