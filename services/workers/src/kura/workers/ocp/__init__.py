"""OpenShift operator payloads: from the archive to typed hourly and daily Parquet. No database here."""
