-- What the writer may do to schemas, without being allowed to change schemas: only what these functions do.
-- All names come from the catalogue or are checked; the search path is fixed, so that nobody can slip in a table.

create function kura_is_tenant_name(schema_name text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
return schema_name ~ '^(org|acct)[A-Za-z0-9._-]{1,57}$';


-- A row in a tenant's partitioned_tables stands for a partition: insert creates it, delete drops it, clearing
-- `active` detaches it and setting it attaches it again.
create function kura_partition_changed() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    entry record;
    parent text;
    part text;
    first_day date;
    next_first date;
    has_default boolean;
begin
    entry := case when tg_op = 'DELETE' then old else new end;
    parent := format('%I.%I', tg_table_schema, entry.partition_of_table_name);
    part := format('%I.%I', tg_table_schema, entry.table_name);

    if entry.schema_name <> tg_table_schema then
        raise exception 'partition % belongs to schema %, not %', entry.table_name, entry.schema_name, tg_table_schema;
    end if;
    if not exists (
        select from pg_class where oid = to_regclass(parent) and relkind = 'p'
    ) then
        raise exception '% is not a partitioned table', parent;
    end if;

    if coalesce((entry.partition_parameters ->> 'default')::boolean, false) then
        if entry.table_name <> entry.partition_of_table_name || '_default' then
            raise exception '% is not the name of the default partition of %', part, parent;
        end if;
        if tg_op <> 'INSERT' then
            raise exception 'the default partition of % stays', parent;
        end if;
        if to_regclass(part) is null then
            execute format('create table %s partition of %s default', part, parent);
        end if;
        return null;
    end if;

    first_day := (entry.partition_parameters ->> 'from')::date;
    next_first := (entry.partition_parameters ->> 'to')::date;
    if first_day is null or first_day <> date_trunc('month', first_day)::date
        or next_first <> (first_day + interval '1 month')::date
        or entry.table_name <> entry.partition_of_table_name || to_char(first_day, '_YYYY_MM')
    then
        raise exception '% is not a month of %: % to %', part, parent, first_day, next_first;
    end if;

    if tg_op = 'DELETE' then
        execute format('drop table if exists %s', part);
        return null;
    end if;

    if tg_op = 'UPDATE' then
        if (new.table_name, new.partition_of_table_name, new.partition_parameters)
            is distinct from (old.table_name, old.partition_of_table_name, old.partition_parameters)
        then
            raise exception 'only `active` of partition % may change', part;
        end if;
        if old.active and not new.active then
            execute format('alter table %s detach partition %s', parent, part);
        elsif new.active and not old.active then
            execute format(
                'alter table %s attach partition %s for values from (%L) to (%L)', parent, part, first_day, next_first
            );
        end if;
        return null;
    end if;

    if exists (select from pg_inherits where inhparent = to_regclass(parent) and inhrelid = to_regclass(part)) then
        return null;
    end if;

    -- Attaching a finished table, unlike creating a partition in place, leaves running reports alone.
    execute format('lock table %s in share update exclusive mode', parent);
    execute format(
        'create table %s (like %s including defaults including constraints including generated including storage)',
        part, parent
    );
    has_default := to_regclass(format('%I.%I', tg_table_schema, entry.partition_of_table_name || '_default')) is not null;
    if has_default then
        execute format(
            'lock table %I.%I in access exclusive mode', tg_table_schema, entry.partition_of_table_name || '_default'
        );
        execute format(
            'with moved as (delete from %1$I.%2$I where %3$I >= %4$L and %3$I < %5$L returning *)'
            ' insert into %6$s select * from moved',
            tg_table_schema, entry.partition_of_table_name || '_default', entry.partition_col,
            first_day, next_first, part
        );
    end if;
    execute format(
        'alter table %s attach partition %s for values from (%L) to (%L)', parent, part, first_day, next_first
    );
    return null;
end
$$;


-- A copy of every version of a cost model, with the sources it had.
create function kura_audit_cost_model() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    model record;
begin
    model := case when tg_op = 'DELETE' then old else new end;
    execute format(
        'insert into %1$I.cost_model_audit'
        ' (operation, provider_uuids, uuid, name, description, source_type, created_timestamp, updated_timestamp,'
        '  rates, markup, distribution, distribution_info, currency)'
        ' select $1, (select array_agg(provider_uuid order by provider_uuid) from %1$I.cost_model_map'
        '  where cost_model_id = $2), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12',
        tg_table_schema
    ) using
        tg_op, model.uuid, model.name, model.description, model.source_type, model.created_timestamp,
        model.updated_timestamp, model.rates, model.markup, model.distribution, model.distribution_info,
        model.currency;
    return case when tg_op = 'DELETE' then old else new end;
end
$$;


-- Make the schema of a tenant by cloning the migrated template; true if it was made, false if it was there.
-- Two callers at once make one schema: the second waits. A running migration is waited for.
create function kura_create_tenant(schema text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    highest bigint;
begin
    if not public.kura_is_tenant_name(schema) then
        raise exception '% is not the schema name of a tenant', quote_literal(schema);
    end if;
    perform pg_advisory_xact_lock_shared(1802859105);  -- held exclusively by a migration
    perform pg_advisory_xact_lock(hashtextextended('kura_tenant:' || schema, 0));
    if exists (select from public.api_tenant where schema_name = schema) then
        return false;
    end if;

    execute format('create schema %I', schema);

    for item in
        select relname, case when relkind = 'p' then ' partition by ' || pg_get_partkeydef(oid) else '' end as cut
        from pg_class
        where relnamespace = 'kura_template'::regnamespace and relkind in ('r', 'p') and not relispartition
        order by relname
    loop
        execute format(
            'create table %1$I.%2$I (like kura_template.%2$I including defaults including identity'
            ' including generated including storage including comments)%3$s',
            schema, item.relname, item.cut
        );
    end loop;

    for item in
        select c.relname, attname from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'kura_template'::regnamespace and c.relkind = 'r' and not c.relispartition
            and a.attnum = 1 and c.relname <> 'partitioned_tables'
        order by c.relname
    loop
        execute format(
            'insert into %1$I.%2$I overriding system value select * from kura_template.%2$I', schema, item.relname
        );
        if pg_get_serial_sequence(format('%I.%I', schema, item.relname), item.attname) is not null then
            execute format('select max(%I) from %I.%I', item.attname, schema, item.relname) into highest;
            if highest is not null then
                perform setval(pg_get_serial_sequence(format('%I.%I', schema, item.relname), item.attname), highest);
            end if;
        end if;
    end loop;

    -- Keys and checks first, then indexes, then references between the tables.
    for item in
        select
            relname,
            string_agg(
                format('add constraint %I %s', conname, pg_get_constraintdef(c.oid)), ', ' order by contype, conname
            ) as clauses
        from pg_constraint c join pg_class t on t.oid = c.conrelid
        where t.relnamespace = 'kura_template'::regnamespace and not t.relispartition and contype in ('p', 'u', 'c')
        group by relname
        order by relname
    loop
        execute format('alter table %I.%I %s', schema, item.relname, item.clauses);
    end loop;

    for item in
        select
            regexp_replace(
                pg_get_indexdef(indexrelid), ' ON (ONLY )?kura_template\.', format(' ON %I.', schema)
            ) as statement
        from pg_index i join pg_class t on t.oid = i.indrelid
        where t.relnamespace = 'kura_template'::regnamespace and not t.relispartition
            and not exists (select from pg_constraint where conindid = indexrelid and contype in ('p', 'u'))
        order by indexrelid
    loop
        execute item.statement;
    end loop;

    for item in
        select
            relname,
            string_agg(
                format(
                    'add constraint %I %s', conname,
                    replace(pg_get_constraintdef(c.oid), 'REFERENCES kura_template.', format('REFERENCES %I.', schema))
                ), ', ' order by conname
            ) as clauses
        from pg_constraint c join pg_class t on t.oid = c.conrelid
        where t.relnamespace = 'kura_template'::regnamespace and not t.relispartition
            and contype = 'f' and conparentid = 0
        group by relname
        order by relname
    loop
        execute format('alter table %I.%I %s', schema, item.relname, item.clauses);
    end loop;

    for item in
        select replace(pg_get_triggerdef(g.oid), ' ON kura_template.', format(' ON %I.', schema)) as statement
        from pg_trigger g join pg_class t on t.oid = g.tgrelid
        where t.relnamespace = 'kura_template'::regnamespace and not t.relispartition and not tgisinternal
        order by tgname
    loop
        execute item.statement;
    end loop;

    -- The default partitions come into being by the trigger.
    execute format(
        'insert into %1$I.partitioned_tables'
        ' (schema_name, table_name, partition_of_table_name, partition_type, partition_col, partition_parameters)'
        ' select %1$L, table_name, partition_of_table_name, partition_type, partition_col, partition_parameters'
        ' from kura_template.partitioned_tables order by id',
        schema
    );

    execute format('grant usage on schema %I to kura_writer, kura_reader', schema);
    execute format('revoke insert, update, delete on %I.alembic_version from kura_writer', schema);
    insert into public.api_tenant (schema_name) values (schema);
    return true;
end
$$;


-- Remove a tenant that has no source; true if there was one.
create function kura_drop_tenant(schema text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not public.kura_is_tenant_name(schema) then
        raise exception '% is not the schema name of a tenant', quote_literal(schema);
    end if;
    perform pg_advisory_xact_lock_shared(1802859105);
    perform pg_advisory_xact_lock(hashtextextended('kura_tenant:' || schema, 0));
    if exists (
        select from public.api_provider p join public.api_customer c on c.id = p.customer_id
        where c.schema_name = schema
    ) then
        raise exception 'tenant % still has sources', schema;
    end if;
    delete from public.api_tenant where schema_name = schema;
    if not found then
        return false;
    end if;
    execute format('drop schema %I cascade', schema);
    return true;
end
$$;

grant execute on function kura_is_tenant_name(text) to kura_writer, kura_reader;
grant execute on function kura_create_tenant(text) to kura_writer;
grant execute on function kura_drop_tenant(text) to kura_writer;
