SELECT changed.key, changed.namespace, changed.node, changed."values", period.report_period_id
FROM changed
CROSS JOIN period
