"""Tenants: customers, schemas, and what happens when two requests make one at the same moment (F51)."""

from sqlalchemy import text


def test_a_new_tenant(database, tenant_schema):
    with database.tenant(tenant_schema) as connection:
        assert connection.scalar(text("select count(*) from reporting_ocp_cost_category_namespace")) == 4


def test_a_new_tenantx(database):
    with database.begin() as connection:
        assert connection.scalar(text("select count(*) from api_tenant")) == 0
