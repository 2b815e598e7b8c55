WITH entries AS (
    SELECT labels, entry.key AS key, entry.value AS value
    FROM (SELECT labels, unnest(label_entries(labels)) AS entry FROM label_maps)
),

children AS (
    SELECT entries.labels, entries.key, entries.value, mapping.parent
    FROM entries
    INNER JOIN tag_mapping AS mapping ON mapping.child = entries.key
),

renamed AS (
    SELECT children.labels, children.parent AS key, max_by(children.value, (strlen(children.key), children.key)) AS value
    FROM children
    LEFT JOIN entries AS parents ON parents.labels = children.labels AND parents.key = children.parent
    WHERE parents.key IS NULL
    GROUP BY children.labels, children.parent
),

kept AS (
    SELECT entries.labels, entries.key, entries.value
    FROM entries
    LEFT JOIN tag_mapping AS mapping ON mapping.child = entries.key
    WHERE mapping.child IS NULL AND entries.labels IN (SELECT labels FROM children)
    UNION ALL
    SELECT labels, key, value
    FROM renamed
)

SELECT labels, labels_text(list({'key': key, 'value': value})) AS mapped
FROM kept
GROUP BY labels
