"""No indexes of cost rows that no question uses."""

from pathlib import Path

from kura.store.migrations.sql import run_file

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    run_file(HERE / "0009_fewer_cost_indexes.sql")


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward; restore a backup to go back.")
