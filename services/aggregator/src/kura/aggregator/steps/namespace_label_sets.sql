SELECT DISTINCT given.day, given.namespace, coalesce(filtered.labels, '{}') AS labels
FROM namespace_labels AS given
LEFT JOIN filtered_labels AS filtered ON filtered.label_text = given.namespace_labels
