-- $1 report period
UPDATE reporting_ocpusagereportperiod SET derived_cost_datetime = clock_timestamp() WHERE id = $1
