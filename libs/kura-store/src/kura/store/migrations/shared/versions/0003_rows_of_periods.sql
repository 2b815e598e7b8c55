-- The rows of a report period go with it, as a foreign key would have it that costs a look-up for every row written.
create function kura_remove_rows_of_period() returns trigger
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
    return null;
end
$$;
