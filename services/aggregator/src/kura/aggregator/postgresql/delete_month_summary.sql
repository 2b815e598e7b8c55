-- $1 source uuid, $2 first day of the month
DELETE FROM reporting_ocp_month_summary_p
WHERE source_uuid = CAST($1 AS uuid) AND usage_start = $2
