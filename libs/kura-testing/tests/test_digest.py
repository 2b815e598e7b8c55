import psycopg2
import pytest

from kura.testing.digest import digest_of
from kura.testing.postgres import SCHEMA, DatabaseUrls

PROJECT = "reporting_ocp_cost_summary_by_project_p"
TAGS = "reporting_ocptags_values"


@pytest.fixture
def urls(database_urls: DatabaseUrls, tenant_schema: str) -> DatabaseUrls:
    assert tenant_schema == SCHEMA
    return database_urls


def write(urls: DatabaseUrls, *statements: str) -> None:
    connection = psycopg2.connect(urls.writer)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"set search_path to {SCHEMA}")
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def cost(namespace: str, value: str) -> str:
    return (
        f"insert into {PROJECT} (usage_start, usage_end, cluster_id, namespace, cost_model_cpu_cost)"
        f" values ('2025-01-10', '2025-01-10', 'c', '{namespace}', {value})"
    )


def test_the_order_of_rows_and_their_keys_change_nothing(urls: DatabaseUrls):
    write(urls, cost("a", "1.25"), cost("b", "2"))
    first = digest_of(urls.owner, SCHEMA)
    write(urls, f"delete from {PROJECT}", cost("b", "2.0000000000001"), cost("a", "1.25"))

    assert digest_of(urls.owner, SCHEMA) == first


def test_another_value_or_one_row_more_is_seen_and_named(urls: DatabaseUrls):
    write(urls, cost("a", "1.25"))
    first = digest_of(urls.owner, SCHEMA)
    write(urls, cost("a", "1.25"))
    second = digest_of(urls.owner, SCHEMA)

    assert second != first
    assert second.value != first.value
    assert second.differences(first) == [f"{PROJECT}: 2 and 1 rows"]


@pytest.mark.parametrize("values", ["{c1,c2}", "{c2,c1}"])
def test_arrays_are_sets(urls: DatabaseUrls, values: str):
    insert = (
        "insert into {table} (key, value, cluster_ids, cluster_aliases, namespaces) "
        "values ('k', 'v', '{values}', '{{}}', '{{}}')"
    )
    write(urls, insert.format(table=TAGS, values=values))
    first = digest_of(urls.owner, SCHEMA)
    write(urls, f"delete from {TAGS}", insert.format(table=TAGS, values="{c1,c2}"))

    assert digest_of(urls.owner, SCHEMA) == first
