WITH rates AS (
    SELECT labels, metric, cost_type, tag_key, tag_value, rate, rate_id, custom_name
    FROM label_rates
    WHERE starts_with(metric, 'vm_') AND rate <> 0
),

cores AS (
    SELECT
        groups.usage_start,
        groups.namespace,
        groups.data_source,
        groups.cost_category_id,
        groups.pod_labels,
        groups.all_labels,
        places.node,
        places.resource_id,
        max(groups.node_capacity_cpu_cores) AS node_capacity_cpu_cores,
        max(groups.node_capacity_cpu_core_hours) AS node_capacity_cpu_core_hours,
        max(groups.node_capacity_memory_gigabytes) AS node_capacity_memory_gigabytes,
        max(groups.node_capacity_memory_gigabyte_hours) AS node_capacity_memory_gigabyte_hours,
        max(groups.cluster_capacity_cpu_core_hours) AS cluster_capacity_cpu_core_hours,
        max(groups.cluster_capacity_memory_gigabyte_hours) AS cluster_capacity_memory_gigabyte_hours,
        max(days.cores) AS cores,
        max(days.longest_hours) AS longest_hours
    FROM machine_groups AS groups
    INNER JOIN machine_days AS days ON days.vm_name = groups.vm_name AND days.usage_start = groups.usage_start
    INNER JOIN machine_places AS places ON places.vm_name = groups.vm_name
    WHERE groups.is_running
    GROUP BY
        groups.usage_start,
        groups.namespace,
        groups.data_source,
        groups.cost_category_id,
        groups.pod_labels,
        groups.all_labels,
        places.node,
        places.resource_id
),

labelled_elsewhere AS (
    SELECT
        groups.* EXCLUDE (vm_name, is_requested, is_running),
        usual.* EXCLUDE (is_default)
    FROM machine_groups AS groups
    INNER JOIN tag_rates AS usual
        ON
            usual.metric = 'vm_cost_per_month'
            AND usual.is_default
            AND usual.rate <> 0
            AND list_contains(json_keys(groups.all_labels), usual.tag_key)
    WHERE groups.is_requested AND NOT coalesce(list_contains(json_keys(groups.pod_labels), usual.tag_key), false)
),

charges AS (
    SELECT groups.* EXCLUDE (vm_name, is_requested, is_running), rates.*, 1 / $days_in_month AS quantity
    FROM machine_groups AS groups
    INNER JOIN rates ON rates.labels = groups.pod_labels AND rates.metric = 'vm_cost_per_month'
    WHERE groups.is_requested
    UNION ALL BY NAME
    SELECT *, 1 / $days_in_month AS quantity FROM labelled_elsewhere
    UNION ALL BY NAME
    SELECT groups.* EXCLUDE (vm_name, is_requested, is_running), rates.*, days.hours AS quantity
    FROM machine_groups AS groups
    INNER JOIN machine_days AS days ON days.vm_name = groups.vm_name AND days.usage_start = groups.usage_start
    INNER JOIN rates ON rates.labels = groups.pod_labels AND rates.metric = 'vm_cost_per_hour'
    WHERE groups.is_running
    UNION ALL BY NAME
    SELECT
        cores.* EXCLUDE (cores, longest_hours),
        rates.*,
        CASE rates.metric
            WHEN 'vm_core_cost_per_month' THEN cores.cores / $days_in_month
            ELSE cores.cores * cores.longest_hours
        END AS quantity
    FROM cores
    INNER JOIN rates
        ON rates.labels = cores.pod_labels AND rates.metric IN ('vm_core_cost_per_month', 'vm_core_cost_per_hour')
)

SELECT
    charges.* EXCLUDE (labels, cost_type, rate),
    charges.cost_type AS cost_model_rate_type,
    'Tag' AS monthly_cost_type,
    charges.rate AS unit_rate,
    'cpu' AS target
FROM charges
