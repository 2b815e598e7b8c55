WITH considered AS (
    SELECT *
    FROM project_days
    WHERE namespace NOT IN ('Worker unallocated', 'Storage unattributed', 'Network unattributed')
),

pools AS (
    SELECT
        usage_start,
        CAST(sum(CAST(cost AS DECIMAL(38, 15))) FILTER (WHERE is_platform) AS DOUBLE) AS pool,
        CAST(sum(CAST(weight AS DECIMAL(38, 15))) FILTER (WHERE NOT is_platform) AS DOUBLE) AS weight
    FROM considered
    GROUP BY usage_start
    HAVING sum(weight) FILTER (WHERE NOT is_platform) > 0
)

SELECT
    considered.* EXCLUDE (is_platform, cost, weight, raw_currency),
    'platform_distributed' AS cost_model_rate_type,
    pools.pool AS pool_cost,
    CASE WHEN NOT considered.is_platform THEN considered.weight / pools.weight END AS share,
    CASE
        WHEN considered.is_platform THEN -considered.cost
        ELSE considered.weight / pools.weight * pools.pool
    END AS distributed_cost
FROM considered
INNER JOIN pools ON pools.usage_start = considered.usage_start
WHERE pools.pool IS NOT NULL
