SELECT day, namespace, pod, persistentvolumeclaim, max(persistentvolume) AS persistentvolume
FROM storage_daily
WHERE day IN (SELECT day FROM crowded_days)
GROUP BY day, namespace, pod, persistentvolumeclaim
UNION ALL
SELECT day, namespace, pod, persistentvolumeclaim, persistentvolume
FROM storage_daily
WHERE day NOT IN (SELECT day FROM crowded_days)
