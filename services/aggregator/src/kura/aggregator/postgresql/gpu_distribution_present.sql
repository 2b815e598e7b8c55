-- $1 report period, $2 first day, $3 last day
SELECT EXISTS (
    SELECT 1
    FROM reporting_ocpusagelineitem_daily_summary
    WHERE report_period_id = $1 AND usage_start BETWEEN $2 AND $3 AND cost_model_rate_type = 'gpu_distributed'
) AS present
