-- Label summaries and the folded month go with their report period too.
create or replace function kura_remove_rows_of_period() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format(
        'delete from %I.reporting_ocpusagelineitem_daily_summary where report_period_id = $1', tg_table_schema
    ) using old.id;
    execute format(
        'delete from %I.rates_to_usage where source_uuid = $1 and report_period_id = $2', tg_table_schema
    ) using old.provider_id, old.id;
    execute format(
        'delete from %I.reporting_ocpusagepodlabel_summary where report_period_id = $1', tg_table_schema
    ) using old.id;
    execute format(
        'delete from %I.reporting_ocpstoragevolumelabel_summary where report_period_id = $1', tg_table_schema
    ) using old.id;
    execute format(
        'delete from %I.reporting_ocp_month_summary_p where source_uuid = $1 and usage_start = $2', tg_table_schema
    ) using old.provider_id, cast(old.report_period_start at time zone 'UTC' as date);
    return null;
end
$$;
