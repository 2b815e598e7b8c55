"""Exchange rates by month, kept up to date. Source: tasks-and-queues §3.2; cost-models §12."""

from __future__ import annotations

from kura.core.days import Month, today
from kura.core.telemetry import get_logger
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.exchange_rates import fill_gaps, settle_month, store_dictionary
from kura.store.tenancy import tenant_schemas
from kura.workers import store
from kura.workers.currency_feed import RatesNotFetched, fetch_rates
from kura.workers.handlers.tools import HandlerContext, Stop, in_own_thread

log = get_logger(__name__)


async def fetch_currency_rates(task: tasks_pb2.FetchCurrencyRates, ctx: HandlerContext) -> None:
    """Fetch the rates if there is an address for them, then bring every tenant's current month up to date.

    The months are brought up to date in any case: rates that were set by hand begin to hold with their month.
    """
    url = ctx.tools.settings.currency_url
    problem: RatesNotFetched | None = None
    if url is not None:
        try:
            dictionary = await fetch_rates(url.get_secret_value())
            await in_own_thread(_store, dictionary, ctx)
        except RatesNotFetched as error:
            problem = error
    await in_own_thread(_settle_every_tenant, ctx)
    if problem is not None:
        raise problem


def _store(dictionary: dict[str, dict[str, float]], ctx: HandlerContext, stop: Stop) -> None:
    with ctx.db.begin() as connection:
        store_dictionary(connection, dictionary)
        ctx.assert_held(connection)
    log.info("exchange_rates_fetched", currencies=len(dictionary))


def _settle_every_tenant(ctx: HandlerContext, stop: Stop) -> None:
    with ctx.db.begin() as connection:
        schemas = tenant_schemas(connection)
    this = Month.of(today())
    for schema in schemas:
        stop.check()
        with ctx.db.tenant(schema) as connection:
            months = store.retention_months(connection, override=ctx.tools.settings.retain_override)
            settle_month(connection, this)
            fill_gaps(connection, first=this.plus(1 - months), current=this)
            ctx.assert_held(connection)
    log.info("exchange_rates_settled", tenants=len(schemas), month=str(this))
