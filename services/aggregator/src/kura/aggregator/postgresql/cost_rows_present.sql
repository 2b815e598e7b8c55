-- $1 report period, $2 first day, $3 last day
SELECT EXISTS (
    SELECT 1
    FROM reporting_ocpusagelineitem_daily_summary
    WHERE report_period_id = $1 AND usage_start BETWEEN $2 AND $3 AND cost_model_rate_type IS NOT NULL
) OR EXISTS (
    SELECT 1 FROM rates_to_usage
    WHERE
        source_uuid = (SELECT provider_id FROM reporting_ocpusagereportperiod WHERE id = $1)
        AND usage_start BETWEEN $2 AND $3
) AS present
