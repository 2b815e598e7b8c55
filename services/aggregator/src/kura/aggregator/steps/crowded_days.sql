WITH node_sets AS (
    SELECT day, node, count(*) AS sets FROM node_label_sets GROUP BY day, node
),

namespace_sets AS (
    SELECT day, namespace, count(*) AS sets FROM namespace_label_sets GROUP BY day, namespace
),

places AS (
    SELECT day, namespace, pod, node, count(*) AS given, count(DISTINCT resource_id) AS resources
    FROM pod_daily
    GROUP BY day, namespace, pod, node
),

pods AS (
    SELECT
        places.day,
        places.namespace,
        places.pod,
        sum(places.given) AS given,
        sum(CAST(places.given AS DOUBLE) * coalesce(node_sets.sets, 1)) AS made,
        sum(CAST(places.resources AS DOUBLE) * coalesce(node_sets.sets, 1)) AS label_sets
    FROM places
    LEFT JOIN node_sets ON node_sets.day = places.day AND node_sets.node = places.node
    GROUP BY places.day, places.namespace, places.pod
),

claims AS (
    SELECT day, namespace, pod, persistentvolumeclaim, count(*) AS given, count(DISTINCT persistentvolume) AS volumes
    FROM storage_daily
    GROUP BY day, namespace, pod, persistentvolumeclaim
),

made AS (
    SELECT day, namespace, given, made FROM pods
    UNION ALL
    SELECT
        claims.day,
        claims.namespace,
        claims.given,
        CAST(claims.given AS DOUBLE) * coalesce(claims.volumes * pods.label_sets, 1) AS made
    FROM claims
    LEFT JOIN pods ON pods.day = claims.day AND pods.namespace = claims.namespace AND pods.pod = claims.pod
)

SELECT made.day
FROM made
LEFT JOIN namespace_sets ON namespace_sets.day = made.day AND namespace_sets.namespace = made.namespace
GROUP BY made.day
HAVING sum(made.made * coalesce(namespace_sets.sets, 1)) > $times * sum(made.given) + $spare
