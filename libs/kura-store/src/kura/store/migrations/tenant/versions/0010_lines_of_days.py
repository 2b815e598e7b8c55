"""One line for all days of a rate, project and node."""

from pathlib import Path

from kura.store.migrations.sql import run_file

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    run_file(HERE / "0010_lines_of_days.sql")


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward; restore a backup to go back.")
