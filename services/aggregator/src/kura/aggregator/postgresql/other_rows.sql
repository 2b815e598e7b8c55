-- $1 source uuid, $2 first day, $3 last day
SELECT EXISTS (
    SELECT 1
    FROM reporting_ocpusagelineitem_daily_summary
    WHERE
        source_uuid = CAST($1 AS uuid)
        AND usage_start BETWEEN $2 AND $3
        AND infrastructure_raw_cost <> 0
) AS present
