-- A line explains several days: its lists hold what each of them has. One without lists is of one day, as all are that
-- exist.
ALTER TABLE rates_to_usage
    ADD COLUMN days DATE[],
    ADD COLUMN quantities NUMERIC(33, 15)[],
    ADD COLUMN costs NUMERIC(33, 15)[],
    ADD COLUMN pool_costs NUMERIC(33, 15)[];
