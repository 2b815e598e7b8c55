insert into reporting_ocp_cost_category (name, description, source_type, system_default, label)
values ('Platform', 'Cost of running the platform itself', 'OCP', true, '{}');

insert into reporting_ocp_cost_category_namespace (namespace, system_default, cost_category_id)
select pattern, true, id
from reporting_ocp_cost_category,
    unnest(array['openshift-%', 'kube-%', 'openshift', 'Platform unallocated']) as pattern
where name = 'Platform';

insert into tenant_settings (id) values (1);
insert into enabled_currency (currency_code) values ('USD');

-- Every table cut by month has a default partition, made by the trigger.
insert into partitioned_tables (schema_name, table_name, partition_of_table_name, partition_parameters)
select current_schema(), relname || '_default', relname, '{"default": true}'
from pg_catalog.pg_class
where relnamespace = current_schema()::regnamespace and relkind = 'p'
order by relname;
