SELECT
    usage_start,
    node,
    namespace,
    persistentvolumeclaim,
    persistentvolume,
    volume_labels,
    cost_category_id,
    max(resource_id) AS resource_id,
    max(storageclass) AS storageclass
FROM base
WHERE
    data_source = 'Storage'
    AND persistentvolumeclaim IS NOT NULL
    AND persistentvolumeclaim_capacity_gigabyte_months <> 0
GROUP BY
    usage_start, node, namespace, persistentvolumeclaim, persistentvolume, volume_labels, cost_category_id
