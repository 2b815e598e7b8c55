WITH node_sets AS (
    SELECT day, node, count(*) AS sets FROM node_label_sets GROUP BY day, node HAVING count(*) > 1
),

namespace_sets AS (
    SELECT day, namespace, count(*) AS sets FROM namespace_label_sets GROUP BY day, namespace HAVING count(*) > 1
),

claims AS (
    SELECT day, namespace, pod, persistentvolumeclaim, count(*) AS given, count(DISTINCT persistentvolume) AS volumes
    FROM storage_daily
    GROUP BY day, namespace, pod, persistentvolumeclaim
),

places AS (
    SELECT pods.day, pods.namespace, pods.pod, pods.node, count(DISTINCT pods.resource_id) AS resources
    FROM pod_daily AS pods
    WHERE (pods.day, pods.namespace, pods.pod) IN (SELECT (day, namespace, pod) FROM claims)
    GROUP BY pods.day, pods.namespace, pods.pod, pods.node
),

pods AS (
    SELECT
        places.day,
        places.namespace,
        places.pod,
        sum(CAST(places.resources AS DOUBLE) * coalesce(node_sets.sets, 1)) AS label_sets
    FROM places
    LEFT JOIN node_sets ON node_sets.day = places.day AND node_sets.node = places.node
    GROUP BY places.day, places.namespace, places.pod
),

made AS (
    SELECT
        pod_daily.day,
        count(*) AS given,
        sum(CAST(coalesce(node_sets.sets, 1) AS DOUBLE) * coalesce(namespace_sets.sets, 1)) AS made
    FROM pod_daily
    LEFT JOIN node_sets ON node_sets.day = pod_daily.day AND node_sets.node = pod_daily.node
    LEFT JOIN namespace_sets
        ON namespace_sets.day = pod_daily.day AND namespace_sets.namespace = pod_daily.namespace
    GROUP BY pod_daily.day
    UNION ALL
    SELECT
        claims.day,
        sum(claims.given) AS given,
        sum(
            CAST(claims.given AS DOUBLE) * coalesce(claims.volumes * pods.label_sets, 1)
            * coalesce(namespace_sets.sets, 1)
        ) AS made
    FROM claims
    LEFT JOIN pods ON pods.day = claims.day AND pods.namespace = claims.namespace AND pods.pod = claims.pod
    LEFT JOIN namespace_sets ON namespace_sets.day = claims.day AND namespace_sets.namespace = claims.namespace
    GROUP BY claims.day
)

SELECT day
FROM made
GROUP BY day
HAVING sum(made) > $times * sum(given) + $spare
