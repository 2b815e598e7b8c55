"""Logs, traces and metrics of a process. Set up once, in `main.py`; used everywhere through `get_logger` and `span`.

An event has a constant name and facts as fields. Tenant, source and tracing id are bound at the door with `bound`.
Secrets, labels and costs are never logged.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TextIO, cast

import orjson
import structlog
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind

NOISY = (
    "uvicorn.access",
    "uvicorn.error",
    "httpx",
    "botocore",
    "aiobotocore",
    "s3fs",
    "urllib3",
    "werkzeug",
    "aio_pika",
    "aiormq",
    "alembic",
)
"""Libraries of which only warnings are logged."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SECRET = re.compile(r"(://[^:/@\s]*:)[^@/\s]+(@)")


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name))


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        text = _SECRET.sub(r"\1***\2", value)
        return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)
    if isinstance(value, Mapping):
        return {key: _safe(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_safe(inner) for inner in value]
    return value


def _escape(_: Any, __: str, event: Any) -> Any:
    """Passwords in URLs are masked and control characters of names are escaped (log injection)."""
    return {key: value if key in {"exception", "stack"} else _safe(value) for key, value in event.items()}


def _trace_ids(_: Any, __: str, event: Any) -> Any:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format(context.trace_id, "032x")
        event["span_id"] = format(context.span_id, "016x")
    return event


def _json(_: Any, __: str, event: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure_logging(*, service: str, level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Send structured events, also those of libraries, to `stream` (standard error)."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _trace_ids,
        structlog.processors.StackInfoRenderer(),
    ]
    if log_format == "json":
        final: list[Any] = [structlog.processors.format_exc_info, _escape, _json]
    else:
        final = [
            _escape,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,  # the default shows values of variables
            ),
        ]

    def named(_: Any, __: str, event: Any) -> Any:
        event.setdefault("service", service)
        return event

    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, named, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def configure_tracing(*, service: str, otlp_endpoint: str | None) -> None:
    """Export spans when an OTLP endpoint is set; otherwise spans cost next to nothing and go nowhere."""
    if not otlp_endpoint:
        return
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": f"kura-{service}"}))
    exporter = OTLPSpanExporter(endpoint=otlp_endpoint, insecure=not otlp_endpoint.startswith("https"))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def configure_error_tracking(*, dsn: str | None) -> None:
    """Report unexpected errors to Sentry, when a DSN is set and sentry-sdk is installed."""
    if not dsn:
        return
    try:
        import sentry_sdk
    except ImportError:
        get_logger(__name__).warning("sentry_not_installed")
        return
    sentry_sdk.init(dsn=dsn, send_default_pii=False)


@contextlib.contextmanager
def bound(**facts: Any) -> Iterator[None]:
    """Add facts (tenant, source, request_id …) to every event logged inside."""
    with structlog.contextvars.bound_contextvars(**facts):
        yield


@contextlib.contextmanager
def span(name: str, *, parent: str | None = None, kind: SpanKind = SpanKind.INTERNAL, **facts: Any) -> Iterator[Span]:
    """One span around a piece of work; `parent` is a W3C traceparent that came with a message."""
    context = propagate.extract({"traceparent": parent}) if parent else None
    tracer = trace.get_tracer("kura")
    with tracer.start_as_current_span(name, context=context, kind=kind, attributes=facts) as current:
        yield current


def traceparent() -> str | None:
    """The W3C traceparent of the current span, to send along; None outside a trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")
