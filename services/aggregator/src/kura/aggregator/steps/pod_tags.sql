WITH places AS (
    SELECT DISTINCT pod_labels AS labels, namespace, node
    FROM pod_rows
    WHERE pod_labels <> '{}' AND namespace IS NOT NULL
),

pairs AS (
    SELECT
        labels,
        unnest(list_filter(label_entries(labels), lambda entry: list_contains($enabled, entry.key))) AS entry
    FROM (SELECT DISTINCT labels FROM places)
)

SELECT DISTINCT pairs.entry.key AS key, pairs.entry.value AS value, places.namespace, places.node
FROM places
INNER JOIN pairs ON pairs.labels = places.labels
WHERE pairs.entry.value IS NOT NULL
