"""The function that removes the rows of a report period with it."""

from pathlib import Path

from kura.store.migrations.sql import run_file

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    run_file(HERE / "0003_rows_of_periods.sql")


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward; restore a backup to go back.")
