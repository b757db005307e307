"""What a daemon says of itself to Prometheus: measures declared once, filled per scrape, in a registry per app.

A daemon's `MEASURES` name everything that it may say; docs/operations.md is drawn from them. A value of a measure that
nobody declared is a bug.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import Misuse, Refused

METRICS_PATH: Final = "/metrics"
Family = CounterMetricFamily | GaugeMetricFamily


@dataclass(frozen=True, slots=True)
class Measure:
    """One name: its kind, labels in order, and what it says. Counters end in `_total`; units end a name."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


SHARED_MEASURES: Final = (
    Measure("pairhub_build_info", "gauge", "Always 1; the release stands in the label", ("version",)),
    Measure("pairhub_database_commits_total", "counter", "Transactions committed since the start"),
    Measure("pairhub_database_write_queue_units", "gauge", "Units of work that wait for the database's writer"),
    Measure("pairhub_database_failing", "gauge", "1 while the disk refuses to store"),
    Measure("pairhub_database_bytes", "gauge", "Size of the database with its write-ahead log"),
    Measure("pairhub_disk_free_bytes", "gauge", "Free space on the disk of the data directory"),
)
HTTP_MEASURES: Final = (
    Measure("pairhub_http_requests_total", "counter", "HTTP requests answered", ("method", "status")),
    Measure("pairhub_http_response_seconds", "histogram", "From a request to the head of its answer"),
)
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Filled:
    """The values of one scrape."""

    def __init__(self, measures: Iterable[Measure]) -> None:
        self._declared = {measure.name: measure for measure in measures}
        self._families: dict[str, Family] = {}

    def put(self, name: str, value: float | None, *labels: str) -> None:
        """Say a value; None says nothing. Raises Misuse for a name or labels that are not declared."""
        measure = self._declared.get(name)
        if measure is None or len(labels) != len(measure.labels):
            raise Misuse(f"no measure {name} with {len(labels)} labels is declared")
        if value is None:
            return
        family = self._families.get(name)
        if family is None:
            make = CounterMetricFamily if measure.kind == "counter" else GaugeMetricFamily
            family = self._families[name] = make(name, measure.help, labels=measure.labels)
        family.add_metric(labels, value)

    def families(self) -> Iterable[Family]:
        """Return what was filled, in the order of the declaration."""
        return [self._families[name] for name in self._declared if name in self._families]


class _Latest(Collector):
    """Gives a registry what was filled last."""

    def __init__(self) -> None:
        self.filled: Filled | None = None

    def collect(self) -> Iterable[Family]:
        return self.filled.families() if self.filled is not None else ()


class Metrics:
    """The registry of one app: its own values at each scrape, its requests, and its process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._latest = _Latest()
        self._registry.register(self._latest)
        ProcessCollector(registry=self._registry)
        requests, seconds = HTTP_MEASURES
        self.requests = Counter(requests.name, requests.help, requests.labels, registry=self._registry)
        self.response_seconds = Histogram(seconds.name, seconds.help, registry=self._registry)
        self._counters: dict[tuple[str, int], Counter] = {}

    def count_answer(self, method: str, status: int, seconds: float) -> None:
        """Count an answer that began so long after its request."""
        counter = self._counters.get((method, status))
        if counter is None:
            counter = self._counters[method, status] = self.requests.labels(method, str(status))
        counter.inc()
        self.response_seconds.observe(seconds)

    def respond(self, request: Request, filled: Filled) -> Response:
        """Write a scrape's answer in the format that the scraper asks for."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        self._latest.filled = filled  # nothing is awaited between here and the encoding
        return Response(encode(self._registry), media_type=content_type, headers={"Cache-Control": "no-store"})

    def text(self, filled: Filled) -> str:
        """Return what a scrape would answer, as text."""
        self._latest.filled = filled
        return generate_latest(self._registry).decode()


def refuse(refused: Refused) -> Response:
    """Say no to a scraper, in plain words."""
    headers = {"Cache-Control": "no-store"} | ({"WWW-Authenticate": "Bearer"} if refused.status == 401 else {})
    return PlainTextResponse(f"{refused}\n", refused.status, headers)


class CountedRequests:
    """ASGI middleware that counts requests and measures how long their answers take to begin."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, and pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.monotonic()
        method = scope["method"] if scope["method"] in _METHODS else "other"  # strangers make no label of their own

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count_answer(method, message["status"], time.monotonic() - began_s)
            await send(message)

        await self._app(scope, receive, counted)


def is_from_this_machine(request: Request) -> bool:
    """Tell whether a program on this machine asks by an address of this machine; a proxy here carries others' names."""
    try:
        is_loopback = request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False
    return is_loopback and request.url.hostname in _LOOPBACK_NAMES
