"""SQLAlchemy Core descriptions of every table: `shared` for the public schema, `tenant` for one schema per tenant."""
