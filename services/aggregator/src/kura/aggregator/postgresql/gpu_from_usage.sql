-- $1 source uuid, $2 cluster id, $3 cluster alias, $4 … one array per column of the rows
INSERT INTO reporting_ocp_gpu_summary_p (
    source_uuid, cluster_id, cluster_alias, usage_start, usage_end, namespace, node,
    vendor_name, model_name, memory_capacity_gb, gpu_uuid, mig_instance_id, gpu_mode, mig_profile,
    mig_slice_count, gpu_max_slices, mig_memory_capacity_gb, mig_strategy, cost_category_id
)
SELECT
    CAST($1 AS uuid),
    $2,
    $3,
    given.usage_start,
    given.usage_start,
    given.namespace,
    given.node,
    given.vendor_name,
    given.model_name,
    CAST(given.memory_capacity_gb AS numeric),
    given.gpu_uuid,
    given.mig_instance_id,
    given.gpu_mode,
    given.mig_profile,
    given.mig_slice_count,
    given.gpu_max_slices,
    CAST(given.mig_memory_capacity_gb AS numeric),
    given.mig_strategy,
    given.cost_category_id
FROM unnest(
    CAST($4 AS date []), CAST($5 AS text []), CAST($6 AS text []), CAST($7 AS text []), CAST($8 AS text []),
    CAST($9 AS text []), CAST($10 AS text []), CAST($11 AS text []), CAST($12 AS text []), CAST($13 AS text []),
    CAST($14 AS integer []), CAST($15 AS integer []), CAST($16 AS text []), CAST($17 AS text []),
    CAST($18 AS integer [])
) AS given (
    usage_start, namespace, node, vendor_name, model_name, memory_capacity_gb, gpu_uuid, mig_instance_id, gpu_mode,
    mig_profile, mig_slice_count, gpu_max_slices, mig_memory_capacity_gb, mig_strategy, cost_category_id
)
