"""Tenants: customers, schemas, and what happens when two requests make one at the same moment."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, text

from kura.core.errors import BadRequest, Conflict, KuraError
from kura.store.database import Database, translating
from kura.store.tables.shared import CUSTOMER, PROVIDER
from kura.store.tables.tenant import COST_MODEL, COST_MODEL_AUDIT, COST_MODEL_MAP, PARTITIONED, REPORT_PERIOD
from kura.store.tenancy import (
    drop_tenant,
    ensure_tenant,
    find_customer,
    get_or_create_customer,
    quoted,
    schema_name_checked,
    schema_name_of,
    tenant_exists,
    tenant_schemas,
)
from kura.testing.postgres import SCHEMA, DatabaseUrls


def test_the_schema_of_an_organisation() -> None:
    assert schema_name_of("1234567") == "org1234567"
    assert schema_name_of("1234567", suffix="_x") == "org1234567_x"
    assert schema_name_of("1234567_x", suffix="_x") == "org1234567_x"


@pytest.mark.parametrize("org_id", ["", "a b", 'a"b', "a'b", "a;b", "a/b", "a\0", "a\n", "ä", "x" * 37])
def test_an_organisation_id_that_could_break_out_is_refused(org_id: str) -> None:
    with pytest.raises(BadRequest):
        schema_name_of(org_id)


@pytest.mark.parametrize("schema", ["public", "kura_template", "pg_catalog", "org", 'org1"', "org1 ", "org1\n", "Org1"])
def test_a_schema_that_is_no_tenants_is_refused(schema: str) -> None:
    with pytest.raises(BadRequest):
        schema_name_checked(schema)


def test_identifiers_are_quoted() -> None:
    assert quoted('a"b') == '"a""b"'


class TestCustomer:
    def test_is_made_once(self, database: Database) -> None:
        with database.begin() as connection:
            first = get_or_create_customer(connection, org_id="1", account_id="10")
            again = get_or_create_customer(connection, org_id="1", account_id="10")

            assert first == again
            assert (first.schema_name, first.account_id) == ("org1", "10")
            assert find_customer(connection, "2") is None

    def test_an_account_id_is_filled_in_later_but_never_changed(self, database: Database) -> None:
        with database.begin() as connection:
            assert get_or_create_customer(connection, org_id="1").account_id is None
            assert get_or_create_customer(connection, org_id="1", account_id="10").account_id == "10"
            assert get_or_create_customer(connection, org_id="1", account_id="11").account_id == "10"

    def test_an_account_id_of_another_organisation_is_left_out(self, database: Database) -> None:
        with database.begin() as connection:
            get_or_create_customer(connection, org_id="1", account_id="10")

            assert get_or_create_customer(connection, org_id="2", account_id="10").account_id is None
            assert get_or_create_customer(connection, org_id="2", account_id="10").schema_name == "org2"

    def test_two_requests_at_once_make_one(self, database: Database) -> None:
        def make(_: int) -> int:
            with database.begin() as connection:
                return get_or_create_customer(connection, org_id="1", account_id="10").id

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(make, range(8)))) == 1


class TestTenant:
    def test_is_a_copy_of_the_template(self, database: Database, tenant_schema: str) -> None:
        with database.begin() as connection:
            assert tenant_exists(connection, tenant_schema)
            assert tenant_schemas(connection) == [tenant_schema]

        assert _shape(database, tenant_schema) == _shape(database, "kura_template")

    def test_has_the_platform_category_and_default_settings(self, database: Database, tenant_schema: str) -> None:
        with database.tenant(tenant_schema) as connection:
            patterns = connection.scalars(
                text(
                    "select namespace from reporting_ocp_cost_category_namespace n"
                    " join reporting_ocp_cost_category c on c.id = n.cost_category_id"
                    " where c.name = 'Platform' and c.system_default and c.source_type = 'OCP' order by namespace"
                )
            ).all()
            assert patterns == ["Platform unallocated", "kube-%", "openshift", "openshift-%"]
            settings = connection.execute(text("select currency, data_retention_months from tenant_settings")).one()
            assert tuple(settings) == ("USD", 3)
            # Numbers go on after the copied rows.
            category = text(
                "insert into reporting_ocp_cost_category (name, source_type) values ('x', 'OCP') returning id"
            )
            assert connection.scalar(category) == 2

    def test_every_partitioned_table_has_its_default_partition(self, database: Database, tenant_schema: str) -> None:
        with database.tenant(tenant_schema) as connection:
            defaults = connection.scalars(text("select table_name from partitioned_tables")).all()

        assert sorted(defaults) == sorted(f"{table.name}_default" for table in PARTITIONED)

    def test_making_it_twice_changes_nothing(self, database: Database, tenant_schema: str) -> None:
        with database.begin() as connection:
            assert not ensure_tenant(connection, tenant_schema)
            assert connection.scalar(select(func.public.kura_create_tenant(tenant_schema))) is False

    def test_made_twice_at_the_same_moment_there_is_one(self, database: Database) -> None:
        """F51."""
        start = threading.Barrier(4)

        def make(_: int) -> bool:
            with database.begin() as connection:
                connection.execute(text("select 1"))
                start.wait()
                return ensure_tenant(connection, "org7")

        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(make, range(4)))

        assert sorted(made) == [False, False, False, True]
        with database.begin() as connection:
            assert tenant_schemas(connection) == ["org7"]
            assert connection.scalar(text("select count(*) from pg_namespace where nspname = 'org7'")) == 1

    def test_a_failure_leaves_nothing_behind(self, database: Database) -> None:
        with pytest.raises(ZeroDivisionError), database.begin() as connection:
            assert ensure_tenant(connection, "org7")
            raise ZeroDivisionError

        with database.begin() as connection:
            assert not tenant_exists(connection, "org7")
            assert connection.scalar(text("select count(*) from pg_namespace where nspname = 'org7'")) == 0
            assert ensure_tenant(connection, "org7")

    @pytest.mark.parametrize("schema", ["public", "kura_template", 'org"; drop table api_customer; --', "pg_temp"])
    def test_the_function_refuses_other_names(self, database: Database, schema: str) -> None:
        for function in (func.public.kura_create_tenant, func.public.kura_drop_tenant):
            with pytest.raises(KuraError), database.begin() as connection:
                connection.scalar(select(function(schema)))

    def test_unusual_but_lawful_names_work(self, database: Database) -> None:
        with database.begin() as connection:
            ensure_tenant(connection, "orgAcme.corp-1")
        with database.tenant("orgAcme.corp-1") as connection:
            assert connection.scalar(text("select count(*) from partitioned_tables")) == len(PARTITIONED)

    def test_is_dropped_only_without_sources(self, database: Database, tenant_schema: str) -> None:
        with database.begin() as connection:
            customer_id = connection.scalar(select(CUSTOMER.c.id))
            provider = connection.scalar(
                insert(PROVIDER).values(name="c1", type="OCP", customer_id=customer_id).returning(PROVIDER.c.uuid)
            )
        with pytest.raises(KuraError, match="sources"), database.begin() as connection:
            drop_tenant(connection, tenant_schema)

        with database.begin() as connection:
            connection.execute(PROVIDER.delete().where(PROVIDER.c.uuid == provider))
            assert drop_tenant(connection, tenant_schema)
            assert not drop_tenant(connection, tenant_schema)
            assert not tenant_exists(connection, tenant_schema)


class TestTwoTenants:
    @pytest.fixture
    def other(self, database: Database, tenant_schema: str) -> str:
        assert tenant_schema
        with database.begin() as connection:
            ensure_tenant(connection, "org2")
        return "org2"

    def test_rows_of_one_are_not_in_the_other(self, database: Database, tenant_schema: str, other: str) -> None:
        with database.tenant(tenant_schema) as connection:
            connection.execute(insert(COST_MODEL).values(name="a", source_type="OCP"))
        with database.tenant(other) as connection:
            assert connection.scalar(select(func.count()).select_from(COST_MODEL)) == 0
            assert connection.scalar(text("select count(*) from cost_model")) == 0

    def test_foreign_keys_stay_in_their_schema(self, database: Database, other: str) -> None:
        with database.begin() as connection:
            crossing = connection.scalars(
                text(
                    "select conname from pg_constraint c join pg_class a on a.oid = c.conrelid"
                    " join pg_class b on b.oid = c.confrelid where a.relnamespace = cast(:s as regnamespace)"
                    " and b.relnamespace <> a.relnamespace"
                ),
                {"s": other},
            ).all()
            count = text(
                "select count(*) from pg_constraint where contype = 'f' and connamespace = cast(:s as regnamespace)"
            )
            assert connection.scalar(count, {"s": other}) > 20
        assert crossing == []

    def test_a_pooled_connection_keeps_nothing_of_the_former_tenant(
        self, database_urls: DatabaseUrls, database: Database, tenant_schema: str, other: str
    ) -> None:
        """S18, on one connection shared by all."""
        for schema in (tenant_schema, other):
            with database.tenant(schema) as connection:
                connection.execute(insert(COST_MODEL).values(name=schema, source_type="OCP"))
        with Database(database_urls.writer, pool_size=1) as single:
            for turn in range(200):
                schema = (tenant_schema, other)[turn % 2]
                with single.tenant(schema) as connection:
                    assert connection.scalars(select(COST_MODEL.c.name)).all() == [schema]
                    assert connection.scalars(text("select name from cost_model")).all() == [schema]
                with pytest.raises(KuraError), single.begin() as connection:
                    connection.execute(text("select name from cost_model"))

    def test_arrow_connections_keep_nothing_either(self, database: Database, tenant_schema: str, other: str) -> None:
        for schema in (tenant_schema, other, tenant_schema):
            with database.adbc(schema) as connection, connection.cursor() as cursor:
                cursor.execute("select current_schema()")
                assert cursor.fetchone() == (schema,)
        with database.adbc() as connection, connection.cursor() as cursor:
            cursor.execute("select current_schema()")
            assert cursor.fetchone() == ("public",)


class TestRules:
    @pytest.fixture
    def connection(self, database: Database, tenant_schema: str) -> Iterator[Connection]:
        with database.tenant(tenant_schema) as connection:
            yield connection

    def test_rows_of_a_source_go_with_it(self, connection: Connection) -> None:
        provider = "6f8a9f3c-3c5e-4a57-9d7a-6d3f0f1f0001"
        connection.execute(text(f"insert into reporting_tenant_api_provider values ('{provider}', 'c', 'OCP')"))
        period = connection.scalar(
            insert(REPORT_PERIOD)
            .values(
                cluster_id="c",
                provider_id=provider,
                report_period_start="2025-01-01T00:00Z",
                report_period_end="2025-02-01T00:00Z",
            )
            .returning(REPORT_PERIOD.c.id)
        )
        daily = "reporting_ocpusagelineitem_daily_summary"
        connection.execute(
            text(
                f"insert into {daily} (usage_start, usage_end, report_period_id)"
                " values ('2025-01-10', '2025-01-10', :p)"
            ),
            {"p": period},
        )
        connection.execute(
            text(
                "insert into rates_to_usage (usage_start, usage_end, report_period_id, source_uuid)"
                f" values ('2025-01-10', '2025-01-10', :p, '{provider}')"
            ),
            {"p": period},
        )
        connection.execute(
            text(
                "insert into reporting_ocp_pod_summary_p (usage_start, usage_end, cluster_id, source_uuid)"
                f" values ('2025-01-10', '2025-01-10', 'c', '{provider}')"
            )
        )

        labels, folded = "reporting_ocpusagepodlabel_summary", "reporting_ocp_month_summary_p"
        connection.execute(
            text(
                f"insert into {labels} (key, values, report_period_id, namespace) values ('app', '{{a}}', :p, 'shop')"
            ),
            {"p": period},
        )
        connection.execute(
            text(
                f"insert into {folded} (usage_start, usage_end, source_uuid)"
                f" values ('2025-01-01', '2025-01-10', '{provider}')"
            )
        )

        connection.execute(text("delete from reporting_tenant_api_provider"))

        for table in (
            *("reporting_ocpusagereportperiod", daily, "rates_to_usage"),
            *("reporting_ocp_pod_summary_p", labels, folded),
        ):
            assert connection.scalar(text(f"select count(*) from {table}")) == 0

    def test_a_late_row_of_a_removed_source_is_refused(self, connection: Connection) -> None:
        with pytest.raises(Conflict), translating():
            connection.execute(
                text(
                    "insert into reporting_ocp_pod_summary_p (usage_start, usage_end, cluster_id, source_uuid)"
                    " values ('2025-01-10', '2025-01-10', 'c', gen_random_uuid())"
                )
            )

    def test_null_nodes_of_label_summaries_are_equal(self, connection: Connection) -> None:
        """ocp-pipeline P7."""
        row = (
            "insert into reporting_ocpusagepodlabel_summary (key, values, report_period_id, namespace, node)"
            " values ('app', '{a}', null, 'shop', null) on conflict do nothing"
        )
        assert connection.execute(text(row)).rowcount == 1
        assert connection.execute(text(row)).rowcount == 0

    def test_every_version_of_a_cost_model_is_kept(self, connection: Connection) -> None:
        provider = "6f8a9f3c-3c5e-4a57-9d7a-6d3f0f1f0001"
        model = connection.scalar(insert(COST_MODEL).values(name="a", source_type="OCP").returning(COST_MODEL.c.uuid))
        connection.execute(insert(COST_MODEL_MAP).values(provider_uuid=provider, cost_model_id=model))
        connection.execute(COST_MODEL.update().values(name="b", markup={"value": "10", "unit": "percent"}))
        connection.execute(COST_MODEL.delete())

        kept = connection.execute(select(COST_MODEL_AUDIT).order_by(COST_MODEL_AUDIT.c.id)).all()

        assert [(row.operation, row.name, row.uuid) for row in kept] == [
            ("INSERT", "a", model),
            ("UPDATE", "b", model),
            ("DELETE", "b", model),
        ]
        assert [len(row.provider_uuids or []) for row in kept] == [0, 1, 1]


def _shape(database: Database, schema: str) -> dict[str, list[Any]]:
    """All that defines the tables of a schema, without the schema's name. Partitions belong to it."""
    queries = {
        "columns": "select table_name, column_name, column_default, is_nullable, data_type, udt_name, is_identity,"
        " character_maximum_length, numeric_precision, numeric_scale from information_schema.columns"
        " where table_schema = :schema",
        "indexes": "select tablename, indexname, indexdef from pg_indexes where schemaname = :schema",
        "constraints": "select conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid)"
        " from pg_constraint where connamespace = cast(:schema as regnamespace)",
        "triggers": "select tgrelid::regclass::text, tgname, pg_get_triggerdef(t.oid) from pg_trigger t"
        " join pg_class c on c.oid = tgrelid where relnamespace = cast(:schema as regnamespace) and not tgisinternal",
        "tables": "select relname, relkind::text, pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid)"
        " from pg_class where relnamespace = cast(:schema as regnamespace) and relkind in ('r', 'p')",
        "seeds": "select namespace, system_default, cost_category_id"
        f" from {schema}.reporting_ocp_cost_category_namespace",
        "revision": f"select version_num from {schema}.alembic_version",
    }
    owner = Database(database.url.replace("kura_writer@", "postgres@"), pool_size=1)
    with owner, owner.begin() as connection:
        return {
            name: sorted(
                tuple(re.sub(rf"\b{schema}\.", "", str(value)) for value in row)
                for row in connection.execute(text(query), {"schema": schema} if ":schema" in query else {})
            )
            for name, query in queries.items()
        }


def test_the_tenant_of_the_fixtures_is_the_one_of_the_organisation(tenant_schema: str) -> None:
    assert tenant_schema == SCHEMA
