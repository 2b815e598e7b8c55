WITH cores AS (
    SELECT
        groups.usage_start,
        groups.namespace,
        groups.data_source,
        groups.cost_category_id,
        groups.vm_name,
        places.node,
        places.resource_id,
        labels.pod_labels,
        labels.all_labels,
        max(groups.node_capacity_cpu_cores) AS node_capacity_cpu_cores,
        max(groups.node_capacity_cpu_core_hours) AS node_capacity_cpu_core_hours,
        max(groups.node_capacity_memory_gigabytes) AS node_capacity_memory_gigabytes,
        max(groups.node_capacity_memory_gigabyte_hours) AS node_capacity_memory_gigabyte_hours,
        max(groups.cluster_capacity_cpu_core_hours) AS cluster_capacity_cpu_core_hours,
        max(groups.cluster_capacity_memory_gigabyte_hours) AS cluster_capacity_memory_gigabyte_hours,
        max(days.cores) AS cores,
        max(days.hours) AS hours
    FROM machine_groups AS groups
    INNER JOIN machine_days AS days ON days.vm_name = groups.vm_name AND days.usage_start = groups.usage_start
    INNER JOIN machine_places AS places ON places.vm_name = groups.vm_name
    LEFT JOIN machine_labels AS labels ON labels.vm_name = groups.vm_name
    WHERE groups.is_running
    GROUP BY
        groups.usage_start,
        groups.namespace,
        groups.data_source,
        groups.cost_category_id,
        groups.vm_name,
        places.node,
        places.resource_id,
        labels.pod_labels,
        labels.all_labels
),

charges AS (
    SELECT groups.* EXCLUDE (vm_name, is_requested, is_running), rates.*, 1 / $days_in_month AS quantity
    FROM machine_groups AS groups
    INNER JOIN monthly_rates AS rates ON rates.metric = 'vm_cost_per_month'
    WHERE groups.is_requested
    UNION ALL BY NAME
    SELECT cores.* EXCLUDE (vm_name, cores, hours), rates.*, cores.cores / $days_in_month AS quantity
    FROM cores
    INNER JOIN monthly_rates AS rates ON rates.metric = 'vm_core_cost_per_month'
    UNION ALL BY NAME
    SELECT groups.* EXCLUDE (vm_name, is_requested, is_running), rates.*, days.hours AS quantity
    FROM machine_groups AS groups
    INNER JOIN machine_days AS days ON days.vm_name = groups.vm_name AND days.usage_start = groups.usage_start
    INNER JOIN hourly_rates AS rates ON rates.metric = 'vm_cost_per_hour'
    WHERE groups.is_running
    UNION ALL BY NAME
    SELECT cores.* EXCLUDE (vm_name, cores, hours), rates.*, cores.hours * cores.cores AS quantity
    FROM cores
    INNER JOIN hourly_rates AS rates ON rates.metric = 'vm_core_cost_per_hour'
)

SELECT
    charges.* EXCLUDE (cost_type, rate),
    charges.cost_type AS cost_model_rate_type,
    charges.rate AS unit_rate,
    'cpu' AS target
FROM charges
