-- $1 report period, $2 first day, $3 last day
SELECT
    usage_start,
    node,
    all_labels ->> 'gpu-model' AS gpu_model_name,
    CAST(cost_model_gpu_cost AS double precision) AS cost
FROM reporting_ocpusagelineitem_daily_summary
WHERE
    report_period_id = $1
    AND usage_start BETWEEN $2 AND $3
    AND data_source = 'GPU'
    AND namespace = 'GPU unallocated'
    AND cost_model_rate_type IN ('Infrastructure', 'Supplementary')
    AND cost_model_gpu_cost IS NOT NULL
