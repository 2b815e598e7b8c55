-- $1 source uuid, $2 first and $3 last day of the month. Whoever stamps the period waits, or is waited for.
SELECT id FROM reporting_ocpusagereportperiod
WHERE provider_id = CAST($1 AS uuid) AND CAST(report_period_start AT TIME ZONE 'UTC' AS date) BETWEEN $2 AND $3
FOR NO KEY UPDATE
