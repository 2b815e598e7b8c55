"""`kura migrate`: bring a database to this version, the data directory's own or one by address."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from kura.single_pod.tables import err, out, took


def migrate_database(url: str | None, *, data_dir: Path, passwords: Mapping[str, str]) -> None:
    """`passwords`: role of a service → the password it shall have from now on."""
    from kura.store.migrate import migrate
    from kura.store.roles import let_in

    started = time.monotonic()
    with err().status("migrating …"):
        if url is not None:
            migrate(url)
            for role, password in passwords.items():
                let_in(url, role=role, password=password)
        else:
            from kura.store.embedded import EmbeddedPostgres

            with EmbeddedPostgres(data_dir / "postgres") as postgres:
                migrate(postgres.owner_url)
    out().print(f"The database is up to date ({took(time.monotonic() - started)}).")
