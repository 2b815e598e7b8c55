-- $1 report period. The stamp of the summary: nothing has changed since, so that the folded month stays valid.
UPDATE reporting_ocpusagereportperiod
SET derived_cost_datetime = greatest(derived_cost_datetime, summary_data_updated_datetime)
WHERE id = $1
