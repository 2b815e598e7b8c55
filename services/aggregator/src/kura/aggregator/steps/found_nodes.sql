WITH reported AS (
    SELECT
        node,
        resource_id,
        max(node_capacity_cpu_cores) AS cpu_cores,
        substr(max(CASE WHEN node_role <> '' THEN CAST(day AS VARCHAR) || node_role END), 11) AS reported_role,
        max(CASE WHEN namespace = 'openshift-kube-apiserver' THEN 1 ELSE 0 END) AS runs_apiserver
    FROM pod_daily
    WHERE node <> ''
    GROUP BY node, resource_id
),

labelled AS (
    SELECT
        node,
        max(node_labels) AS greatest_labels,
        max(
            CASE WHEN json_extract_string(node_labels, '$.node_role_kubernetes_io') = 'infra' THEN 1 ELSE 0 END
        ) AS is_infra
    FROM node_labels
    WHERE node_labels <> ''
    GROUP BY node
)

SELECT
    reported.node,
    reported.resource_id,
    CAST(reported.cpu_cores AS DECIMAL(18, 2)) AS node_capacity_cpu_cores,
    reported.reported_role,
    CASE
        WHEN reported.reported_role IS NOT NULL THEN reported.reported_role
        WHEN reported.runs_apiserver = 1 THEN 'master'
        WHEN labelled.is_infra = 1 THEN 'infra'
        ELSE 'worker'
    END AS node_role,
    lower(json_extract_string(labelled.greatest_labels, '$.kubernetes_io_arch')) AS architecture
FROM reported
LEFT JOIN labelled ON labelled.node = reported.node
