WITH keys AS (
    SELECT DISTINCT cost_type, tag_key FROM gpu_rates
),

models AS (
    SELECT DISTINCT gpu_vendor_name, gpu_model_name FROM gpu_daily
),

rates AS (
    SELECT
        models.gpu_vendor_name,
        models.gpu_model_name,
        keys.cost_type,
        coalesce(listed.rate, usual.rate) AS rate,
        coalesce(listed.rate_id, usual.rate_id) AS rate_id,
        coalesce(listed.custom_name, usual.custom_name) AS custom_name
    FROM models
    INNER JOIN keys ON keys.tag_key = models.gpu_vendor_name
    LEFT JOIN gpu_rates AS listed
        ON
            listed.cost_type = keys.cost_type
            AND listed.tag_key = keys.tag_key
            AND listed.tag_value = models.gpu_model_name
    LEFT JOIN gpu_rates AS usual
        ON usual.cost_type = keys.cost_type AND usual.tag_key = keys.tag_key AND usual.is_default
),

categories AS (
    SELECT namespaces.namespace, max(category_patterns.cost_category_id) AS cost_category_id
    FROM (SELECT DISTINCT namespace FROM gpu_daily) AS namespaces
    INNER JOIN category_patterns ON namespaces.namespace LIKE category_patterns.pattern
    GROUP BY namespaces.namespace
),

used AS (
    SELECT
        items.day AS usage_start,
        items.namespace,
        items.node,
        items.gpu_uuid AS resource_id,
        categories.cost_category_id,
        labels_text([
            {'key': 'gpu-model', 'value': items.gpu_model_name},
            {'key': 'gpu-vendor', 'value': items.gpu_vendor_name},
            {'key': 'gpu-memory-mib', 'value': coalesce(CAST(CAST(items.gpu_memory_capacity_mib AS BIGINT) AS VARCHAR), '')},
            {'key': 'mig-profile', 'value': coalesce(items.mig_profile, '')},
            {'key': 'mig-slice-count', 'value': coalesce(CAST(CAST(items.mig_slice_count AS BIGINT) AS VARCHAR), '')},
            {'key': 'gpu-max-slices', 'value': coalesce(CAST(CAST(items.gpu_max_slices AS BIGINT) AS VARCHAR), '')},
            {'key': 'mig-strategy', 'value': coalesce(items.mig_strategy, '')},
            {'key': 'mig-memory-mib', 'value': coalesce(CAST(CAST(items.mig_memory_capacity_mib AS BIGINT) AS VARCHAR), '')},
            {'key': 'gpu-mode', 'value': CASE WHEN coalesce(items.mig_profile, '') = '' THEN 'dedicated' ELSE 'MIG' END},
            {'key': 'gpu-uuid', 'value': coalesce(items.gpu_uuid, '')},
            {'key': 'mig-instance-id', 'value': coalesce(items.mig_instance_id, '')}
        ]) AS all_labels,
        items.gpu_vendor_name,
        items.gpu_model_name,
        items.gpu_pod_uptime / 86400
        * CASE WHEN items.gpu_max_slices > 0 THEN coalesce(items.mig_slice_count / items.gpu_max_slices, 1) ELSE 1 END
        / $days_in_month AS quantity
    FROM gpu_daily AS items
    LEFT JOIN categories ON categories.namespace = items.namespace
),

used_of_nodes AS (
    SELECT
        day,
        node,
        gpu_vendor_name,
        gpu_model_name,
        max(coalesce(gpu_max_slices, 1)) AS max_slices,
        sum(gpu_pod_uptime * coalesce(mig_slice_count, 1)) / 3600 AS slice_hours
    FROM gpu_daily
    GROUP BY day, node, gpu_vendor_name, gpu_model_name
),

label_texts AS (
    SELECT
        node_labels,
        TRY_CAST(json_extract_string(node_labels, '$.nvidia_com_gpu_count') AS DOUBLE) AS gpu_count,
        coalesce(json_extract_string(node_labels, '$.nvidia_com_mig_strategy'), 'mixed') AS strategy
    FROM (SELECT DISTINCT node_labels FROM gpu_node_hours)
    WHERE lower(json_extract_string(node_labels, '$.nvidia_com_gpu_present')) = 'true'
),

capacities AS (
    SELECT hours.day, hours.node, label_texts.gpu_count, label_texts.strategy, hours.intervals
    FROM gpu_node_hours AS hours
    INNER JOIN label_texts ON label_texts.node_labels = hours.node_labels
),

idle AS (
    SELECT
        used_of_nodes.*,
        capacities.intervals * capacities.gpu_count * CASE capacities.strategy
            WHEN 'mixed' THEN used_of_nodes.max_slices
            WHEN 'single' THEN 1
            ELSE 0
        END - used_of_nodes.slice_hours AS idle_hours
    FROM used_of_nodes
    INNER JOIN capacities ON capacities.day = used_of_nodes.day AND capacities.node = used_of_nodes.node
),

charged AS (
    SELECT * FROM used
    UNION ALL BY NAME
    SELECT
        day AS usage_start,
        'GPU unallocated' AS namespace,
        node,
        labels_text([
            {'key': 'gpu-model', 'value': gpu_model_name},
            {'key': 'max-slices-per-gpu', 'value': CAST(CAST(max_slices AS BIGINT) AS VARCHAR)}
        ]) AS all_labels,
        gpu_vendor_name,
        gpu_model_name,
        idle_hours / 24 / max_slices / $days_in_month AS quantity
    FROM idle
    WHERE idle_hours > 0 AND max_slices > 0
)

SELECT
    charged.usage_start,
    'GPU' AS data_source,
    charged.namespace,
    charged.node,
    charged.resource_id,
    charged.all_labels,
    charged.cost_category_id,
    rates.cost_type AS cost_model_rate_type,
    'Tag' AS monthly_cost_type,
    'gpu_cost_per_month' AS metric,
    charged.gpu_vendor_name AS tag_key,
    charged.gpu_model_name AS tag_value,
    rates.rate_id,
    rates.custom_name,
    rates.rate AS unit_rate,
    charged.quantity,
    'gpu' AS target
FROM charged
INNER JOIN rates
    ON rates.gpu_vendor_name = charged.gpu_vendor_name AND rates.gpu_model_name = charged.gpu_model_name
WHERE rates.rate IS NOT NULL
