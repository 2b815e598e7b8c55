-- $1 report period
UPDATE reporting_ocpusagereportperiod
SET summary_data_creation_datetime = coalesce(summary_data_creation_datetime, clock_timestamp()),
    summary_data_updated_datetime = clock_timestamp()
WHERE id = $1
