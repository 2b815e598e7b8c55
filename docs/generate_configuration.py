"""Writes docs/configuration.md from the settings classes. `--check` fails when the file is not what it would write."""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from kura.core.config import SettingsGroup

SERVICES = ("api-reads", "api-writes", "aggregator", "scheduler", "workers", "single-pod")
TARGET = Path(__file__).with_name("configuration.md")

HEAD = """# Configuration

Generated from the settings classes by `python docs/generate_configuration.py`; do not edit.

Every variable is read once, when a service starts. All bad variables are named together and the service does not
start. An empty variable counts as missing. Secrets never appear in logs.

"""


def declaring_class(settings: type[SettingsGroup], field: str) -> type[SettingsGroup]:
    """The group that declares `field`, however many services compose it."""
    owners = [kind for kind in settings.__mro__ if field in inspect.get_annotations(kind)]
    return owners[-1]


def default_of(settings: type[SettingsGroup], field: str) -> str:
    info = settings.model_fields[field]
    if info.default is PydanticUndefined:
        return "required"
    if info.default is None:
        return "–"
    value = info.default.get_secret_value() if isinstance(info.default, SecretStr) else info.default
    return f"`{value}`" if value != "" else "empty"


def reference() -> str:
    used: dict[tuple[type[SettingsGroup], str], list[str]] = {}
    for service in SERVICES:
        settings = importlib.import_module(f"kura.{service.replace('-', '_')}.config").Settings
        for field in settings.model_fields:
            used.setdefault((declaring_class(settings, field), field), []).append(service)
    groups: dict[type[SettingsGroup], list[str]] = {}
    for group, field in used:
        groups.setdefault(group, []).append(field)

    text = HEAD
    for group, fields in sorted(groups.items(), key=lambda item: (item[0].__module__, item[0].__qualname__)):
        title = (group.__doc__ or group.__name__).strip().splitlines()[0].rstrip(".")
        text += f"## {title}\n\n| Variable | Default | Read by | Meaning |\n|---|---|---|---|\n"
        for field in fields:
            names = group.variables().get(field, [field])
            services = used[group, field]
            readers = "all services" if len(services) == len(SERVICES) else ", ".join(services)
            others = f" Also read as {', '.join(f'`{n}`' for n in names[1:])}." if names[1:] else ""
            meaning = (group.model_fields[field].description or "").replace("|", "\\|")
            text += f"| `{names[0]}` | {default_of(group, field)} | {readers} | {meaning}{others} |\n"
        text += "\n"
    return text.rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file is out of date")
    options = parser.parse_args()
    text = reference()
    if options.check:
        current = TARGET.read_text() if TARGET.exists() else ""
        if current != text:
            print("docs/configuration.md is out of date: run python docs/generate_configuration.py", file=sys.stderr)  # noqa: T201
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
