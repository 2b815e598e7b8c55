"""Spans of what is asked of PostgreSQL, inside the trace that asks; what belongs to no trace makes none."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext, ExecutionContext

MOST_CHARACTERS = 2_000
SPAN = "kura_span"
"""Where an execution keeps its span until it is over."""


def trace_statements(engine: Engine) -> None:
    """A client span for each statement of an engine. It carries the text with its placeholders, never their values."""
    event.listen(engine, "before_cursor_execute", _begin)
    event.listen(engine, "after_cursor_execute", _end)
    event.listen(engine, "handle_error", _fail)


def _begin(
    connection: Connection, cursor: Any, statement: str, parameters: Any, context: ExecutionContext | None, many: bool
) -> None:
    if context is None or not trace.get_current_span().is_recording():
        return
    span = trace.get_tracer("kura").start_span(
        statement.split(maxsplit=1)[0].upper(),
        kind=SpanKind.CLIENT,
        attributes={
            "db.system.name": "postgresql",
            "db.namespace": connection.engine.url.database or "",
            "db.query.text": statement[:MOST_CHARACTERS],
        },
    )
    setattr(context, SPAN, span)


def _end(
    connection: Connection, cursor: Any, statement: str, parameters: Any, context: ExecutionContext | None, many: bool
) -> None:
    _finish(context)


def _fail(failure: ExceptionContext) -> None:
    _finish(failure.execution_context, error=failure.original_exception)


def _finish(context: ExecutionContext | None, *, error: BaseException | None = None) -> None:
    span: Span | None = getattr(context, SPAN, None)
    if span is None:
        return
    delattr(context, SPAN)
    if error is not None:
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", type(error).__name__)
    span.end()
