SELECT DISTINCT given.day, given.node, coalesce(filtered.labels, '{}') AS labels
FROM node_labels AS given
LEFT JOIN filtered_labels AS filtered ON filtered.label_text = given.node_labels
