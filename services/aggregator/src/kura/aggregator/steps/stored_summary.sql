SELECT
    summary.*,
    summary.usage_start AS usage_end,
    constants.report_period_id,
    constants.cluster_id,
    constants.cluster_alias,
    constants.source_uuid
FROM summary
CROSS JOIN constants
