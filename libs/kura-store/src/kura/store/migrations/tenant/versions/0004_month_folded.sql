alter table reporting_ocpusagereportperiod add column month_folded_datetime timestamp with time zone;

-- Months that were folded before the column was there count as not folded: they are read by day until their next run.
