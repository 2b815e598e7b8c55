-- A line outlives the rate and the model that made it, as the cost row does that it explains.
ALTER TABLE rates_to_usage DROP CONSTRAINT rates_to_usage_rate_id_fk;
ALTER TABLE rates_to_usage DROP CONSTRAINT rates_to_usage_cost_model_id_fk;
ALTER TABLE rates_to_usage
    ADD COLUMN price_list_id UUID,
    ADD COLUMN metric VARCHAR(100),
    ADD COLUMN tag_key VARCHAR(253),
    ADD COLUMN tag_value TEXT,
    ADD COLUMN unit_rate NUMERIC(33, 15),
    ADD COLUMN quantity NUMERIC(33, 15),
    ADD COLUMN pool_cost NUMERIC(33, 15),
    ADD COLUMN share NUMERIC(33, 15);
