-- $1 array: uuid
DELETE FROM reporting_ocpstoragevolumelabel_summary
WHERE uuid = ANY(CAST($1 AS uuid []))
