"""The command line: `kura --help`. Wires; the only module of this service that reads the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from kura.single_pod.problems import CommandError

if TYPE_CHECKING:
    from kura.single_pod.client import Kura

START = "Run Kura"
USE = "Use a running Kura"
SERVICES = "Single services, for split deployments"


class Commands(TyperGroup):
    """Tells what went wrong and what to do, instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        from kura.core.errors import KuraError

        try:
            return super().invoke(ctx)
        except CommandError as error:
            _explain(str(error), error.hint)
            raise typer.Exit(error.status) from error
        except KuraError as error:
            _explain(str(error), None)
            raise typer.Exit(1) from error
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # the reader has gone; nothing more to say
            raise typer.Exit(0) from None


def _explain(message: str, hint: str | None) -> None:
    from kura.single_pod.tables import say

    say(f"kura: {message}")
    if hint:
        say(f"  → {hint}")


cli = typer.Typer(
    cls=Commands,
    name="kura",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Kura: cost management for OpenShift and clouds, on premises.\n\n"
    "First steps: `kura demo` shows everything with made-up data; `kura up` starts Kura for your own; "
    "`kura source add`, `kura upload` and `kura report` use it.",
)
source_cli = typer.Typer(no_args_is_help=True, help="Clusters (and clouds) whose costs are managed.")
cli.add_typer(source_cli, name="source", rich_help_panel=USE)
cost_model_cli = typer.Typer(no_args_is_help=True, help="Prices, markup and what is handed on to projects.")
cli.add_typer(cost_model_cli, name="cost-model", rich_help_panel=USE)
currency_cli = typer.Typer(no_args_is_help=True, help="Currencies that prices may be in and costs be shown in.")
cli.add_typer(currency_cli, name="currency", rich_help_panel=USE)
rate_cli = typer.Typer(
    no_args_is_help=True,
    help="Exchange rates of your own for whole months.\n\n"
    "Costs of a month are shown with its rate where you have set one, else with the rate that was fetched last "
    "(CURRENCY_URL), else one to one. A rate leads one way: set EUR to USD and USD to EUR apart.",
)
currency_cli.add_typer(rate_cli, name="rate")

UrlOption = Annotated[
    str | None,
    typer.Option("--url", envvar="KURA_URL", help="Address of Kura; default: the one running on this machine."),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="KURA_DATA_DIR",
        help="Where Kura keeps everything. Default: /var/lib/kura/main for root, ~/.local/share/kura/main otherwise.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]


def _connect(url: str | None, data_dir: Path | None) -> Kura:
    """The Kura that is meant: by address, by data directory, or the one that runs on this machine."""
    from kura.single_pod.client import Caller, Kura
    from kura.single_pod.home import default_data_dir, demo_data_dir, read_endpoints

    caller = Caller(token=os.environ.get("KURA_TOKEN") or None, org_id=os.environ.get("KURA_ORG_ID") or None)
    if url:
        return Kura(url, caller)
    places = [data_dir] if data_dir else [default_data_dir(os.environ), demo_data_dir(os.environ)]
    for place in places:
        found = read_endpoints(place)
        if found is not None:
            return Kura(found.http, caller)
    raise CommandError(
        f"No Kura is running on {' or '.join(str(place) for place in places)}.",
        hint="Start one with `kura up`, or say where it is with --url or --data-dir.",
    )


# ------------------------------------------------------------------------------------------------------------ running


@cli.command(rich_help_panel=START)
def up(
    data_dir: DataDirOption = None,
    http: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the API listens; port 0 picks a free one.")] = (
        "127.0.0.1:8000"
    ),
    grpc: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where gRPC listens; port 0 picks a free one.")] = (
        "127.0.0.1:9090"
    ),
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="DATABASE_URL",
            help="PostgreSQL to use, with an account that owns the database; default: a private one.",
        ),
    ] = None,
    broker_url: Annotated[
        str | None,
        typer.Option(
            envvar="BROKER_URL", help="RabbitMQ to use (amqp:// or amqps://); default: the database is the queue."
        ),
    ] = None,
    object_store: Annotated[
        str | None,
        typer.Option(
            envvar="OBJECT_STORE", help="`file:///directory` or `s3://bucket`; default: a directory of its own."
        ),
    ] = None,
    split: Annotated[
        bool,
        typer.Option(
            "--split",
            help="Every service in its own process, on RabbitMQ, PostgreSQL and S3 (private ones "
            "where no address is given). For trying out what production looks like.",
        ),
    ] = False,
    queue_class: Annotated[
        list[str] | None,
        typer.Option(
            help="With --split: queue classes of one worker process, comma separated; repeat for more processes."
        ),
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = None,
) -> None:
    """Start Kura and keep it running until Ctrl-C or `kura down`.

    When it is ready it prints its addresses and writes them to `DATA_DIR/endpoints.json`.

    Examples:

    * `kura up`
    * `kura up --data-dir ./data --http 127.0.0.1:0`
    * `kura up --database-url postgresql://kura@db/kura --object-store s3://costs`
    * `kura up --split`
    """
    from kura.single_pod.config import UpOptions
    from kura.single_pod.home import default_data_dir

    options = UpOptions.checked(
        data_dir=data_dir or default_data_dir(os.environ),
        http=http,
        grpc=grpc,
        database_url=database_url,
        broker_url=broker_url,
        object_store=object_store,
        worker_groups=queue_class or [],
        log_level=log_level or os.environ.get("KURA_LOG_LEVEL") or ("WARNING" if sys.stderr.isatty() else "INFO"),
        log_format=os.environ.get("KURA_LOG_FORMAT") or ("console" if sys.stderr.isatty() else "json"),
    )
    if split:
        from kura.single_pod.split import run_split

        run_split(options, os.environ)
    else:
        from kura.single_pod.app import run_up

        run_up(options, os.environ)


@cli.command(rich_help_panel=START)
def down(data_dir: DataDirOption = None) -> None:
    """Stop the Kura that runs on a data directory, and wait until it has."""
    from kura.single_pod.home import default_data_dir, demo_data_dir
    from kura.single_pod.stopping import stop

    places = [data_dir] if data_dir else [default_data_dir(os.environ), demo_data_dir(os.environ)]
    stop(places)


@cli.command(rich_help_panel=START)
def demo(
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where the demo keeps everything; apart from real data by default.", show_default=False),
    ] = None,
    http: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the API listens; port 0 picks a free one.")] = (
        "127.0.0.1:0"
    ),
    clusters: Annotated[int, typer.Option(min=1, max=50, help="Clusters to make.")] = 2,
    days: Annotated[int, typer.Option(min=1, max=90, help="Days to make, up to now.")] = 10,
    stop: Annotated[bool, typer.Option("--stop", help="Stop Kura at the end instead of leaving it running.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as one JSON object last.")] = False,
) -> None:
    """Show Kura at work: start it, make the last days of two clusters, upload them, report on them."""
    from kura.single_pod.demo import run_demo
    from kura.single_pod.home import demo_data_dir

    run_demo(
        data_dir=data_dir or demo_data_dir(os.environ),
        http=http,
        clusters=clusters,
        days=days,
        stop_at_end=stop,
        as_json=as_json,
        environ=os.environ,
    )


@cli.command(
    rich_help_panel=START,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def test(ctx: typer.Context) -> None:
    """Run Kura's own tests, the fast ones first; arguments go to pytest (`kura test -k labels`, `kura test libs`).

    Without arguments they run on several cores.
    """
    from kura.single_pod.testing_order import run_tests

    raise typer.Exit(run_tests(Path(os.environ.get("KURA_CHECKOUT") or Path.cwd()), ctx.args))


@cli.command(rich_help_panel=START)
def migrate(
    data_dir: DataDirOption = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="PostgreSQL URL of the owning account; default: DATABASE_OWNER_URL, else the data directory."
        ),
    ] = None,
) -> None:
    """Bring the database's tables to this version. `kura up` does it by itself; deployments run it as a job."""
    from kura.core.config import OwnerSettings
    from kura.single_pod.home import default_data_dir
    from kura.single_pod.migrating import migrate_database

    settings = OwnerSettings.from_env(os.environ, owner_url=database_url)
    given = {"kura_writer": settings.writer_password, "kura_reader": settings.reader_password}
    migrate_database(
        settings.owner_url.get_secret_value() if settings.owner_url else None,
        data_dir=data_dir or default_data_dir(os.environ),
        passwords={role: password.get_secret_value() for role, password in given.items() if password is not None},
    )


# -------------------------------------------------------------------------------------------------------------- using


@source_cli.command("add")
def source_add(
    name: Annotated[str, typer.Argument(help="Name to show.")],
    cluster_id: Annotated[
        str | None, typer.Option(help="The cluster's id, as its operator sends it; default: NAME is the id.")
    ] = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register an OpenShift cluster, so that its uploads are taken in.

    Uploads that came earlier wait and are taken in now.

    Example: `kura source add production --cluster-id 8f9ad0c5-7d1c-4c5b-9d0f-0d1f9a3f6a55`
    """
    from kura.single_pod.tables import out, print_json

    with _connect(url, data_dir) as kura:
        made = kura.add_cluster(name=name, cluster_id=cluster_id or name)
    if as_json:
        print_json(made)
    else:
        out().print(f"Source {made['id']} ({made['name']}) added, uuid {made['uuid']}.")


@source_cli.command("list")
def source_list(url: UrlOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """List all sources."""
    from kura.single_pod.tables import list_table, moment, out, print_json, say

    with _connect(url, data_dir) as kura:
        sources = list(kura.pages("/sources/"))
    if as_json:
        print_json(sources)
        return
    if not sources:
        say("No sources yet. Add one: `kura source add NAME --cluster-id ID`.")
        return
    rows = [
        {
            **source,
            "cluster": source.get("source_ref") or "",
            "received": moment(source.get("last_payload_received_at") or None),
            "state": "paused" if source.get("paused") else "active" if source.get("active") else "inactive",
        }
        for source in sources
    ]
    columns = {
        "id": "id",
        "name": "name",
        "source_type": "type",
        "cluster": "cluster",
        "state": "state",
        "received": "last payload",
        "uuid": "uuid",
    }
    out().print(list_table(rows, columns))


@source_cli.command("remove")
def source_remove(
    source: Annotated[str, typer.Argument(help="Id, uuid or name of the source.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Delete a source and everything stored of it."""
    from kura.single_pod.tables import out

    with _connect(url, data_dir) as kura:
        known = list(kura.pages("/sources/"))
        chosen = [item for item in known if source in (str(item["id"]), item["uuid"], item["name"])]
        if len(chosen) != 1:
            what = "No source is" if not chosen else f"{len(chosen)} sources are"
            raise CommandError(f"{what} called {source}.", hint="See `kura source list`; ids are unique.")
        if not yes:
            typer.confirm(f"Delete {chosen[0]['name']} and all its data?", abort=True, err=True)
        kura.delete(f"/sources/{chosen[0]['id']}/")
    out().print(f"Source {chosen[0]['name']} removed.")


@cli.command(rich_help_panel=USE)
def upload(
    files: Annotated[
        list[Path], typer.Argument(help="Payloads (.tar.gz) of the metrics operator; directories: all in them.")
    ],
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the reports show them, and tell how it went.")
    ] = False,
    add_source: Annotated[bool, typer.Option("--add-source", help="Register clusters that are not known yet.")] = False,
    timeout: Annotated[float, typer.Option(help="With --wait: give up after this many seconds.")] = 1800.0,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Upload payloads as the operator does.

    Exit status 0: all accepted; with --wait: all visible in the reports.

    Example: `kura upload payloads/*.tar.gz --wait`
    """
    from kura.single_pod.uploads import upload_files

    with _connect(url, data_dir) as kura:
        upload_files(kura, files, wait=wait, add_source=add_source, timeout=timeout, as_json=as_json)


@cli.command(rich_help_panel=USE)
def uploads(
    state: Annotated[str | None, typer.Option(help="Only accepted, processing, waiting, done or failed ones.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 20,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List uploads and what became of them."""
    from kura.single_pod.tables import out, print_json, say
    from kura.single_pod.uploads import uploads_table

    query = [("limit", str(limit)), *([("filter[state]", state)] if state else [])]
    with _connect(url, data_dir) as kura:
        found = kura.get("/uploads/", query)
    if as_json:
        print_json(found)
    elif not found["data"]:
        say("No uploads yet. Send one: `kura upload FILE --wait`.")
    else:
        out().print(uploads_table(found["data"]))


@cli.command(rich_help_panel=USE)
def report(
    name: Annotated[
        list[str], typer.Argument(metavar="REPORT", help="For example `openshift compute`, or a path below reports/.")
    ],
    group_by: Annotated[
        list[str] | None, typer.Option(help="project, node, cluster, tag:KEY …; KEY=VALUE restricts.")
    ] = None,
    filters: Annotated[list[str] | None, typer.Option("--filter", help="KEY=VALUE; repeat for more.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; repeat for more.")] = None,
    order_by: Annotated[
        list[str] | None, typer.Option(help="cost, usage, request …, largest first; FIELD:asc turns it round.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="First day, YYYY-MM-DD.")] = None,
    end: Annotated[str | None, typer.Option(help="Last day, YYYY-MM-DD.")] = None,
    days: Annotated[int | None, typer.Option(help="The last 10, 30 or 90 days.")] = None,
    month: Annotated[int | None, typer.Option(help="0 this month, 1 the last, 2 the one before.")] = None,
    resolution: Annotated[
        str | None, typer.Option(help="daily or monthly: one row per day or month and group.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The largest groups; the others together in one row.")
    ] = None,
    delta: Annotated[
        str | None, typer.Option(help="cost, usage or request: compare with the period before (see --json).")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="ISO code, for example EUR.")] = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, as the API gives it.")] = False,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Print a report: the last ten days unless a time is given.

    Examples:

    * `kura report openshift compute --group-by project`
    * `kura report openshift costs --group-by cluster --month 1 --json`
    * `kura report openshift memory --group-by tag:app --filter cluster=production --limit 5`
    * `kura report openshift compute --group-by node --start 2026-01-01 --end 2026-01-31 --csv`
    """
    from kura.single_pod.reports import ReportRequest, flatten, ordered, report_path, telling_what_is_allowed
    from kura.single_pod.tables import out, print_json, report_table, say

    if as_json and as_csv:
        raise CommandError("Give --json or --csv, not both.", status=2)
    request = ReportRequest(
        path=report_path(name),
        group_by=group_by or [],
        filters=filters or [],
        excludes=exclude or [],
        order_by=order_by or [],
        start=_day("--start", start),
        end=_day("--end", end),
        days=days,
        month=month,
        resolution=resolution,
        limit=limit,
        delta=delta,
        currency=currency,
    )
    with _connect(url, data_dir) as kura, telling_what_is_allowed(kura, request.path):
        if as_csv:
            every_row = [] if limit is not None and not group_by else [("limit", "0")]
            sys.stdout.write(kura.get_csv(request.path, [*request.query(), *every_row]))
            return
        answer = kura.get(request.path, request.query())
    if as_json:
        print_json(answer)
        return
    by_date = resolution is not None or not group_by
    flat = flatten(answer, by_date=by_date)
    if not by_date:
        flat = ordered(flat, request.order_by)
    if flat.is_empty:
        say("The report is empty: there is no data for this time and these filters.")
        say("  → `kura uploads` shows what has been taken in; --days 90 looks further back.")
        return
    out().print(report_table(flat))


@cost_model_cli.command("apply")
def cost_model_apply(
    file: Annotated[Path, typer.Argument(help="YAML file; docs/examples/cost-model.yaml explains every field.")],
    source: Annotated[
        list[str] | None,
        typer.Option(help="Source it is for, by name or id; may be repeated. Left out: its sources stay as they are."),
    ] = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create the cost model of a file, or change the one of that name.

    Costs of the current month follow within seconds; months before stay as they are.
    """
    from kura.single_pod.pricing import RATE_COLUMNS, apply_model, rate_rows, read_model, unpriced_labels
    from kura.single_pod.tables import list_table, out, print_json, say

    given = read_model(file)
    with _connect(url, data_dir) as kura:
        applied = apply_model(kura, given, sources=source)
        for warning in unpriced_labels(kura, applied.model):
            say(warning)
    if as_json:
        print_json(applied.model)
        return
    sources = ", ".join(found["name"] for found in applied.model["sources"]) or "no source yet (--source NAME)"
    out().print(f"Cost model {given.name} {'created' if applied.created else 'changed'}; it prices {sources}.")
    out().print(list_table(rate_rows(applied.model), RATE_COLUMNS))


@cost_model_cli.command("list")
def cost_model_list(url: UrlOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """List all cost models."""
    from kura.single_pod.pricing import MODEL_COLUMNS, model_rows
    from kura.single_pod.tables import list_table, out, print_json, say

    with _connect(url, data_dir) as kura:
        models = list(kura.pages("/cost-models/"))
    if as_json:
        print_json(models)
    elif not models:
        say("No cost models yet. Make one: `kura cost-model apply docs/examples/cost-model.yaml --source NAME`.")
    else:
        out().print(list_table(model_rows(models), MODEL_COLUMNS))


@cost_model_cli.command("show")
def cost_model_show(
    name: Annotated[str, typer.Argument(help="Name or uuid of the cost model.")],
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one cost model with all its prices."""
    from kura.single_pod.pricing import MODEL_COLUMNS, RATE_COLUMNS, get_model, model_rows, rate_rows
    from kura.single_pod.tables import list_table, out, print_json

    with _connect(url, data_dir) as kura:
        model = get_model(kura, name)
    if as_json:
        print_json(model)
        return
    out().print(list_table(model_rows([model]), MODEL_COLUMNS))
    out().print(list_table(rate_rows(model), RATE_COLUMNS))


@cost_model_cli.command("delete")
def cost_model_delete(
    name: Annotated[str, typer.Argument(help="Name or uuid of the cost model.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Delete a cost model; this month's costs of its sources go with it."""
    from kura.single_pod.pricing import get_model
    from kura.single_pod.tables import out

    with _connect(url, data_dir) as kura:
        model = get_model(kura, name)
        if not yes:
            typer.confirm(f"Delete the cost model {model['name']}?", abort=True, err=True)
        kura.delete(f"/cost-models/{model['uuid']}/")
    out().print(f"Cost model {model['name']} deleted.")


@cost_model_cli.command("metrics")
def cost_model_metrics(url: UrlOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """List every metric that can have a price."""
    from kura.single_pod.tables import list_table, out, print_json

    with _connect(url, data_dir) as kura:
        metrics = list(kura.pages("/metrics/"))
    if as_json:
        print_json(metrics)
        return
    columns = {
        "metric": "metric",
        "label_metric": "of",
        "label_measurement": "measured as",
        "label_measurement_unit": "per",
        "default_cost_type": "usual cost type",
    }
    out().print(list_table(metrics, columns))


@currency_cli.command("list")
def currency_list(
    every: Annotated[bool, typer.Option("--all", help="All currencies of ISO 4217, not only the enabled ones.")] = (
        False
    ),
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the currencies that are enabled."""
    from kura.single_pod.currencies import CURRENCY_COLUMNS, currency_rows, list_currencies
    from kura.single_pod.tables import list_table, out, print_json, say

    with _connect(url, data_dir) as kura:
        items = list_currencies(kura, every=every)
    if as_json:
        print_json(items)
    elif not items:
        say("There is nothing yet. Enable one: `kura currency enable EUR`.")
    else:
        out().print(list_table(currency_rows(items), CURRENCY_COLUMNS))


@currency_cli.command("enable")
def currency_enable(
    code: Annotated[str, typer.Argument(help="ISO code, for example EUR.")],
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enable a currency: then cost models may be in it, and reports be shown in it (`--currency EUR`)."""
    from kura.single_pod.currencies import enable_currency
    from kura.single_pod.tables import out, print_json, say

    with _connect(url, data_dir) as kura:
        item = enable_currency(kura, code)
    if as_json:
        print_json(item)
        return
    out().print(f"{item['description']} is enabled.")
    if not item["has_dynamic_rate"] and not item["static_rates"]:
        say(f"No rate is known for {item['code']}: other currencies count as one to one with it.")
        say(f"  → Set one: `kura currency rate set {item['code']} USD RATE --from YYYY-MM --until YYYY-MM`.")


@currency_cli.command("disable")
def currency_disable(
    code: Annotated[str, typer.Argument(help="ISO code, for example EUR.")],
    url: UrlOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Disable a currency that no cost model, price list, bill or default is in."""
    from kura.single_pod.currencies import disable_currency
    from kura.single_pod.tables import out

    with _connect(url, data_dir) as kura:
        disable_currency(kura, code)
    out().print(f"{code.upper()} is disabled.")


@rate_cli.command("list")
def rate_list(url: UrlOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """List the exchange rates that were set by hand."""
    from kura.single_pod.currencies import RATE_COLUMNS, list_rates, rate_rows
    from kura.single_pod.tables import list_table, out, print_json, say

    with _connect(url, data_dir) as kura:
        rates = list_rates(kura)
    if as_json:
        print_json(rates)
    elif not rates:
        say("No rates are set. Set one: `kura currency rate set EUR USD 1.1 --from 2027-01 --until 2027-12`.")
    else:
        out().print(list_table(rate_rows(rates), RATE_COLUMNS))


@rate_cli.command("set")
def rate_set(
    base: Annotated[str, typer.Argument(help="Currency that costs are stored in.")],
    target: Annotated[str, typer.Argument(help="Currency that they are to be shown in.")],
    rate: Annotated[str, typer.Argument(help="How much of TARGET one BASE is.")],
    first: Annotated[str, typer.Option("--from", metavar="YYYY-MM", help="First month; this month at the earliest.")],
    last: Annotated[str, typer.Option("--until", metavar="YYYY-MM", help="Last month.")],
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set the exchange rate of some months, or change the one that starts in the same month.

    Months that have passed keep their rate. To end a rate early, set it again with an earlier --until.

    Example: `kura currency rate set EUR USD 1.1 --from 2027-01 --until 2027-12`
    """
    from kura.core.days import today
    from kura.single_pod.currencies import Wanted, month_of, reach_of, set_rate
    from kura.single_pod.tables import out, print_json

    wanted = Wanted(
        base=base, target=target, rate=rate, first=month_of("--from", first), last=month_of("--until", last)
    )
    with _connect(url, data_dir) as kura:
        made = set_rate(kura, wanted)
    if as_json:
        print_json(made)
        return
    out().print(f"1 {made['base_currency']} is {made['exchange_rate']:.15g} {made['target_currency']}.")
    out().print(reach_of(made, today=today()))


@rate_cli.command("delete")
def rate_delete(
    base: Annotated[str, typer.Argument(help="Currency that costs are stored in.")],
    target: Annotated[str, typer.Argument(help="Currency that they are shown in.")],
    first: Annotated[
        str | None, typer.Option("--from", metavar="YYYY-MM", help="Its first month, where the pair has several rates.")
    ] = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Delete a rate none of whose months has passed; the rate that was fetched holds again."""
    from kura.single_pod.currencies import delete_rate, find_rate, month_of
    from kura.single_pod.tables import out

    with _connect(url, data_dir) as kura:
        found = find_rate(kura, base=base, target=target, first=month_of("--from", first) if first else None)
        delete_rate(kura, found)
    out().print(f"The rate {found['name']} from {found['start_date'][:7]} is deleted.")


@cli.command(rich_help_panel=USE)
def explain(
    project: Annotated[str | None, typer.Option(help="Whole name of a project.")] = None,
    node: Annotated[str | None, typer.Option(help="Whole name of a node.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Name or id of a cluster, or part of it.")] = None,
    start: Annotated[str | None, typer.Option(help="First day, YYYY-MM-DD.")] = None,
    end: Annotated[str | None, typer.Option(help="Last day, YYYY-MM-DD.")] = None,
    days: Annotated[int | None, typer.Option(help="The last 10, 30 or 90 days.")] = None,
    month: Annotated[int | None, typer.Option(help="0 this month (the default), 1 the last, 2 the one before.")] = None,
    currency: Annotated[str | None, typer.Option(help="ISO code, for example EUR.")] = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain a cost: every rate, quantity and share, down to lines that add up to the report.

    Example: `kura explain --project shop --month 1`
    """
    from kura.single_pod.explaining import closing_line, explain_costs, explain_query, tree_of
    from kura.single_pod.reports import ReportRequest
    from kura.single_pod.tables import out, print_json, say

    time = ReportRequest(
        path="", start=_day("--start", start), end=_day("--end", end), days=days, month=month
    ).time_query()
    query = explain_query(project=project, node=node, cluster=cluster, time=time, currency=currency)
    with _connect(url, data_dir) as kura:
        explained = explain_costs(kura, query)
    if as_json:
        print_json({"meta": explained.meta, "data": explained.lines, "adds_up": explained.adds_up})
        return
    title = ", ".join(name for name in (project, node, cluster) if name) or "Everything"
    if not explained.lines:
        say(f"{title} has no costs in this time.")
        say("  → `kura cost-model list` shows which sources have prices; --month 1 looks at the month before.")
        return
    out().print(tree_of(explained, title=title))
    out().print(closing_line(explained))


@cli.command(rich_help_panel=USE)
def tags(
    key: Annotated[str | None, typer.Argument(help="List the values of this key.")] = None,
    family: Annotated[str, typer.Option(help="openshift, aws, azure or gcp.")] = "openshift",
    enable: Annotated[
        list[str] | None, typer.Option(help="Keep the values of this key in summaries; may be repeated.")
    ] = None,
    disable: Annotated[list[str] | None, typer.Option(help="Keep them no longer; may be repeated.")] = None,
    found: Annotated[
        bool, typer.Option("--found", help="List every key found in data, and whether it is kept.")
    ] = False,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List tag keys and their values; `kura report … --group-by tag:KEY` uses them.

    Keys that uploads bring are not kept in summaries until they are enabled: `kura tags --found` lists them,
    `kura tags --enable app --enable team` keeps two of them.
    """
    from kura.single_pod.tables import list_table, out, print_json, say
    from kura.single_pod.tag_keys import set_keys

    path = f"/tags/{family}/{key}/" if key else f"/tags/{family}/"
    with _connect(url, data_dir) as kura:
        for names, wanted in ((enable, True), (disable, False)):
            if names:
                set_keys(kura, names, enabled=wanted)
        if found or enable or disable:
            items = list(kura.pages("/settings/tags/"))
            if as_json:
                print_json(items)
            else:
                rows = [{"key": item["key"], "kept": "yes" if item["enabled"] else "no"} for item in items]
                out().print(list_table(rows, {"key": "key", "kept": "kept in summaries"}))
            return
        answer = kura.get(path, [("limit", "1000")])
    if as_json:
        print_json(answer)
    elif not answer["data"]:
        say("No tags are kept yet. `kura tags --found` lists the keys that uploads brought, `--enable KEY` keeps one.")
    elif key:
        out().print(list_table([{"value": value} for value in answer["data"]], {"value": key}))
    else:
        rows = [{"key": tag["key"], "values": ", ".join(str(v) for v in tag["values"])} for tag in answer["data"]]
        out().print(list_table(rows, {"key": "key", "values": "values"}))


@cli.command(rich_help_panel=USE)
def status(url: UrlOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Say whether Kura works and where it listens. Exit status 0: everything does."""
    from kura.single_pod.status import show_status

    with _connect(url, data_dir) as kura:
        if not show_status(kura, as_json=as_json):
            raise typer.Exit(1)


@cli.command(rich_help_panel=USE)
def generate(
    out_dir: Annotated[Path, typer.Option("--out", help="Directory for the payloads.")] = Path("payloads"),
    profile: Annotated[
        str, typer.Option(help="Size to start from: tiny, demo, small, medium, large, xlarge, stress_p99, stress_max.")
    ] = "tiny",
    clusters: Annotated[int | None, typer.Option(min=1, help="Clusters.")] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="Nodes of each cluster.")] = None,
    projects: Annotated[int | None, typer.Option(min=3, help="Projects of each cluster.")] = None,
    pods_per_node: Annotated[int | None, typer.Option(min=1, help="Pods on each node.")] = None,
    volumes: Annotated[int | None, typer.Option(min=0, help="Volume claims of each cluster.")] = None,
    days: Annotated[int, typer.Option(min=1, max=120, help="Days, up to and including --end.")] = 1,
    end: Annotated[
        str | None, typer.Option(help="Last day, YYYY-MM-DD; default: today, up to the last full hour.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same payloads.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Make payloads as a metrics operator would send them, for trials and load tests.

    Example: `kura generate --profile small --days 3 --out payloads && kura upload payloads --add-source --wait`
    """
    from kura.single_pod.generating import generate_payloads, sized

    chosen = sized(
        profile, clusters=clusters, nodes=nodes, projects=projects, pods_per_node=pods_per_node, volumes=volumes
    )
    generate_payloads(chosen, out_dir=out_dir, days=days, end=_day("--end", end), seed=seed, as_json=as_json)


def _day(option: str, text: str | None) -> Any:
    from datetime import date

    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{option} {text}: write the day as YYYY-MM-DD.", status=2) from error


# ----------------------------------------------------------------------------------------------------- single services


def _end_with_keeper() -> None:
    """A child of `kura up --split` stops when its keeper is gone, even if that was killed."""
    from kura.single_pod.children import KEEPER_VARIABLE, end_with_parent

    if keeper := os.environ.get(KEEPER_VARIABLE):
        end_with_parent(int(keeper))


def _service(name: str, module: str, help_text: str) -> None:
    """Add a service's own command line under `name`; it is imported only when used."""

    def command(ctx: typer.Context) -> None:
        from importlib import import_module

        _end_with_keeper()
        program = import_module(f"kura.{module}.main").cli
        program(args=ctx.args, prog_name=f"kura {name}")

    command.__doc__ = help_text
    cli.command(
        name,
        rich_help_panel=SERVICES,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        add_help_option=False,
    )(command)


@cli.command("private-s3", hidden=True)
def serve_private_s3(
    port: Annotated[int, typer.Option(min=1, max=65535)], directory: Annotated[Path, typer.Option()]
) -> None:
    """The private S3 of `kura up --split`."""
    from kura.core.telemetry import configure_logging
    from kura.single_pod.private_s3 import serve

    _end_with_keeper()
    configure_logging(service="private-s3", level="INFO", log_format="json")
    serve(port, directory)


_service("api-reads", "api_reads", "The read gateway: reports, tags, lists.")
_service("api-writes", "api_writes", "The write gateway: uploads, sources, cost models, settings.")
_service("aggregator", "aggregator", "Builds summary tables from Parquet.")
_service("scheduler", "scheduler", "Periodic work, task administration, reconcilers.")
_service("worker", "workers", "Background work of one or more queue classes: `kura worker --queue-class NAME`.")


def run() -> None:
    import warnings

    # The embedded PostgreSQL's library asks for this directory when it is imported and then does not use it.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    cli(prog_name="kura")
