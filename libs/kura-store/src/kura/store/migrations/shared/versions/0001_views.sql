-- The file days that count: a pure function of the set of ingested files, whatever the order of their arrival.
-- Of files that replace (additive = false) only those of one manifest count per provider, report type and day: the
-- one with most hours, then the one accepted last. Additive files count unless a replacing manifest came after them.
create view visible_file_day as
select
    provider_uuid,
    report_type,
    day,
    manifest_id,
    report_name,
    hours,
    additive,
    accepted_order,
    hourly_objects,
    daily_objects,
    rows,
    created_at
from (
    select
        *,
        first_value(manifest_id) over (
            partition by provider_uuid, report_type, day
            order by additive, manifest_hours desc, manifest_order desc, manifest_id desc
        ) as winner_id,
        max(manifest_order) filter (where not additive) over (
            partition by provider_uuid, report_type, day
        ) as replaced_at
    from (
        select
            *,
            max(hours) over (partition by provider_uuid, report_type, day, manifest_id) as manifest_hours,
            max(accepted_order) over (partition by provider_uuid, report_type, day, manifest_id) as manifest_order
        from ingested_file_day
    ) as by_manifest
) as ranked
where case
    when additive then replaced_at is null or accepted_order > replaced_at
    else manifest_id = winner_id
end;
