"""Fixtures of the workers' tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.workers.app import open_tools
from kura.workers.config import IngestSettings

sys.path.insert(0, str(Path(__file__).parent))

from workers_house import House, NoddingAggregator


@pytest.fixture
def house(database: Database, tenant_schema: str, object_store: ObjectStore, tmp_path: Path) -> Iterator[House]:
    settings = IngestSettings(work_directory=tmp_path / "work", convert_threads=2)
    aggregator = NoddingAggregator()
    with open_tools(objects=object_store, aggregator=aggregator, settings=settings) as tools:
        yield House(db=database, objects=object_store, tools=tools, aggregator=aggregator, schema=tenant_schema)
