-- $1 cluster row, $2 array: project
INSERT INTO reporting_ocp_projects (cluster_id, project)
SELECT CAST($1 AS uuid), given.project
FROM unnest($2::text[]) AS given (project)
LEFT JOIN reporting_ocp_projects AS present
    ON present.cluster_id = CAST($1 AS uuid) AND present.project = given.project
WHERE present.uuid IS NULL
ON CONFLICT DO NOTHING
