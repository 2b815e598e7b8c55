WITH given AS (
    SELECT key, namespace, node, list_sort(list(DISTINCT value)) AS "values"
    FROM tags
    GROUP BY key, namespace, node
)

SELECT
    stored.uuid,
    given.key,
    given.namespace,
    given.node,
    list_sort(list_distinct(list_concat(given."values", coalesce(stored."values", [])))) AS "values"
FROM given
LEFT JOIN stored
    ON
        stored.key = given.key
        AND stored.namespace = given.namespace
        AND stored.node IS NOT DISTINCT FROM given.node
WHERE stored.uuid IS NULL OR NOT list_has_all(stored."values", given."values")
ORDER BY given.key, given.namespace, given.node
