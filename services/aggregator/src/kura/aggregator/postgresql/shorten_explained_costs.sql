-- $1 report period, $2 first day, $3 last day, $4 whether those of distributed GPUs too: the days go out of the lines
-- that are of other days as well
WITH kept AS (
    SELECT
        line.usage_start,
        line.uuid,
        min(part.day) AS first_day,
        max(part.day) AS last_day,
        array_agg(part.day ORDER BY part.day) AS days,
        array_agg(part.quantity ORDER BY part.day) AS quantities,
        array_agg(part.cost ORDER BY part.day) AS costs,
        array_agg(part.pool_cost ORDER BY part.day) AS pool_costs,
        sum(part.quantity) AS quantity,
        sum(part.cost) AS cost,
        sum(part.pool_cost) AS pool_cost
    FROM rates_to_usage AS line
    CROSS JOIN LATERAL unnest(line.days, line.quantities, line.costs, line.pool_costs)
        AS part (day, quantity, cost, pool_cost)
    WHERE
        line.source_uuid = (SELECT provider_id FROM reporting_ocpusagereportperiod WHERE id = $1)
        AND line.usage_start BETWEEN CAST(date_trunc('month', CAST($2 AS date)) AS date) AND $3
        AND line.usage_end >= $2
        AND ($4 OR line.cost_model_rate_type <> 'gpu_distributed')
        AND EXISTS (SELECT 1 FROM unnest(line.days) AS day WHERE day BETWEEN $2 AND $3)
        AND part.day NOT BETWEEN $2 AND $3
    GROUP BY line.usage_start, line.uuid
)

UPDATE rates_to_usage AS line
SET
    usage_start = kept.first_day,
    usage_end = kept.last_day,
    days = kept.days,
    quantities = CASE WHEN line.quantities IS NOT NULL THEN kept.quantities END,
    costs = kept.costs,
    pool_costs = CASE WHEN line.pool_costs IS NOT NULL THEN kept.pool_costs END,
    quantity = kept.quantity,
    calculated_cost = CASE WHEN line.calculated_cost IS NOT NULL THEN kept.cost END,
    pool_cost = kept.pool_cost,
    share = round(CASE WHEN line.distributed_cost IS NOT NULL THEN kept.cost / nullif(kept.pool_cost, 0) END, 15),
    distributed_cost = CASE WHEN line.distributed_cost IS NOT NULL THEN kept.cost END
FROM kept
WHERE line.usage_start = kept.usage_start AND line.uuid = kept.uuid
