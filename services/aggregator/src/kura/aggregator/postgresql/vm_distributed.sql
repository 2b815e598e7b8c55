-- $1 source uuid, $2 first day, $3 last day, $4 'cpu' or 'memory', $5 … arrays: namespace, vm_name, pod_labels
WITH machines AS (
    SELECT namespace, vm_name, CAST(pod_labels AS jsonb) AS pod_labels
    FROM unnest(CAST($5 AS text []), CAST($6 AS text []), CAST($7 AS text [])) AS given (namespace, vm_name, pod_labels)
),

used AS (
    SELECT
        usage_start,
        namespace,
        node,
        pod_labels ->> 'vm_kubevirt_io_name' AS vm_name,
        CASE $4
            WHEN 'memory' THEN pod_effective_usage_memory_gigabyte_hours
            ELSE pod_effective_usage_cpu_core_hours
        END AS usage
    FROM reporting_ocpusagelineitem_daily_summary
    WHERE
        source_uuid = CAST($1 AS uuid)
        AND usage_start BETWEEN $2 AND $3
        AND data_source = 'Pod'
        AND namespace IN (SELECT namespace FROM machines)
),

places AS (
    SELECT usage_start, namespace, node, sum(usage) AS usage
    FROM used
    GROUP BY usage_start, namespace, node
),

shares AS (
    SELECT
        own.usage_start,
        own.namespace,
        own.node,
        own.vm_name,
        sum(own.usage) / nullif(max(places.usage) * count(*), 0) AS ratio
    FROM used AS own
    INNER JOIN places
        ON places.usage_start = own.usage_start AND places.namespace = own.namespace AND places.node = own.node
    WHERE own.vm_name IS NOT NULL AND own.usage IS NOT NULL
    GROUP BY own.usage_start, own.namespace, own.node, own.vm_name
)

INSERT INTO reporting_ocp_vm_summary_p (
    usage_start, usage_end, source_uuid, cluster_id, cluster_alias, namespace, node, vm_name, pod_labels,
    cost_model_rate_type, resource_ids, distributed_cost
)
SELECT
    min(daily.usage_start),
    max(daily.usage_start),
    daily.source_uuid,
    daily.cluster_id,
    max(daily.cluster_alias),
    daily.namespace,
    daily.node,
    machines.vm_name,
    machines.pod_labels,
    daily.cost_model_rate_type,
    array_agg(DISTINCT daily.resource_id ORDER BY daily.resource_id),
    sum(daily.distributed_cost * coalesce(shares.ratio, 0))
FROM reporting_ocpusagelineitem_daily_summary AS daily
INNER JOIN shares
    ON shares.usage_start = daily.usage_start AND shares.namespace = daily.namespace AND shares.node = daily.node
INNER JOIN machines ON machines.namespace = shares.namespace AND machines.vm_name = shares.vm_name
WHERE
    daily.source_uuid = CAST($1 AS uuid)
    AND daily.usage_start BETWEEN $2 AND $3
    AND daily.distributed_cost <> 0
GROUP BY
    daily.source_uuid,
    daily.cluster_id,
    daily.namespace,
    daily.node,
    daily.cost_model_rate_type,
    machines.vm_name,
    machines.pod_labels
