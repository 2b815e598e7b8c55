"""Run a frozen .sql file as a step of a revision."""

from pathlib import Path

from alembic import op


def run_file(path: Path) -> None:
    """Execute every statement of the file; unqualified names belong to the schema that is being migrated."""
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(path.read_text(encoding="utf-8"))
