"""Several label maps of a claim may begin on the same day."""

from pathlib import Path

from kura.store.migrations.sql import run_file

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    run_file(HERE / "0005_machine_claims.sql")


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward; restore a backup to go back.")
