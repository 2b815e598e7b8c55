-- $1 source uuid, $2 first day, $3 last day
INSERT INTO reporting_ocp_gpu_summary_p (
    usage_start, usage_end, source_uuid, cluster_id, cluster_alias, namespace, node, cost_category_id,
    vendor_name, model_name, memory_capacity_gb, gpu_uuid, mig_instance_id, gpu_mode, mig_profile,
    mig_slice_count, gpu_max_slices, mig_memory_capacity_gb, mig_strategy,
    cost_model_gpu_cost, raw_currency, cost_model_rate_type
)
SELECT
    usage_start,
    usage_start,
    source_uuid,
    cluster_id,
    cluster_alias,
    namespace,
    node,
    cost_category_id,
    all_labels ->> 'gpu-vendor',
    all_labels ->> 'gpu-model',
    max(CAST(nullif(all_labels ->> 'gpu-memory-mib', '') AS numeric)) * 0.001048576,
    coalesce(resource_id, all_labels ->> 'gpu-uuid'),
    max(nullif(all_labels ->> 'mig-instance-id', '')),
    coalesce(max(nullif(all_labels ->> 'gpu-mode', '')), 'dedicated'),
    max(nullif(all_labels ->> 'mig-profile', '')),
    CAST(max(CAST(nullif(all_labels ->> 'mig-slice-count', '') AS numeric)) AS integer),
    CAST(max(CAST(nullif(all_labels ->> 'gpu-max-slices', '') AS numeric)) AS integer),
    max(CAST(nullif(all_labels ->> 'mig-memory-mib', '') AS numeric)) * 0.001048576,
    max(all_labels ->> 'mig-strategy'),
    sum(cost_model_gpu_cost),
    max(raw_currency),
    max(cost_model_rate_type)
FROM reporting_ocpusagelineitem_daily_summary
WHERE
    source_uuid = CAST($1 AS uuid)
    AND usage_start BETWEEN $2 AND $3
    AND data_source = 'GPU'
    AND cost_model_rate_type <> 'gpu_distributed'
    AND namespace <> 'GPU unallocated'
GROUP BY
    usage_start,
    source_uuid,
    cluster_id,
    cluster_alias,
    namespace,
    node,
    cost_category_id,
    all_labels ->> 'gpu-vendor',
    all_labels ->> 'gpu-model',
    all_labels ->> 'mig-profile',
    all_labels ->> 'mig-instance-id',
    coalesce(resource_id, all_labels ->> 'gpu-uuid')
