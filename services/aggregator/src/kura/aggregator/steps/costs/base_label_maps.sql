WITH maps AS (
    SELECT pod_labels AS labels FROM summary WHERE usage_start BETWEEN $first AND $last
    UNION
    SELECT volume_labels FROM summary WHERE usage_start BETWEEN $first AND $last
)

SELECT labels
FROM maps
WHERE EXISTS (SELECT 1 FROM tag_mapping WHERE contains(maps.labels, CAST(to_json(tag_mapping.child) AS VARCHAR)))
