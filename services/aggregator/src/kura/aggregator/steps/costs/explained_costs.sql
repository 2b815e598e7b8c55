WITH untagged AS (
    SELECT
        usage_start,
        namespace,
        node,
        data_source,
        cost_category_id,
        metric,
        cost_model_rate_type,
        monthly_cost_type,
        CAST(sum(CAST(quantity AS DECIMAL(38, 15))) AS DOUBLE) AS quantity
    FROM charges
    WHERE tag_key IS NULL
    GROUP BY
        usage_start, namespace, node, data_source, cost_category_id, metric, cost_model_rate_type, monthly_cost_type
),

measured AS (
    SELECT * FROM usage_quantities
    UNION ALL BY NAME
    SELECT * FROM untagged
),

lines AS (
    SELECT
        measured.*,
        rates.rate AS unit_rate,
        rates.rate_id,
        rates.custom_name,
        measured.quantity * rates.rate AS calculated_cost
    FROM measured
    INNER JOIN tiered_rates AS rates
        ON rates.metric = measured.metric AND rates.cost_type = measured.cost_model_rate_type
    WHERE measured.quantity <> 0 AND rates.rate <> 0
    UNION ALL BY NAME
    SELECT
        usage_start,
        namespace,
        node,
        data_source,
        cost_category_id,
        metric,
        cost_model_rate_type,
        monthly_cost_type,
        tag_key,
        tag_value,
        rate_id,
        custom_name,
        unit_rate,
        CAST(sum(CAST(quantity AS DECIMAL(38, 15))) AS DOUBLE) AS quantity,
        CAST(sum(CAST(quantity AS DECIMAL(38, 15))) AS DOUBLE) * unit_rate AS calculated_cost
    FROM charges
    WHERE tag_key IS NOT NULL
    GROUP BY
        usage_start,
        namespace,
        node,
        data_source,
        cost_category_id,
        metric,
        cost_model_rate_type,
        monthly_cost_type,
        tag_key,
        tag_value,
        rate_id,
        custom_name,
        unit_rate
    UNION ALL BY NAME
    SELECT
        usage_start,
        namespace,
        node,
        data_source,
        cost_category_id,
        cost_model_rate_type,
        pool_cost,
        distributed_cost
    FROM distributed
    WHERE distributed_cost <> 0
),

stored AS (
    SELECT
        * EXCLUDE (quantity, calculated_cost, pool_cost, distributed_cost),
        CAST(quantity AS DECIMAL(33, 15)) AS quantity,
        CAST(calculated_cost AS DECIMAL(33, 15)) AS calculated_cost,
        CAST(pool_cost AS DECIMAL(33, 15)) AS pool_cost,
        CAST(distributed_cost AS DECIMAL(33, 15)) AS distributed_cost
    FROM lines
),

of_days AS (
    SELECT
        namespace,
        node,
        data_source,
        cost_category_id,
        cost_model_rate_type,
        monthly_cost_type,
        metric,
        tag_key,
        tag_value,
        rate_id,
        custom_name,
        unit_rate,
        min(usage_start) AS usage_start,
        max(usage_start) AS usage_end,
        list({
            'day': usage_start,
            'quantity': quantity,
            'cost': coalesce(calculated_cost, distributed_cost),
            'pool_cost': pool_cost
        } ORDER BY usage_start) AS parts,
        CAST(sum(quantity) AS DECIMAL(33, 15)) AS quantity,
        CAST(sum(calculated_cost) AS DECIMAL(33, 15)) AS calculated_cost,
        CAST(sum(pool_cost) AS DECIMAL(33, 15)) AS pool_cost,
        CAST(sum(distributed_cost) AS DECIMAL(33, 15)) AS distributed_cost
    FROM stored
    GROUP BY
        namespace,
        node,
        data_source,
        cost_category_id,
        cost_model_rate_type,
        monthly_cost_type,
        metric,
        tag_key,
        tag_value,
        rate_id,
        custom_name,
        unit_rate
)

SELECT
    lines.usage_start,
    lines.usage_end,
    constants.report_period_id,
    constants.cluster_id,
    constants.cluster_alias,
    constants.source_uuid,
    constants.cost_model_id,
    constants.price_list_id,
    lines.data_source,
    lines.namespace,
    lines.node,
    lines.cost_category_id,
    lines.cost_model_rate_type,
    lines.monthly_cost_type,
    lines.metric,
    metrics.metric_type,
    lines.tag_key,
    lines.tag_value,
    lines.rate_id,
    lines.custom_name,
    CAST(lines.unit_rate AS DECIMAL(33, 15)) AS unit_rate,
    lines.quantity,
    lines.calculated_cost,
    lines.pool_cost,
    CAST(CAST(lines.distributed_cost AS DOUBLE) / nullif(CAST(lines.pool_cost AS DOUBLE), 0) AS DECIMAL(33, 15)) AS share,
    lines.distributed_cost,
    CASE WHEN len(lines.parts) > 1 THEN list_transform(lines.parts, lambda of_day: of_day.day) END AS days,
    CASE
        WHEN len(lines.parts) > 1 AND lines.quantity IS NOT NULL
            THEN list_transform(lines.parts, lambda of_day: of_day.quantity)
    END AS quantities,
    CASE WHEN len(lines.parts) > 1 THEN list_transform(lines.parts, lambda of_day: of_day.cost) END AS costs,
    CASE
        WHEN len(lines.parts) > 1 AND lines.pool_cost IS NOT NULL
            THEN list_transform(lines.parts, lambda of_day: of_day.pool_cost)
    END AS pool_costs
FROM of_days AS lines
CROSS JOIN constants
LEFT JOIN metrics ON metrics.metric = lines.metric
ORDER BY lines.usage_start, lines.namespace, lines.node
