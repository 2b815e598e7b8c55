-- How early the tables of a tenant are vacuumed, by their number of rows: the larger, the smaller the share of dead rows
-- that is waited for. Small tables have the server's own setting. Answers how many tables were changed.
create function kura_tune_autovacuum(schema text) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    entry record;
    changed integer := 0;
begin
    if not public.kura_is_tenant_name(schema) then
        raise exception '% is not the schema of a tenant', schema;
    end if;
    for entry in
        with tables as (
            select
                c.relname,
                (
                    select o.option_value::numeric from pg_options_to_table(c.reloptions) as o
                    where o.option_name = 'autovacuum_vacuum_scale_factor'
                ) as present,
                case
                    when pg_stat_get_live_tuples(c.oid) >= 10000000 then 0.01
                    when pg_stat_get_live_tuples(c.oid) >= 1000000 then 0.02
                    when pg_stat_get_live_tuples(c.oid) >= 100000 then 0.05
                end as wanted
            from pg_class as c
            join pg_namespace as n on n.oid = c.relnamespace
            where n.nspname = schema and c.relkind = 'r'
        )
        select tables.relname, tables.wanted from tables where tables.wanted is distinct from tables.present
    loop
        if entry.wanted is null then
            execute format('alter table %I.%I reset (autovacuum_vacuum_scale_factor)', schema, entry.relname);
        else
            execute format(
                'alter table %I.%I set (autovacuum_vacuum_scale_factor = %s)', schema, entry.relname, entry.wanted
            );
        end if;
        changed := changed + 1;
    end loop;
    return changed;
end
$$;

revoke execute on function kura_tune_autovacuum(text) from public;
grant execute on function kura_tune_autovacuum(text) to kura_writer;
