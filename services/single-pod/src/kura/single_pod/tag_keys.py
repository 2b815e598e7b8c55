"""Which tag keys are kept in summaries: `kura tags --enable KEY`, and the demo."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kura.single_pod.client import Kura
from kura.single_pod.problems import CommandError


def known_keys(kura: Kura) -> dict[str, str]:
    """Every tag key that was found in data → its id."""
    return {item["key"]: item["uuid"] for item in kura.pages("/settings/tags/")}


def set_keys(kura: Kura, names: Sequence[str], *, enabled: bool) -> None:
    """Enable or disable keys. CommandError names those that no upload has brought yet."""
    known = known_keys(kura)
    if missing := [name for name in names if name not in known]:
        raise CommandError(
            f"No upload has brought the tag {'key' if len(missing) == 1 else 'keys'} {', '.join(missing)}.",
            hint="Keys become known when a payload with them is taken in.",
        )
    action = "enable" if enabled else "disable"
    kura.put(f"/settings/tags/{action}/", {"ids": [known[name] for name in names]})


def wait_for_keys(kura: Kura, names: Sequence[str], *, seconds: float) -> None:
    """Return when all these keys were found in data."""
    until = time.monotonic() + seconds
    while missing := set(names) - known_keys(kura).keys():
        if time.monotonic() > until:
            raise CommandError(f"These tag keys did not appear: {', '.join(sorted(missing))}.")
        time.sleep(0.1)
