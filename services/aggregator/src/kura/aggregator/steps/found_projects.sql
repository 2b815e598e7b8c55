SELECT DISTINCT namespace AS project
FROM pod_daily
WHERE namespace IS NOT NULL
