-- $1 report period, $2 enabled keys
DELETE FROM reporting_ocpusagepodlabel_summary WHERE report_period_id = $1 AND NOT key = ANY($2)
