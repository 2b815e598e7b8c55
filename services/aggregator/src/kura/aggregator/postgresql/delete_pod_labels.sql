-- $1 array: uuid
DELETE FROM reporting_ocpusagepodlabel_summary
WHERE uuid = ANY(CAST($1 AS uuid []))
