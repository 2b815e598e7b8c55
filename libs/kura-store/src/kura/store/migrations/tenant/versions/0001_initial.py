"""Tables of one tenant."""

from pathlib import Path

from kura.store.migrations.sql import run_file

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    run_file(HERE / "0001_tables.sql")
    run_file(HERE / "0001_triggers.sql")
    run_file(HERE / "0001_seeds.sql")


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward; restore a backup to go back.")
