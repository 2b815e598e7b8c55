WITH places AS (
    SELECT DISTINCT volume_labels AS labels, namespace, node
    FROM storage_rows
    WHERE volume_labels <> '{}' AND namespace IS NOT NULL
),

pairs AS (
    SELECT labels, unnest(entries) AS entry
    FROM (SELECT labels, label_entries(labels) AS entries FROM (SELECT DISTINCT labels FROM places))
    WHERE len(list_filter(entries, lambda entry: list_contains($enabled, entry.key))) > 0
)

SELECT DISTINCT pairs.entry.key AS key, pairs.entry.value AS value, places.namespace, places.node
FROM places
INNER JOIN pairs ON pairs.labels = places.labels
