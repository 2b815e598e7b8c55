-- Checked keys of rows that are written by the hundred thousand. A trigger removes them with their report period;
-- nothing removes a cost category.
ALTER TABLE reporting_ocpusagelineitem_daily_summary
    DROP CONSTRAINT reporting_ocpusagelineitem_daily_summary_cost_category_id_fk;
ALTER TABLE reporting_ocp_month_summary_p
    DROP CONSTRAINT reporting_ocp_month_summary_p_source_uuid_fk,
    DROP CONSTRAINT reporting_ocp_month_summary_p_cost_category_id_fk;
ALTER TABLE reporting_ocpusagepodlabel_summary
    DROP CONSTRAINT reporting_ocpusagepodlabel_summary_report_period_id_fk;
ALTER TABLE reporting_ocpstoragevolumelabel_summary
    DROP CONSTRAINT reporting_ocpstoragevolumelabel_summary_report_period_id_fk;
