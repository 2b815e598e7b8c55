WITH named AS (
    SELECT DISTINCT
        places.vm_name,
        groups.pod_labels,
        groups.all_labels
    FROM machine_groups AS groups
    INNER JOIN machine_places AS places ON places.vm_name = groups.vm_name AND places.day = groups.usage_start
),

entries AS (
    SELECT vm_name, 'pod' AS side, unnest(label_entries(pod_labels), recursive := true) FROM named
    UNION ALL
    SELECT vm_name, 'all' AS side, unnest(label_entries(all_labels), recursive := true) FROM named
),

last_values AS (
    SELECT vm_name, side, key, max(value) AS value
    FROM entries
    GROUP BY vm_name, side, key
)

SELECT
    vm_name,
    labels_text(list({'key': key, 'value': value}) FILTER (WHERE side = 'pod')) AS pod_labels,
    labels_text(list({'key': key, 'value': value}) FILTER (WHERE side = 'all')) AS all_labels
FROM last_values
GROUP BY vm_name
