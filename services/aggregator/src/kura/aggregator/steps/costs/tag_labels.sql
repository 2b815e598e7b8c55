WITH maps AS (
    SELECT pod_labels AS labels FROM base
    UNION
    SELECT volume_labels FROM base
),

entries AS (
    SELECT labels, unnest(label_entries(labels)) AS entry
    FROM maps
    WHERE labels IS NOT NULL
)

SELECT labels, entry.key AS tag_key, entry.value AS tag_value
FROM entries
WHERE entry.key IN (SELECT tag_key FROM tag_rates)
