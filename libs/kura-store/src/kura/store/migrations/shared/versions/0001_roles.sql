-- Roles of the services. An installation gives its accounts one of them: grant kura_writer to my_account.
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'kura_writer') then
        create role kura_writer nologin;
    end if;
    if not exists (select from pg_catalog.pg_roles where rolname = 'kura_reader') then
        create role kura_reader nologin;
    end if;
exception
    -- Roles belong to the whole server: another database may be migrating at this moment.
    when duplicate_object or unique_violation then null;
end
$$;

revoke create on schema public from public;
grant usage on schema public to kura_writer, kura_reader;

-- Tables this owner makes from now on, here and in every tenant's schema.
alter default privileges grant select, insert, update, delete on tables to kura_writer;
alter default privileges grant select on tables to kura_reader;
alter default privileges revoke execute on functions from public;

grant select on alembic_version to kura_writer, kura_reader;
