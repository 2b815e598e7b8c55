-- Types of costs: a handful of values, each in a large part of the rows, and always asked for within days of a source or
-- period, which have an index. They only slowed the writing of cost rows down.
DROP INDEX daily_summary_cost_model_rate_type_ix;
DROP INDEX daily_summary_monthly_cost_type_ix;
