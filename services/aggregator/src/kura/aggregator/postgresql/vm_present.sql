-- $1 source uuid, $2 first day of the month, $3 last day
SELECT EXISTS (
    SELECT 1
    FROM reporting_ocpusagelineitem_daily_summary
    WHERE
        source_uuid = CAST($1 AS uuid)
        AND usage_start BETWEEN $2 AND $3
        AND all_labels ? 'vm_kubevirt_io_name'
) OR EXISTS (
    SELECT 1
    FROM reporting_ocp_vm_summary_p
    WHERE source_uuid = CAST($1 AS uuid) AND usage_start BETWEEN $2 AND $3
) AS present
