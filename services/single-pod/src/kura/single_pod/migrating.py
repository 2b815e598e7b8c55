"""`kura migrate`: bring a database to this version, the data directory's own or one by address."""

from __future__ import annotations

import time
from pathlib import Path

from kura.single_pod.tables import err, out, took


def migrate_database(url: str | None, *, data_dir: Path) -> None:
    from kura.store.migrate import migrate

    started = time.monotonic()
    with err().status("migrating …"):
        if url is not None:
            migrate(url)
        else:
            from kura.store.embedded import EmbeddedPostgres

            with EmbeddedPostgres(data_dir / "postgres") as postgres:
                migrate(postgres.owner_url)
    out().print(f"The database is up to date ({took(time.monotonic() - started)}).")
