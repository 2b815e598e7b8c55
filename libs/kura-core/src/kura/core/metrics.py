"""Prometheus metrics that every service has. Labels never carry tenants' names, labels or costs."""

from prometheus_client import Counter, Histogram

HTTP_SECONDS = Histogram(
    "kura_http_request_seconds",
    "Time from the first byte of a request to the last byte of its answer.",
    ["route", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
ERRORS = Counter("kura_errors_total", "Errors rendered at a door, by their code.", ["door", "code"])
