"""Reports: parameters → plan → one SQL statement → answer (read-api §2–§4)."""
