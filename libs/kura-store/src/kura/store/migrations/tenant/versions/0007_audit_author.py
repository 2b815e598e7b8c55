"""Who changed a cost model."""

from pathlib import Path

from kura.store.migrations.sql import run_file

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    run_file(HERE / "0007_audit_author.sql")


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward; restore a backup to go back.")
