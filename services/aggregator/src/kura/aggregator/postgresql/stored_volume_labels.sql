-- $1 report period
SELECT CAST(uuid AS text) AS uuid, key, namespace, node, "values"
FROM reporting_ocpstoragevolumelabel_summary
WHERE report_period_id = $1
