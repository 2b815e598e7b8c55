"""Parquet to summary rows to PostgreSQL."""
