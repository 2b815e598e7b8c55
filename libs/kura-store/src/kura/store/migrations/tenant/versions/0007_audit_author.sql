-- Who changed a cost model: the caller that the writing transaction names, '' where it names none.
alter table cost_model_audit
    add column author text not null default coalesce(current_setting('kura.author', true), '');
