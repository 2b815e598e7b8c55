WITH considered AS (
    SELECT *
    FROM project_days
    WHERE namespace NOT IN ($other, 'Worker unallocated') AND NOT is_platform
),

pools AS (
    SELECT
        usage_start,
        CAST(sum(CAST(cost AS DECIMAL(38, 15))) FILTER (WHERE namespace = $unattributed) AS DOUBLE) AS pool,
        CAST(sum(CAST(weight AS DECIMAL(38, 15))) FILTER (WHERE namespace <> $unattributed) AS DOUBLE) AS weight
    FROM considered
    GROUP BY usage_start
)

SELECT
    considered.* EXCLUDE (is_platform, cost, weight),
    $kind AS cost_model_rate_type,
    pools.pool AS pool_cost,
    CASE
        WHEN considered.namespace <> $unattributed AND pools.weight > 0 THEN considered.weight / pools.weight
    END AS share,
    CASE
        WHEN considered.namespace = $unattributed THEN -considered.cost
        WHEN pools.weight > 0 THEN considered.weight / pools.weight * pools.pool
        ELSE 0
    END AS distributed_cost
FROM considered
INNER JOIN pools ON pools.usage_start = considered.usage_start
WHERE pools.pool IS NOT NULL
