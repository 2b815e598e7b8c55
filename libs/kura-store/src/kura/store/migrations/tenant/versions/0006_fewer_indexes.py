"""No checked keys and indexes that only slow writing down."""

from pathlib import Path

from kura.store.migrations.sql import run_file

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    run_file(HERE / "0006_fewer_indexes.sql")


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward; restore a backup to go back.")
