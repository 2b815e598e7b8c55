WITH defaults AS (
    SELECT * FROM tag_rates WHERE is_default
),

keys AS (
    SELECT DISTINCT metric, cost_type, tag_key FROM tag_rates
)

SELECT
    tag_labels.labels,
    keys.metric,
    keys.cost_type,
    keys.tag_key,
    tag_labels.tag_value,
    listed.tag_value IS NOT NULL AS is_listed,
    coalesce(listed.rate, defaults.rate, 0) AS rate,
    coalesce(listed.rate_id, defaults.rate_id) AS rate_id,
    coalesce(listed.custom_name, defaults.custom_name) AS custom_name,
    metrics.side,
    metrics.monthly_cost_type,
    labels_text([{'key': keys.tag_key, 'value': tag_labels.tag_value}]) AS own_label
FROM tag_labels
INNER JOIN keys ON keys.tag_key = tag_labels.tag_key
INNER JOIN metrics ON metrics.metric = keys.metric
LEFT JOIN tag_rates AS listed
    ON
        listed.metric = keys.metric
        AND listed.cost_type = keys.cost_type
        AND listed.tag_key = keys.tag_key
        AND listed.tag_value = tag_labels.tag_value
LEFT JOIN defaults
    ON
        defaults.metric = keys.metric
        AND defaults.cost_type = keys.cost_type
        AND defaults.tag_key = keys.tag_key
