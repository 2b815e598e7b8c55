create trigger partitioned_tables_changed
after insert or update or delete on partitioned_tables
for each row execute function public.kura_partition_changed();

create trigger cost_model_changed
after insert or update on cost_model
for each row execute function public.kura_audit_cost_model();

-- Before, because the map to its sources goes with the model.
create trigger cost_model_removed
before delete on cost_model
for each row execute function public.kura_audit_cost_model();
