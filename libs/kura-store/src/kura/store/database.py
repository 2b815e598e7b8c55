"""One PostgreSQL as one role sees it: pooled transactions, tenant transactions, Arrow connections.

Every error of the drivers leaves here as a KuraError (see `errors`). Inside a transaction the SQLAlchemy exceptions
can still be caught.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import psycopg2
from opentelemetry.trace import SpanKind
from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from kura.core.errors import DatabaseBusy, DatabaseUnavailable, InvalidData, KuraError
from kura.core.telemetry import span
from kura.store.errors import DatabaseError, translated
from kura.store.tables.tenant import PLACEHOLDER
from kura.store.tenancy import quoted, schema_name_checked
from kura.store.tracing import trace_statements

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection as ArrowConnection
    from psycopg2.extensions import connection as Psycopg2Connection

# A silent network cut is noticed after about half a minute, not after two hours.
KEEPALIVE: Final = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
}
RECYCLE_SECONDS: Final = 1800
QUIET_SECONDS: Final = 5.0
"""A pooled connection that was not used for so long is asked whether it lives, even if it looks well."""
IDLE_SINCE: Final = "kura_idle_since"


class Database:
    """A pool of connections. Thread-safe; closed by `close()` or as a context manager.

    A caller waits at most `wait_seconds` for a free connection, then gets DatabaseBusy. The server ends
    statements after `statement_seconds`, waits for locks `lock_seconds`, and ends transactions that do nothing for
    `idle_seconds`; None leaves the server's own setting.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        wait_seconds: float = 10.0,
        statement_seconds: float | None = None,
        lock_seconds: float | None = 30.0,
        idle_seconds: float | None = 300.0,
        application_name: str = "kura",
        read_only: bool = False,
    ) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg2")
        self._connect_args = KEEPALIVE | {
            "application_name": application_name,
            "options": _options(
                statement_timeout=statement_seconds,
                lock_timeout=lock_seconds,
                idle_in_transaction_session_timeout=idle_seconds,
                default_transaction_read_only=read_only,
            ),
        }
        self._engine = create_engine(
            self._url,
            connect_args=self._connect_args,
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=wait_seconds,
            pool_recycle=RECYCLE_SECONDS,
            pool_use_lifo=True,
            hide_parameters=True,  # labels and costs never reach a log
        )
        _check_before_use(self._engine)
        trace_statements(self._engine)
        self._idle_arrow_connections: list[ArrowConnection] = []

    @property
    def url(self) -> str:
        """A libpq URL, with its password: never log it."""
        return _libpq_text(self._url)

    @property
    def _url_with_settings(self) -> str:
        return _libpq_text(self._url.update_query_dict(self._connect_args))

    @property
    def in_use(self) -> int:
        """Connections that are lent out now."""
        pool = self._engine.pool
        return pool.checkedout() if isinstance(pool, QueuePool) else 0

    @contextmanager
    def begin(self, *, snapshot: bool = False, statement_seconds: float | None = None) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, rolled back when it raises.

        With `snapshot` all its statements see one state of the database (repeatable read).
        """
        with translating(), self._engine.connect() as connection:
            if snapshot:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                if statement_seconds is not None:
                    limit = f"{int(statement_seconds * 1000)}ms"
                    connection.execute(text("select set_config('statement_timeout', :limit, true)"), {"limit": limit})
                yield connection

    @contextmanager
    def tenant(
        self, schema: str, *, snapshot: bool = False, statement_seconds: float | None = None
    ) -> Iterator[Connection]:
        """A transaction of one tenant.

        The tables of `kura.store.tables.tenant` mean this schema; unqualified names in SQL text find this schema
        first, then public. Both end with the transaction, nothing stays on the pooled connection.
        """
        with self.begin(snapshot=snapshot, statement_seconds=statement_seconds) as connection:
            yield in_schema(connection, schema)

    @contextmanager
    def adbc(self, schema: str | None = None) -> Iterator[ArrowConnection]:
        """One transaction on an Arrow connection of its own: committed at the end of the block, else rolled back.

        With `schema`, unqualified names find that tenant first, as in `tenant()`. Connections are kept for the next
        caller, since a new one has to learn every table again; cursors must be closed within the block.
        """
        path = f"{quoted(schema_name_checked(schema))}, public" if schema is not None else '"$user", public'
        with translating(), span("database transaction", kind=SpanKind.CLIENT):
            connection = self._arrow_connection(path)
            try:
                yield connection
                connection.commit()
                connection.adbc_connection.set_autocommit(True)
            except BaseException:
                with suppress(adbc_driver_manager.Error, RuntimeError):
                    connection.close()
                raise
            self._idle_arrow_connections.append(connection)

    def _arrow_connection(self, path: str) -> ArrowConnection:
        """A connection in a transaction: one that was kept and still lives, or a new one."""
        while True:
            try:
                connection = self._idle_arrow_connections.pop()
            except IndexError:
                break
            try:
                connection.adbc_connection.set_autocommit(False)
                _set_search_path(connection, path)
            except (adbc_driver_manager.Error, RuntimeError):
                with suppress(adbc_driver_manager.Error, RuntimeError):
                    connection.close()
            else:
                return connection
        opened: ArrowConnection = adbc_driver_postgresql.dbapi.connect(self._url_with_settings)
        _set_search_path(opened, path)
        return opened

    def dedicated(self) -> Psycopg2Connection:
        """A connection outside the pool in autocommit mode, for LISTEN and session locks. The caller closes it."""
        with translating():
            connection = psycopg2.connect(self._url_with_settings)
            connection.autocommit = True
            return connection

    def ping(self) -> None:
        """Return if the database answers, else raise DatabaseUnavailable."""
        with self.begin() as connection:
            connection.execute(text("select 1"))

    def close(self) -> None:
        while self._idle_arrow_connections:
            with suppress(adbc_driver_manager.Error, RuntimeError):
                self._idle_arrow_connections.pop().close()
        self._engine.dispose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def in_schema(connection: Connection, schema: str) -> Connection:
    """The same transaction, where the tables of `kura.store.tables.tenant` mean `schema`."""
    checked = schema_name_checked(schema)
    connection.execute(text("select set_config('search_path', :path, true)"), {"path": f"{quoted(checked)}, public"})
    return connection.execution_options(schema_translate_map={PLACEHOLDER: checked})


def _check_before_use(engine: Engine) -> None:
    """Have dead connections of the pool replaced before they are lent out, all of them when one is found dead.

    Asking each of them each time would double the round trips of short transactions. A server that ends a connection
    says so, or at least closes it; only of a wire that went silent nothing is heard.
    """

    def returned(_: Any, entry: ConnectionPoolEntry) -> None:
        entry.info[IDLE_SINCE] = time.monotonic()

    def lent(connection: Any, entry: ConnectionPoolEntry, _: Any) -> None:
        idle_since = entry.info.get(IDLE_SINCE)
        if idle_since is None:
            return
        if time.monotonic() - idle_since < QUIET_SECONDS and not _is_readable(connection):
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg2.Error as error:
            raise exc.InvalidatePoolError from error

    event.listen(engine, "checkin", returned)
    event.listen(engine, "checkout", lent)


def _is_readable(connection: Psycopg2Connection) -> bool:
    """Whether the server has said something unasked, or has gone; a connection that is closed counts as such."""
    if connection.closed:
        return True
    watched = select.poll()
    watched.register(connection.fileno(), select.POLLIN)
    return bool(watched.poll(0))


def _set_search_path(connection: ArrowConnection, path: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select set_config('search_path', $1, true)", (path,))
        cursor.fetchall()


@contextmanager
def translating() -> Iterator[None]:
    """Errors of SQLAlchemy, psycopg2 and ADBC that leave this block become KuraErrors."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise translate(error) from error
    except psycopg2.Error as error:
        raise translate(error) from error
    except adbc_driver_manager.Error as error:
        raise translate(error) from error


def translate(error: Exception) -> KuraError:
    """The KuraError that a driver's error means."""
    if isinstance(error, exc.TimeoutError):
        return DatabaseBusy("No connection to the database became free in time.")
    if isinstance(error, exc.DBAPIError):
        if error.connection_invalidated:
            return DatabaseUnavailable()
        return translate(error.orig) if isinstance(error.orig, psycopg2.Error) else DatabaseError(str(error.orig))
    if isinstance(error, psycopg2.Error):
        return _translate_psycopg2(error)
    if isinstance(error, adbc_driver_manager.Error):
        return _translate_adbc(error)
    return DatabaseError(f"{type(error).__name__}: {error}")


def _translate_psycopg2(error: psycopg2.Error) -> KuraError:
    if error.pgcode is None and not isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)):
        kind = InvalidData if isinstance(error, psycopg2.DataError) else DatabaseError
        return kind(str(error))
    return translated(error.pgcode, str(error), constraint=error.diag.constraint_name or "")


def _translate_adbc(error: adbc_driver_manager.Error) -> KuraError:
    status = error.status_code
    if not error.sqlstate and status not in (
        adbc_driver_manager.AdbcStatusCode.IO,
        adbc_driver_manager.AdbcStatusCode.TIMEOUT,
    ):
        invalid = status in (
            adbc_driver_manager.AdbcStatusCode.INVALID_DATA,
            adbc_driver_manager.AdbcStatusCode.INTEGRITY,
        )
        return (InvalidData if invalid else DatabaseError)(str(error))
    return translated(error.sqlstate, str(error))


def _libpq_text(url: URL) -> str:
    """The URL as libpq reads it: a space is %20, neither itself nor +."""
    address, mark, query = url.set(drivername="postgresql").render_as_string(hide_password=False).partition("?")
    return address.replace(" ", "%20") + mark + query.replace("+", "%20")


def _options(**settings: float | bool | None) -> str:
    """libpq's `options`: server settings of the session; numbers are seconds."""
    words = []
    for name, value in settings.items():
        if value is True:
            words.append(f"-c {name}=on")
        elif value is not None and value is not False:
            words.append(f"-c {name}={int(value * 1000)}ms")
    return " ".join(words)
