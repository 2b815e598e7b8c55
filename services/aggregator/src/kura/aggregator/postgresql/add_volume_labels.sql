-- $1 report period, $2 … arrays: key, value, namespace, node
WITH given AS (
    SELECT key, namespace, node, array_agg(DISTINCT value ORDER BY value) AS "values"
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS given (key, value, namespace, node)
    GROUP BY key, namespace, node
)
INSERT INTO reporting_ocpstoragevolumelabel_summary AS stored (key, "values", report_period_id, namespace, node)
SELECT given.key, given."values", $1, given.namespace, given.node
FROM given
LEFT JOIN reporting_ocpstoragevolumelabel_summary AS present
    ON present.report_period_id = $1 AND present.key = given.key AND present.namespace = given.namespace
    AND coalesce(present.node, chr(1)) = coalesce(given.node, chr(1))
WHERE present."values" IS NULL OR NOT present."values" @> given."values"
ON CONFLICT (key, report_period_id, namespace, node) DO UPDATE SET "values" = (
    SELECT array_agg(DISTINCT value ORDER BY value)
    FROM unnest(stored."values" || excluded."values") AS united (value)
)
