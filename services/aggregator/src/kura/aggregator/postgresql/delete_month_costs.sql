-- $1 source uuid, $2 first day of the month
DELETE FROM reporting_ocp_month_summary_p
WHERE
    source_uuid = CAST($1 AS uuid)
    AND usage_start = $2
    AND cost_model_rate_type IS NOT NULL
    AND cost_model_rate_type <> 'gpu_distributed'
