WITH label_texts AS (
    SELECT pod_labels AS label_text FROM pod_daily
    UNION
    SELECT node_labels FROM node_labels
    UNION
    SELECT namespace_labels FROM namespace_labels
    UNION
    SELECT persistentvolume_labels FROM storage_daily
    UNION
    SELECT persistentvolumeclaim_labels FROM storage_daily
)
SELECT
    label_text,
    labels_text(list_filter(label_entries(label_text), lambda entry: list_contains($keys, entry.key))) AS labels
FROM label_texts
WHERE label_text <> ''
