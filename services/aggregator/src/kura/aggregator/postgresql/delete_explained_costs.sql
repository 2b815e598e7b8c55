-- $1 report period, $2 first day, $3 last day, $4 whether those of distributed GPUs too; lines of other days as well are
-- left to shorten_explained_costs
DELETE FROM rates_to_usage
WHERE
    source_uuid = (SELECT provider_id FROM reporting_ocpusagereportperiod WHERE id = $1)
    AND usage_start BETWEEN $2 AND $3
    AND usage_end <= $3
    AND ($4 OR cost_model_rate_type <> 'gpu_distributed')
