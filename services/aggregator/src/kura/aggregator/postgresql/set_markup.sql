-- $1 report period, $2 first day, $3 last day, $4 factor
UPDATE reporting_ocpusagelineitem_daily_summary AS daily
SET
    infrastructure_markup_cost = wanted.markup,
    infrastructure_project_markup_cost = wanted.project_markup
FROM (
    SELECT
        usage_start,
        uuid,
        round(infrastructure_raw_cost * CAST($4 AS numeric), 15) AS markup,
        round(coalesce(infrastructure_project_raw_cost, 0) * CAST($4 AS numeric), 15) AS project_markup
    FROM reporting_ocpusagelineitem_daily_summary
    WHERE report_period_id = $1 AND usage_start BETWEEN $2 AND $3 AND infrastructure_raw_cost <> 0
) AS wanted
WHERE
    daily.usage_start = wanted.usage_start
    AND daily.uuid = wanted.uuid
    AND (
        daily.infrastructure_markup_cost IS DISTINCT FROM wanted.markup
        OR daily.infrastructure_project_markup_cost IS DISTINCT FROM wanted.project_markup
    )
