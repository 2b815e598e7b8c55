-- $1 source uuid, $2 first day, $3 last day
SELECT
    coalesce(namespace, '') AS namespace,
    CAST(coalesce(sum(infrastructure_raw_cost), 0) AS double precision) AS raw_cost,
    CAST(coalesce(sum(infrastructure_markup_cost), 0) AS double precision) AS markup_cost,
    CAST(coalesce(sum(rates) FILTER (WHERE kind = 'Infrastructure'), 0) AS double precision)
        AS infrastructure_usage_cost,
    CAST(coalesce(sum(rates) FILTER (WHERE kind = 'Supplementary'), 0) AS double precision)
        AS supplementary_usage_cost,
    CAST(coalesce(sum(distributed_cost) FILTER (WHERE kind = 'platform_distributed'), 0) AS double precision)
        AS platform_distributed,
    CAST(coalesce(sum(distributed_cost) FILTER (WHERE kind = 'worker_distributed'), 0) AS double precision)
        AS worker_distributed,
    CAST(coalesce(sum(distributed_cost) FILTER (WHERE kind = 'unattributed_storage'), 0) AS double precision)
        AS unattributed_storage,
    CAST(coalesce(sum(distributed_cost) FILTER (WHERE kind = 'unattributed_network'), 0) AS double precision)
        AS unattributed_network,
    CAST(coalesce(sum(distributed_cost) FILTER (WHERE kind = 'gpu_distributed'), 0) AS double precision)
        AS gpu_distributed
FROM (
    SELECT
        namespace,
        infrastructure_raw_cost,
        infrastructure_markup_cost,
        distributed_cost,
        cost_model_rate_type AS kind,
        coalesce(cost_model_cpu_cost, 0) + coalesce(cost_model_memory_cost, 0)
        + coalesce(cost_model_volume_cost, 0) + coalesce(cost_model_gpu_cost, 0) AS rates
    FROM reporting_ocp_cost_summary_by_project_p
    WHERE source_uuid = CAST($1 AS uuid) AND usage_start BETWEEN $2 AND $3
) AS stored
GROUP BY coalesce(namespace, '')
