WITH weights AS (
    SELECT
        day,
        node,
        gpu_model_name,
        namespace,
        sum(gpu_pod_uptime * coalesce(mig_slice_count, 1)) AS weight
    FROM gpu_daily
    GROUP BY day, node, gpu_model_name, namespace
),

totals AS (
    SELECT day, node, gpu_model_name, CAST(sum(CAST(weight AS DECIMAL(38, 15))) AS DOUBLE) AS weight
    FROM weights
    GROUP BY day, node, gpu_model_name
    HAVING sum(weight) > 0
),

pools AS (
    SELECT usage_start, node, gpu_model_name, CAST(sum(CAST(cost AS DECIMAL(38, 15))) AS DOUBLE) AS pool
    FROM unallocated
    GROUP BY usage_start, node, gpu_model_name
),

shares AS (
    SELECT
        weights.day AS usage_start,
        weights.node,
        weights.namespace,
        pools.pool AS pool_cost,
        weights.weight / totals.weight AS share,
        weights.weight / totals.weight * pools.pool AS distributed_cost
    FROM weights
    INNER JOIN totals
        ON
            totals.day = weights.day
            AND totals.node = weights.node
            AND totals.gpu_model_name = weights.gpu_model_name
    INNER JOIN pools
        ON
            pools.usage_start = weights.day
            AND pools.node = weights.node
            AND pools.gpu_model_name = weights.gpu_model_name
),

given_out AS (
    SELECT
        usage_start,
        node,
        namespace,
        max_by(pool_cost, distributed_cost) AS pool_cost,
        max_by(share, distributed_cost) AS share,
        max(distributed_cost) AS distributed_cost
    FROM shares
    GROUP BY usage_start, node, namespace
),

taken AS (
    SELECT
        unallocated.usage_start,
        unallocated.node,
        'GPU unallocated' AS namespace,
        unallocated.cost AS pool_cost,
        -unallocated.cost AS distributed_cost
    FROM unallocated
    INNER JOIN totals
        ON
            totals.day = unallocated.usage_start
            AND totals.node = unallocated.node
            AND totals.gpu_model_name = unallocated.gpu_model_name
)

SELECT *, 'GPU' AS data_source, 'gpu_distributed' AS cost_model_rate_type
FROM (
    SELECT * FROM given_out
    UNION ALL BY NAME
    SELECT * FROM taken
)
