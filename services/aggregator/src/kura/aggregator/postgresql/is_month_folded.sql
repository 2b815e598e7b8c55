-- $1 report period, $2 first and $3 last day of the month, $4 first and $5 last day of the range
SELECT
    coalesce(
        period.month_folded_datetime >= greatest(
            period.summary_data_updated_datetime, period.ocp_on_cloud_updated_datetime, period.derived_cost_datetime
        ),
        false
    )
    AND NOT EXISTS (
        SELECT 1 FROM reporting_ocpusagelineitem_daily_summary AS daily
        WHERE
            daily.source_uuid = period.provider_id
            AND daily.usage_start BETWEEN $2 AND $3
            AND daily.usage_start NOT BETWEEN $4 AND $5
    )
    AND NOT EXISTS (
        SELECT 1 FROM reporting_ocpusagereportperiod AS other
        WHERE
            other.provider_id = period.provider_id
            AND other.report_period_start = period.report_period_start
            AND other.id <> period.id
    ) AS is_folded
FROM reporting_ocpusagereportperiod AS period
WHERE period.id = $1
