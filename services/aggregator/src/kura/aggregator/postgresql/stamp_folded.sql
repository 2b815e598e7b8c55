-- $1 source uuid, $2 first and $3 last day of the month
UPDATE reporting_ocpusagereportperiod SET month_folded_datetime = clock_timestamp()
WHERE provider_id = CAST($1 AS uuid) AND CAST(report_period_start AT TIME ZONE 'UTC' AS date) BETWEEN $2 AND $3
