WITH maps AS (
    SELECT pod_labels AS labels FROM pod_rows
    UNION
    SELECT volume_labels FROM storage_rows
)

SELECT labels
FROM maps
WHERE EXISTS (SELECT 1 FROM tag_mapping WHERE contains(maps.labels, CAST(to_json(tag_mapping.child) AS VARCHAR)))
