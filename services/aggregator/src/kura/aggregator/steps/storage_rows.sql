WITH node_counts AS (
    SELECT day, persistentvolume, count(DISTINCT node) AS nodes
    FROM volume_nodes
    GROUP BY day, persistentvolume
),

placed AS (
    SELECT
        storage.day,
        storage.namespace,
        volumes.node,
        volumes.resource_id,
        storage.persistentvolumeclaim,
        storage.persistentvolume,
        storage.storageclass,
        storage.csi_volume_handle,
        coalesce(node_sets.labels, '{}') AS of_node,
        coalesce(namespace_sets.labels, '{}') AS of_namespace,
        coalesce(volume_labels.labels, '{}') AS of_volume,
        coalesce(claim_labels.labels, '{}') AS of_claim,
        greatest(coalesce(node_counts.nodes, 1), 1) AS nodes,
        storage.persistentvolumeclaim_capacity_bytes AS capacity_bytes,
        storage.persistentvolumeclaim_capacity_byte_seconds AS capacity_byte_seconds,
        storage.volume_request_storage_byte_seconds AS request_byte_seconds,
        storage.persistentvolumeclaim_usage_byte_seconds AS usage_byte_seconds
    FROM storage_daily AS storage
    LEFT JOIN volume_nodes AS volumes
        ON
            volumes.day = storage.day
            AND volumes.persistentvolumeclaim = storage.persistentvolumeclaim
            AND volumes.pod = storage.pod
            AND volumes.namespace = storage.namespace
    LEFT JOIN node_counts
        ON node_counts.day = storage.day AND node_counts.persistentvolume = storage.persistentvolume
    LEFT JOIN node_label_sets AS node_sets
        ON node_sets.day = storage.day AND node_sets.node = volumes.node
    LEFT JOIN namespace_label_sets AS namespace_sets
        ON namespace_sets.day = storage.day AND namespace_sets.namespace = storage.namespace
    LEFT JOIN filtered_labels AS volume_labels ON volume_labels.label_text = storage.persistentvolume_labels
    LEFT JOIN filtered_labels AS claim_labels ON claim_labels.label_text = storage.persistentvolumeclaim_labels
),

merged AS (
    SELECT
        of_node,
        of_namespace,
        of_volume,
        of_claim,
        merged_labels([of_node, of_namespace, of_volume, of_claim]) AS volume_labels
    FROM (SELECT DISTINCT of_node, of_namespace, of_volume, of_claim FROM placed)
),

grouped AS (
    SELECT
        placed.day,
        placed.namespace,
        placed.node,
        placed.resource_id,
        placed.persistentvolumeclaim,
        placed.persistentvolume,
        placed.storageclass,
        placed.csi_volume_handle,
        merged.volume_labels,
        max(placed.nodes) AS nodes,
        86400 * day(last_day(placed.day)) AS month_seconds,
        max(placed.capacity_bytes) AS capacity_bytes,
        exact_sum(placed.capacity_byte_seconds) AS capacity_byte_seconds,
        exact_sum(placed.request_byte_seconds) AS request_byte_seconds,
        exact_sum(placed.usage_byte_seconds) AS usage_byte_seconds
    FROM placed
    INNER JOIN merged
        ON
            merged.of_node = placed.of_node
            AND merged.of_namespace = placed.of_namespace
            AND merged.of_volume = placed.of_volume
            AND merged.of_claim = placed.of_claim
    GROUP BY
        placed.day,
        placed.namespace,
        placed.node,
        placed.resource_id,
        placed.persistentvolumeclaim,
        placed.persistentvolume,
        placed.storageclass,
        placed.csi_volume_handle,
        merged.volume_labels
)

SELECT
    grouped.day AS usage_start,
    grouped.namespace,
    grouped.node,
    grouped.resource_id,
    grouped.persistentvolumeclaim,
    grouped.persistentvolume,
    grouped.storageclass,
    grouped.csi_volume_handle,
    grouped.volume_labels,
    grouped.capacity_bytes / 1073741824 AS persistentvolumeclaim_capacity_gigabyte,
    grouped.capacity_byte_seconds / grouped.month_seconds / 1073741824
        AS persistentvolumeclaim_capacity_gigabyte_months,
    grouped.request_byte_seconds / grouped.nodes / grouped.month_seconds / 1073741824
        AS volume_request_storage_gigabyte_months,
    grouped.usage_byte_seconds / grouped.nodes / grouped.month_seconds / 1073741824
        AS persistentvolumeclaim_usage_gigabyte_months,
    categories.cost_category_id
FROM grouped
LEFT JOIN namespace_categories AS categories ON categories.namespace = grouped.namespace
