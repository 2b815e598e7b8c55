"""Faults in the middle of a run: nothing of it is visible, and trying again gives what the clean run gives."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from cluster_house import DAY, Cluster, add_cluster
from sqlalchemy import text

from kura.aggregator.engine import Engines
from kura.aggregator.inputs import Source
from kura.aggregator.pipelines.openshift import SummaryRun, summarise_openshift
from kura.aggregator.summary_parquet import summary_key
from kura.core.days import DayRange
from kura.core.errors import DatabaseUnavailable, KuraError, ObjectMissing, ObjectStoreUnavailable, TransientError
from kura.store.database import Database
from kura.store.object_s3 import S3Store
from kura.testing.digest import Digest, digest_on
from kura.testing.proxies import BreakOff, Fault, HttpProxy, Shorten

NEXT_DAY = DAY + timedelta(days=1)


class Killed(BaseException):
    """Stands for the end of the process."""


def state_of(cluster: Cluster) -> Digest:
    with cluster.database.begin() as connection:
        return digest_on(connection, cluster.schema)


def run_with(cluster: Cluster, at_step: Callable[[str], None]) -> None:
    run = SummaryRun(schema=cluster.schema, provider_uuid=cluster.provider_uuid, days=DayRange(DAY, NEXT_DAY))
    summarise_openshift(run, cluster.resources, lambda step, *_: at_step(step), lambda _: None)


@pytest.fixture
def clean(cluster: Cluster) -> Digest:
    """What the clean run gives; the cluster has an older summary of one of the days."""
    cluster.enable("app", "tier")
    cluster.take_in_day()
    cluster.take_in_day(NEXT_DAY)
    cluster.run(DAY, NEXT_DAY)
    after = state_of(cluster)
    cluster.sql("update reporting_ocpusagelineitem_daily_summary set pod_usage_cpu_core_hours = 7")
    return after


@pytest.mark.parametrize("killed_after", ["compute", "write_summary", "write_tables"])
def test_f04_a_run_killed_before_its_commit_leaves_nothing_and_can_be_repeated(
    cluster: Cluster, clean: Digest, killed_after: str
):
    before = state_of(cluster)
    parquet = summary_key(Source(schema=cluster.schema, provider_uuid=cluster.provider_uuid), DAY)
    stored = cluster.resources.objects.read(parquet)

    def kill(step: str) -> None:
        if step == killed_after:
            raise Killed

    with pytest.raises(Killed):
        run_with(cluster, kill)

    assert state_of(cluster).differences(before) == []
    assert cluster.resources.objects.read(parquet) == stored
    cluster.run(DAY, NEXT_DAY)
    assert state_of(cluster).differences(clean) == []


def test_f04_a_run_killed_after_its_commit_is_made_whole_by_the_next(cluster: Cluster, clean: Digest):
    def kill(step: str) -> None:
        if step == "commit":
            raise Killed

    with pytest.raises(Killed):
        run_with(cluster, kill)

    cluster.run(DAY, NEXT_DAY)
    assert state_of(cluster).differences(clean) == []


def test_f20_a_backend_killed_while_it_writes_is_a_retry(cluster: Cluster, clean: Digest):
    before = state_of(cluster)

    def kill_backends(step: str) -> None:
        if step == "write_summary":
            with cluster.database.begin() as connection:
                connection.execute(
                    text(
                        "select pg_terminate_backend(pid) from pg_stat_activity"
                        " where datname = current_database() and usename = current_user and pid <> pg_backend_pid()"
                    )
                )

    with pytest.raises(DatabaseUnavailable) as caught:
        run_with(cluster, kill_backends)
    assert caught.value.retry

    assert state_of(cluster).differences(before) == []
    cluster.run(DAY, NEXT_DAY)
    assert state_of(cluster).differences(clean) == []


def test_f22_a_commit_whose_answer_is_lost_is_repeated_without_harm(cluster: Cluster, clean: Digest):
    cluster.run(DAY, NEXT_DAY)
    cluster.run(DAY, NEXT_DAY)

    assert state_of(cluster).differences(clean) == []


@pytest.fixture
def remote(
    database: Database, tenant_schema: str, proxied_s3_store: S3Store, engines: Engines, s3_proxy: HttpProxy
) -> Cluster:
    """A cluster whose line items lie behind a proxy, in two objects."""
    cluster = add_cluster(
        database, proxied_s3_store, engines, schema=tenant_schema, cluster_id="cluster-1", name="Cluster 1"
    )
    cluster.take_in_day()
    cluster.take_in_day(NEXT_DAY)
    return cluster


@pytest.mark.s3
@pytest.mark.parametrize(
    ("fault", "meant"),
    [
        (BreakOff(after_bytes=None), ObjectStoreUnavailable),
        (Shorten(to_bytes=8), TransientError),
    ],
    ids=["no answer", "short"],
)
def test_f31_f32_objects_that_cannot_be_read_now_are_a_retry(
    remote: Cluster, s3_proxy: HttpProxy, fault: Fault, meant: type[KuraError]
):
    before = state_of(remote)

    with s3_proxy.broken(fault, method="GET", path="/data/"), pytest.raises(meant) as caught:
        remote.run(DAY, NEXT_DAY)
    assert caught.value.retry
    assert state_of(remote).differences(before) == []

    remote.run(DAY, NEXT_DAY)
    assert len(remote.summary()) > 0


def test_f33_an_object_that_is_gone_is_named_and_waited_for(cluster: Cluster):
    check_missing_object(cluster)


@pytest.mark.s3
def test_f33_also_in_a_bucket(remote: Cluster):
    check_missing_object(remote)


def check_missing_object(cluster: Cluster) -> None:
    objects = cluster.resources.objects
    cluster.take_in_day()
    key = next(key for key in objects.keys("data/parquet/daily/") if f"pod_usage.{DAY}" in key)
    content = objects.read(key)
    cluster.run(DAY)
    before = state_of(cluster)

    objects.delete([key])
    with pytest.raises(ObjectMissing, match=f"{key} is not in the object store") as caught:
        cluster.run(DAY)
    assert caught.value.retry
    assert state_of(cluster).differences(before) == []

    objects.write(key, content)
    cluster.run(DAY)
    assert state_of(cluster).differences(before) == []
