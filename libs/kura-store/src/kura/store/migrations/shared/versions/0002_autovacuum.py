"""The function that tunes autovacuum for a tenant: only the owner of a table may set its storage parameters."""

from pathlib import Path

from kura.store.migrations.sql import run_file

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    run_file(HERE / "0002_autovacuum.sql")


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward; restore a backup to go back.")
