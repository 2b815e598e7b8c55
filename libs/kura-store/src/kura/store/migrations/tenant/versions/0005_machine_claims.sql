-- The rows of a machine are grouped by label map too, so that its claim may have several rows from the same day on.
alter table reporting_ocp_vm_summary_p drop constraint reporting_ocp_vm_summary_p_vm_key;
