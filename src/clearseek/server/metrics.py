"""`/metrics`: what the server did, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

if TYPE_CHECKING:
    from clearseek.inference.accounting import BookStats
    from clearseek.inference.pool import Pool

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """One registry for one app, so that two apps in a process do not mix their counts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "clearseek_requests",
            "Requests, by route and status (499: the client went away).",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._duration = Histogram(
            "clearseek_request_seconds",
            "From a request's head to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._first_token = Histogram(
            "clearseek_first_token_seconds",
            "From a request to the first token of its answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )

    def request(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request that is over. The route is its pattern, never the path: a stranger cannot grow the table."""
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE") else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._duration.labels(route).observe(seconds)

    def first_token(self, seconds: float) -> None:
        self._first_token.observe(seconds)

    def watch(self, pool: Pool) -> None:
        """From now on tell the pool's counts too."""
        self._registry.register(_PoolCounts(pool))

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _PoolCounts(Collector):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def describe(self) -> Iterable[Metric]:
        return []  # nothing to collect before the first request

    def collect(self) -> Iterable[Metric]:
        stats = self._pool.stats()
        yield GaugeMetricFamily("clearseek_running", "Requests being answered.", stats.running)
        yield GaugeMetricFamily("clearseek_waiting", "Requests in the queue.", stats.waiting)
        yield GaugeMetricFamily("clearseek_capacity", "Requests that may wait before one is refused.", stats.capacity)
        yield CounterMetricFamily(
            "clearseek_refused", "Requests refused because the queue was full.", stats.refused_total
        )
        yield CounterMetricFamily(
            "clearseek_abandoned", "Generations whose client went away before the end.", stats.abandoned_total
        )
        yield CounterMetricFamily(
            "clearseek_engine_restarts", "Times an engine was started again after a crash.", stats.engine_restarts_total
        )
        tokens = CounterMetricFamily("clearseek_tokens", "Tokens, by kind.", labels=["kind"])
        for kind, count in sorted(stats.tokens.items()):
            tokens.add_metric([kind], count)
        yield tokens
        books = getattr(self._pool, "books", None)
        if books is not None:
            yield from _book_counts(books.stats())


def _book_counts(stats: BookStats) -> Iterable[Metric]:
    yield CounterMetricFamily("clearseek_booked_entries", "Entries that were written to the ledger.", stats.entries)
    yield GaugeMetricFamily("clearseek_unbooked_entries", "Entries that wait to be written.", stats.waiting)
    yield CounterMetricFamily("clearseek_lost_entries", "Entries that could not be written or kept.", stats.lost)
    yield CounterMetricFamily("clearseek_joules", "Energy of answers and loadings, where it is known.", stats.joules)
    yield CounterMetricFamily("clearseek_dollars", "Money of answers and loadings, where it is known.", stats.dollars)
    yield CounterMetricFamily("clearseek_unpriced", "Answers and loadings without a price.", stats.unknown_money)
