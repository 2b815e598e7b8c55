"""Random sets of ingested files: what counts of them equals the plain reference (ocp-payload §6.6, D1, D2)."""

from datetime import UTC, date, datetime
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference.manifests import FileDay, visible
from sqlalchemy import insert, select

from kura.store.database import Database
from kura.store.tables.shared import CUSTOMER, INGESTED_FILE_DAY, MANIFEST, PROVIDER, VISIBLE_FILE_DAY

DAY = date(2025, 1, 10)
MANIFESTS = 4


@st.composite
def file_days(draw: st.DrawFn) -> list[FileDay]:
    """Files of a few manifests on one day; a manifest is additive or not, and was accepted at its own time."""
    orders = draw(st.permutations(range(1, MANIFESTS + 1)))
    additive = draw(st.lists(st.booleans(), min_size=MANIFESTS, max_size=MANIFESTS))
    found: dict[tuple[int, str], FileDay] = {}
    for _ in range(draw(st.integers(0, 8))):
        number = draw(st.integers(0, MANIFESTS - 1))
        name = draw(st.sampled_from(("pods.0.csv", "pods.1.csv")))
        found[number, name] = FileDay(
            report_type=draw(st.sampled_from(("pod_usage", "storage_usage"))),
            day=DAY,
            manifest_uuid=str(number),
            name=name,
            hours=0 if additive[number] else draw(st.sampled_from((0, 6, 12, 24))),
            additive=additive[number],
            order=orders[number],
            rows=[],
        )
    return list(found.values())


class Undo(Exception):
    """Ends an example's transaction without a trace."""


@pytest.fixture
def provider(database: Database, tenant_schema: str) -> tuple[str, list[int]]:
    """A source with some manifests."""
    uuid = str(uuid4())
    with database.begin() as connection:
        customer = connection.scalar(select(CUSTOMER.c.id).where(CUSTOMER.c.schema_name == tenant_schema))
        connection.execute(insert(PROVIDER).values(uuid=uuid, name="source", type="OCP", customer_id=customer))
        manifests = [
            connection.execute(
                insert(MANIFEST)
                .values(
                    assembly_id=str(uuid4()),
                    provider_id=uuid,
                    billing_period_start_datetime=datetime(2025, 1, 1, tzinfo=UTC),
                )
                .returning(MANIFEST.c.id)
            ).scalar_one()
            for _ in range(MANIFESTS)
        ]
    return uuid, manifests


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=file_days())
def test_what_counts_of_any_files_equals_the_reference(
    database: Database, provider: tuple[str, list[int]], files: list[FileDay]
):
    uuid, manifests = provider
    expected = {(file.report_type, file.manifest_uuid, file.name) for file in visible(files)}

    found: set[tuple[str, str, str]] = set()
    with pytest.raises(Undo), database.begin() as connection:
        for file in files:
            connection.execute(
                insert(INGESTED_FILE_DAY).values(
                    provider_uuid=uuid,
                    report_type=file.report_type,
                    day=file.day,
                    manifest_id=manifests[int(file.manifest_uuid)],
                    report_name=file.name,
                    hours=file.hours,
                    additive=file.additive,
                    accepted_order=file.order,
                )
            )
        seen = VISIBLE_FILE_DAY.c
        for row in connection.execute(select(seen.report_type, seen.manifest_id, seen.report_name)):
            found.add((row.report_type, str(manifests.index(row.manifest_id)), row.report_name))
        raise Undo

    assert found == expected


@given(files=file_days())
def test_the_order_of_arrival_and_repetition_change_nothing(files: list[FileDay]):
    def names(given_files: list[FileDay]) -> set[tuple[str, str, str]]:
        return {(file.report_type, file.manifest_uuid, file.name) for file in visible(given_files)}

    assert names(files) == names(files[::-1]) == names([*files, *files])
