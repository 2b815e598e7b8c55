"""No checked keys of rows that are written by the hundred thousand."""

from pathlib import Path

from kura.store.migrations.sql import run_file

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    run_file(HERE / "0008_fewer_checked_keys.sql")


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward; restore a backup to go back.")
