"""Fixtures of the aggregator's tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kura.aggregator.engine import Engine, EngineLimits, Engines
from kura.store.database import Database
from kura.store.objects import ObjectStore

sys.path.insert(0, str(Path(__file__).parent))

from cluster_house import Cluster, add_cluster

LIMITS_BYTES = 256 * 2**20


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    limits = EngineLimits(memory_bytes=LIMITS_BYTES, threads=1, spill_directory=tmp_path_factory.mktemp("spill"))
    with Engines(limits) as opened:
        yield opened


@pytest.fixture
def engine(engines: Engines) -> Iterator[Engine]:
    with engines.lend() as lent:
        yield lent


@pytest.fixture
def cluster(database: Database, tenant_schema: str, object_store: ObjectStore, engines: Engines) -> Cluster:
    """A source of the tenant, with a report period for January 2025 and nothing taken in."""
    return add_cluster(database, object_store, engines, schema=tenant_schema, cluster_id="cluster-1", name="Cluster 1")
