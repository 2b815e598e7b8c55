WITH allocated AS (
    SELECT
        node_groups.*,
        rates.metric,
        rates.cost_type,
        rates.tag_key,
        rates.tag_value,
        rates.own_label,
        rates.rate,
        rates.rate_id,
        rates.custom_name,
        CASE
            WHEN rates.metric = 'node_core_cost_per_hour' THEN 'Node_Core_Hour'
            ELSE rates.monthly_cost_type
        END AS marked
    FROM node_groups
    INNER JOIN label_rates AS rates ON rates.labels = node_groups.pod_labels
    WHERE rates.metric IN ('node_cost_per_month', 'node_core_cost_per_month', 'node_core_cost_per_hour')
),

unallocated AS (
    SELECT
        usage_start,
        node,
        metric,
        cost_type,
        tag_key,
        tag_value,
        own_label,
        rate,
        rate_id,
        custom_name,
        marked,
        max(resource_id) AS resource_id,
        max(node_capacity_cpu_cores) AS node_capacity_cpu_cores,
        max(node_capacity_cpu_core_hours) AS node_capacity_cpu_core_hours,
        max(node_capacity_memory_gigabytes) AS node_capacity_memory_gigabytes,
        max(node_capacity_memory_gigabyte_hours) AS node_capacity_memory_gigabyte_hours,
        max(cluster_capacity_cpu_core_hours) AS cluster_capacity_cpu_core_hours,
        max(cluster_capacity_memory_gigabyte_hours) AS cluster_capacity_memory_gigabyte_hours,
        max(node_weight) AS node_weight,
        max(node_weight) - CAST(sum(CAST(used AS DECIMAL(38, 15))) AS DOUBLE) AS idle
    FROM allocated
    GROUP BY
        usage_start, node, metric, cost_type, tag_key, tag_value, own_label, rate, rate_id, custom_name, marked
),

both_parts AS (
    SELECT
        * EXCLUDE (pod_labels, cluster_weight, used, effective_cpu),
        CASE WHEN metric = 'node_core_cost_per_hour' THEN effective_cpu ELSE used END AS amount
    FROM allocated
    UNION ALL BY NAME
    SELECT
        unallocated.* EXCLUDE (idle),
        unallocated.idle AS amount,
        unallocated.own_label AS all_labels,
        names.namespace,
        names.cost_category_id
    FROM unallocated
    LEFT JOIN unallocated_names AS names
        ON names.node = unallocated.node AND names.resource_id = unallocated.resource_id
)

SELECT
    usage_start,
    'Pod' AS data_source,
    namespace,
    node,
    resource_id,
    own_label AS pod_labels,
    all_labels,
    cost_category_id,
    node_capacity_cpu_cores,
    node_capacity_cpu_core_hours,
    node_capacity_memory_gigabytes,
    node_capacity_memory_gigabyte_hours,
    cluster_capacity_cpu_core_hours,
    cluster_capacity_memory_gigabyte_hours,
    cost_type AS cost_model_rate_type,
    marked AS monthly_cost_type,
    metric,
    tag_key,
    tag_value,
    rate_id,
    custom_name,
    rate AS unit_rate,
    CASE metric
        WHEN 'node_cost_per_month' THEN amount / nullif(node_weight, 0) / $days_in_month
        WHEN 'node_core_cost_per_month'
            THEN amount / nullif(node_weight, 0) * node_capacity_cpu_cores / $days_in_month
        ELSE amount
    END AS quantity,
    $weight AS target
FROM both_parts
WHERE rate <> 0
