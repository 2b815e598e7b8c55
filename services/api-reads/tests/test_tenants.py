"""Two organisations in one database: neither sees anything of the other, whatever it asks (S15, S17, S18)."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest
from sqlalchemy import insert

from kura.api_reads.app import build_app, build_gateway, endpoints
from kura.core.identity import HeaderIdentity
from kura.store.database import Database
from kura.store.tables.shared import PROVIDER
from kura.store.tables.tenant import DAILY_SUMMARY, ENABLED_TAG_KEYS, TENANT_PROVIDER
from kura.store.tenancy import ensure_tenant, get_or_create_customer
from kura.testing.asking import ADMIN, Asker
from kura.testing.postgres import SCHEMA, DatabaseUrls
from kura.testing.summary_rows import TODAY, fill_ui_tables, line, load_sample, raw

OTHER_ORG = "7654321"
OTHER_SCHEMA = f"org{OTHER_ORG}"
OTHER_SOURCE = UUID("cccccccc-0000-4000-8000-000000000003")
SECRETS = ("secret-project", "secret-node", "secret-alias", str(OTHER_SOURCE), "secret-value")
DAY_17 = "start_date=2024-06-17&end_date=2024-06-17"


@pytest.fixture(scope="module")
def ask(module_database_urls: DatabaseUrls) -> Iterator[Asker]:
    with Database(module_database_urls.writer) as writer, Database(module_database_urls.reader, pool_size=3) as reader:
        with writer.tenant(SCHEMA) as connection:
            load_sample(connection)
        with writer.begin() as connection:
            customer = get_or_create_customer(connection, org_id=OTHER_ORG)
            ensure_tenant(connection, OTHER_SCHEMA)
            connection.execute(
                insert(PROVIDER).values(uuid=OTHER_SOURCE, name="secret-alias", type="OCP", customer_id=customer.id)
            )
        with writer.tenant(OTHER_SCHEMA) as connection:
            connection.execute(insert(TENANT_PROVIDER).values(uuid=OTHER_SOURCE, name="secret-alias", type="OCP"))
            connection.execute(insert(ENABLED_TAG_KEYS).values(key="secret-key", provider_type="OCP"))
            row = line("cl-a", "2024-06-17", "secret-project", "secret-node", labels={"secret-key": "secret-value"})
            row |= {"cluster_id": "cl-z", "cluster_alias": "secret-alias", "source_uuid": OTHER_SOURCE}
            connection.execute(insert(DAILY_SUMMARY).values({**row, **raw(1000, 0)}))
            fill_ui_tables(connection)
        gateway = build_gateway(reader=reader, primary=writer, today=lambda: TODAY)
        yield Asker(build_app(gateway=gateway, identity=HeaderIdentity()))


ADDRESSES = [endpoint.path for endpoint in endpoints() if "{" not in endpoint.path]
QUESTIONS = (
    ("", "application/json"),
    ("", "text/csv"),
    ("?filter[or:cluster]=cl-z", "application/json"),
    ("?group_by[cluster]=*&group_by[project]=*&filter[limit]=100", "application/json"),
    ("?search=secret", "application/json"),
)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_no_address_tells_anything_of_another_organisation(ask: Asker, address: str):
    for query, accept in QUESTIONS:
        response = await ask.response(address + query, accept=accept)
        assert response.status_code in (200, 301, 400, 403, 404, 406), response.text
        assert not any(secret in response.text for secret in SECRETS), query


async def test_keys_of_another_organisation_are_unknown(ask: Asker):
    status, _ = await ask.refused("reports/openshift/costs/?filter[tag:secret-key]=*")
    assert status == 400
    assert (await ask.response("tags/openshift/secret-key/")).status_code == 404


async def test_interleaved_requests_of_two_organisations_do_not_mix(ask: Asker):
    other = ask.as_(replace(ADMIN, org_id=OTHER_ORG))

    async def total(asker: Asker, turn: int) -> float:
        answer = await asker(f"reports/openshift/costs/?{DAY_17}&offset={turn % 7}")
        return answer["meta"]["total"]["cost"]["total"]["value"]

    found = await asyncio.gather(*(total(other if turn % 2 else ask, turn) for turn in range(100)))

    assert found == [164.72, 1000.0] * 50


async def test_an_answer_is_kept_for_its_day_only(module_database_urls: DatabaseUrls, ask: Asker):
    days = [TODAY]
    with Database(module_database_urls.reader) as reader:
        gateway = build_gateway(reader=reader, today=lambda: days[0])
        asker = replace(ask, app=build_app(gateway=gateway, identity=HeaderIdentity()))
        before = await asker("reports/openshift/costs/")
        days[0] = date(2024, 6, 19)
        after = await asker("reports/openshift/costs/")

    assert (before["data"][-1]["date"], after["data"][-1]["date"]) == ("2024-06-18", "2024-06-19")
