"""What workers count. Labels carry types and reasons, never names of tenants."""

from prometheus_client import Counter

FILES = Counter("kura_ingest_files_total", "Report files by how they ended.", ["outcome"])
ROWS = Counter("kura_ingest_rows_total", "Rows of report files that were taken in.", ["report_type"])
ROWS_DROPPED = Counter("kura_ingest_rows_dropped_total", "Rows that were not taken in.", ["report_type", "reason"])
CELLS = Counter("kura_ingest_cells_total", "Cells that were read by a rule worth a look.", ["report_type", "reason"])
UNKNOWN_CLUSTERS = Counter("kura_ingest_unknown_clusters_total", "Payloads of clusters that no source knows.")
UPLOADS = Counter("kura_ingest_uploads_total", "Uploads by how ingestion ended.", ["state", "reason"])
PARTIAL = Counter("kura_ingest_partial_manifests_total", "Manifests summarised although files never came.")
STALE_OBJECTS = Counter("kura_stale_objects_total", "Objects removed by housekeeping.", ["kind"])
"""Kinds: staged, losing, orphan, unfinished."""
