CREATE TABLE reporting_ocp_month_summary_p (
    usage_start DATE NOT NULL,
    usage_end DATE NOT NULL,
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    source_uuid UUID,
    cluster_id TEXT,
    cluster_alias TEXT,
    cost_category_id INTEGER,
    raw_currency TEXT,
    cost_model_rate_type TEXT,
    infrastructure_raw_cost NUMERIC(33, 15),
    infrastructure_markup_cost NUMERIC(33, 15),
    cost_model_cpu_cost NUMERIC(33, 15),
    cost_model_memory_cost NUMERIC(33, 15),
    cost_model_volume_cost NUMERIC(33, 15),
    cost_model_gpu_cost NUMERIC(33, 15),
    distributed_cost NUMERIC(33, 15),
    data_source VARCHAR(64),
    namespace VARCHAR(253),
    node VARCHAR(253),
    persistentvolumeclaim VARCHAR(253),
    storageclass VARCHAR(253),
    pod_labels JSONB,
    volume_labels JSONB,
    all_labels JSONB,
    pod_usage_cpu_core_hours NUMERIC(33, 15),
    pod_request_cpu_core_hours NUMERIC(33, 15),
    pod_effective_usage_cpu_core_hours NUMERIC(33, 15),
    pod_limit_cpu_core_hours NUMERIC(33, 15),
    pod_usage_memory_gigabyte_hours NUMERIC(33, 15),
    pod_request_memory_gigabyte_hours NUMERIC(33, 15),
    pod_effective_usage_memory_gigabyte_hours NUMERIC(33, 15),
    pod_limit_memory_gigabyte_hours NUMERIC(33, 15),
    volume_request_storage_gigabyte_months NUMERIC(33, 15),
    persistentvolumeclaim_usage_gigabyte_months NUMERIC(33, 15),
    persistentvolumeclaim_capacity_gigabyte_months NUMERIC(33, 15),
    infrastructure_data_in_gigabytes NUMERIC(33, 15),
    infrastructure_data_out_gigabytes NUMERIC(33, 15),
    CONSTRAINT reporting_ocp_month_summary_p_pk PRIMARY KEY (usage_start, id),
    CONSTRAINT reporting_ocp_month_summary_p_source_uuid_fk FOREIGN KEY(source_uuid) REFERENCES reporting_tenant_api_provider (uuid) ON DELETE CASCADE,
    CONSTRAINT reporting_ocp_month_summary_p_cost_category_id_fk FOREIGN KEY(cost_category_id) REFERENCES reporting_ocp_cost_category (id) ON DELETE CASCADE
)
 PARTITION BY RANGE (usage_start);
CREATE INDEX reporting_ocp_month_summary_p_source_uuid_usage_start_ix ON reporting_ocp_month_summary_p (source_uuid, usage_start);
CREATE INDEX reporting_ocp_month_summary_p_usage_start_ix ON reporting_ocp_month_summary_p (usage_start);

-- Its default partition, and one for every month that the daily summary has.
insert into partitioned_tables (schema_name, table_name, partition_of_table_name, partition_parameters)
select
    schema_name,
    replace(table_name, partition_of_table_name, 'reporting_ocp_month_summary_p'),
    'reporting_ocp_month_summary_p',
    partition_parameters
from partitioned_tables
where partition_of_table_name = 'reporting_ocpusagelineitem_daily_summary';

insert into reporting_ocp_month_summary_p (
    usage_start, usage_end,
    source_uuid, cluster_id, cluster_alias, cost_category_id, raw_currency, cost_model_rate_type, data_source,
    namespace, node, persistentvolumeclaim, storageclass, pod_labels, volume_labels, all_labels,
    infrastructure_raw_cost, infrastructure_markup_cost, cost_model_cpu_cost, cost_model_memory_cost,
    cost_model_volume_cost, cost_model_gpu_cost, distributed_cost, pod_usage_cpu_core_hours,
    pod_request_cpu_core_hours, pod_effective_usage_cpu_core_hours, pod_limit_cpu_core_hours,
    pod_usage_memory_gigabyte_hours, pod_request_memory_gigabyte_hours, pod_effective_usage_memory_gigabyte_hours,
    pod_limit_memory_gigabyte_hours, volume_request_storage_gigabyte_months,
    persistentvolumeclaim_usage_gigabyte_months, persistentvolumeclaim_capacity_gigabyte_months,
    infrastructure_data_in_gigabytes, infrastructure_data_out_gigabytes
)
select
    date_trunc('month', usage_start), max(usage_start),
    source_uuid, cluster_id, cluster_alias, cost_category_id, raw_currency, cost_model_rate_type, data_source,
    namespace, node, persistentvolumeclaim, storageclass, pod_labels, volume_labels, all_labels,
    sum(infrastructure_raw_cost), sum(infrastructure_markup_cost), sum(cost_model_cpu_cost),
    sum(cost_model_memory_cost), sum(cost_model_volume_cost), sum(cost_model_gpu_cost), sum(distributed_cost),
    sum(pod_usage_cpu_core_hours), sum(pod_request_cpu_core_hours), sum(pod_effective_usage_cpu_core_hours),
    sum(pod_limit_cpu_core_hours), sum(pod_usage_memory_gigabyte_hours), sum(pod_request_memory_gigabyte_hours),
    sum(pod_effective_usage_memory_gigabyte_hours), sum(pod_limit_memory_gigabyte_hours),
    sum(volume_request_storage_gigabyte_months), sum(persistentvolumeclaim_usage_gigabyte_months),
    sum(persistentvolumeclaim_capacity_gigabyte_months), sum(infrastructure_data_in_gigabytes),
    sum(infrastructure_data_out_gigabytes)
from reporting_ocpusagelineitem_daily_summary
group by
    date_trunc('month', usage_start),
    source_uuid, cluster_id, cluster_alias, cost_category_id, raw_currency, cost_model_rate_type, data_source,
    namespace, node, persistentvolumeclaim, storageclass, pod_labels, volume_labels, all_labels;
