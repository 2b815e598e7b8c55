-- $1 report period, $2 first day, $3 last day
DELETE FROM rates_to_usage
WHERE
    source_uuid = (SELECT provider_id FROM reporting_ocpusagereportperiod WHERE id = $1)
    AND usage_start BETWEEN $2 AND $3
