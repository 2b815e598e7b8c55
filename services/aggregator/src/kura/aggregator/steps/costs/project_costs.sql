WITH parts AS (
    SELECT
        namespace,
        sum(infrastructure_raw_cost) AS raw_cost,
        sum(infrastructure_markup_cost) AS markup_cost,
        CAST(NULL AS VARCHAR) AS kind,
        CAST(NULL AS DOUBLE) AS cost
    FROM base
    GROUP BY namespace
    UNION ALL BY NAME
    SELECT
        namespace,
        cost_model_rate_type AS kind,
        sum(
            coalesce(cost_model_cpu_cost, 0) + coalesce(cost_model_memory_cost, 0) + coalesce(cost_model_volume_cost, 0)
        ) AS cost
    FROM usage_rows
    GROUP BY namespace, cost_model_rate_type
    UNION ALL BY NAME
    SELECT namespace, cost_model_rate_type AS kind, sum(quantity * unit_rate) AS cost
    FROM charges
    GROUP BY namespace, cost_model_rate_type
    UNION ALL BY NAME
    SELECT namespace, cost_model_rate_type AS kind, sum(distributed_cost) AS cost
    FROM distributed
    GROUP BY namespace, cost_model_rate_type
)

SELECT
    coalesce(namespace, '') AS namespace,
    coalesce(sum(raw_cost), 0) AS raw_cost,
    coalesce(sum(markup_cost), 0) AS markup_cost,
    coalesce(sum(cost) FILTER (WHERE kind = 'Infrastructure'), 0) AS infrastructure_usage_cost,
    coalesce(sum(cost) FILTER (WHERE kind = 'Supplementary'), 0) AS supplementary_usage_cost,
    coalesce(sum(cost) FILTER (WHERE kind = 'platform_distributed'), 0) AS platform_distributed,
    coalesce(sum(cost) FILTER (WHERE kind = 'worker_distributed'), 0) AS worker_distributed,
    coalesce(sum(cost) FILTER (WHERE kind = 'unattributed_storage'), 0) AS unattributed_storage,
    coalesce(sum(cost) FILTER (WHERE kind = 'unattributed_network'), 0) AS unattributed_network,
    coalesce(sum(cost) FILTER (WHERE kind = 'gpu_distributed'), 0) AS gpu_distributed
FROM parts
GROUP BY coalesce(namespace, '')
