"""A collector of traces: what Kura exports to an OTLP endpoint, as a test can look at it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True, kw_only=True)
class SeenSpan:
    """One span as it was exported; ids are hexadecimal, `parent` is empty for the first of a trace."""

    trace: str
    id: str
    parent: str
    service: str
    name: str


@dataclass(kw_only=True)
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span it is sent."""

    endpoint: str = ""
    spans: list[SeenSpan] = field(default_factory=list)

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            names = [item.value.string_value for item in resource.resource.attributes if item.key == "service.name"]
            self.spans += [
                SeenSpan(
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    service=names[0],
                    name=span.name,
                )
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        return trace_service_pb2.ExportTraceServiceResponse()

    def wait_for_path(self, *path: tuple[str, str], seconds: float = 30.0) -> None:
        """Return once a trace leads over spans of exactly these services and names, from its first span down."""
        deadline = time.monotonic() + seconds
        while list(path) not in (found := self._paths_to(*path[-1])):
            assert time.monotonic() < deadline, found
            time.sleep(0.2)

    def _paths_to(self, service: str, name: str) -> list[list[tuple[str, str]]]:
        by_id = {span.id: span for span in list(self.spans)}
        paths = []
        for span in by_id.values():
            if (span.service, span.name) != (service, name):
                continue
            path = [span]
            while path[0].parent in by_id:
                path.insert(0, by_id[path[0].parent])
            paths.append([(seen.service, seen.name) for seen in path])
        return paths


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port, for the time of the block."""
    server = grpc.server(ThreadPoolExecutor(2))
    collector = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
