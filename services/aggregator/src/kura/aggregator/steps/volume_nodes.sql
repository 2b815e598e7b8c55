SELECT DISTINCT
    storage.day,
    storage.persistentvolumeclaim,
    storage.persistentvolume,
    storage.pod,
    storage.namespace,
    pods.node,
    pods.resource_id
FROM storage_daily AS storage
INNER JOIN pod_daily AS pods
    ON pods.namespace = storage.namespace AND pods.pod = storage.pod AND pods.day = storage.day
