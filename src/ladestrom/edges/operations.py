"""For those who run it: alive, ready, metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ladestrom import __version__, tasks
from ladestrom.core.access import Scope
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import AnyRequest
from ladestrom.edges.connection import StreamEdge
from ladestrom.edges.documents import Documents
from ladestrom.formats.freshness import DelayHistogram, SourceFreshness
from ladestrom.model import NEVER, Millis
from ladestrom.ports.log import Followed
from ladestrom.ports.signals import Statistics
from ladestrom.reader.broadcast import Broadcast

METRICS_PATH = "/metrics"
APPEND_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Readiness(Collector):
    """Whether reports are taken and kept, check by check."""

    def __init__(self, checks: Mapping[str, Callable[[], str]]) -> None:
        """Each check says what is wrong, in words for anyone, or nothing."""
        self._checks = checks

    def reasons(self) -> dict[str, str]:
        """What is wrong now, by check; empty where the server is ready."""
        return {name: reason for name, check in self._checks.items() if (reason := check())}

    def answer(self) -> tuple[bool, bytes]:
        """Whether the server is ready, and the same with every check as JSON."""
        reasons = self.reasons()
        told = {
            "status": "not ready" if reasons else "ready",
            "checks": {name: name not in reasons for name in self._checks},
            "reasons": reasons,
        }
        return not reasons, msgspec.json.encode(told)

    def collect(self) -> Iterable[Metric]:
        """Every metric, read now."""
        reasons = self.reasons()
        yield GaugeMetricFamily("ladestrom_ready", "1 while /readyz says ready", value=float(not reasons))
        checks = GaugeMetricFamily("ladestrom_check", "1 for each check that holds", labels=["check"])
        for name in self._checks:
            checks.add_metric([name], float(name not in reasons))
        yield checks


class _Sample(msgspec.Struct, frozen=True):
    name: str
    help: str
    value: float


class Metrics:
    """What one process tells of itself, each part by a collector of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.of_all: Callable[[], Awaitable[bytes]] | None = None
        """Tells the metrics of all processes."""
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)

    async def exposition(self) -> bytes:
        """That of all processes, where this one knows of others."""
        return self.text() if self.of_all is None else await self.of_all()


class WritingMetrics(Collector):
    """What comes in. Reads the parts' own counters when it is asked for; counting costs nothing more."""

    def __init__(
        self,
        writer: Statistics,
        failures: Callable[[], dict[str, int]],
        sources: Callable[[], Sequence[SourceFreshness]],
    ) -> None:
        self._writer = writer
        self._failures = failures
        self._sources = sources
        self._append = Histogram(
            "ladestrom_log_append_seconds",
            "Time to make a group of changes durable",
            buckets=APPEND_BUCKETS_S,
            registry=None,
        )

    def collect(self) -> Iterable[Metric]:
        """Every metric, read now."""
        for seconds in self._writer.take_append_seconds():
            self._append.observe(seconds)
        yield from self._append.collect()
        yield from self._operators()
        yield from _sources(self._sources())
        yield from self._counters()
        writer = self._writer
        for sample in (
            _Sample("ladestrom_reports_waiting", "Items waiting to be logged", writer.queued_items),
            _Sample("ladestrom_board_evses", "EVSEs on the board", writer.evses),
        ):
            yield GaugeMetricFamily(sample.name, sample.help, value=sample.value)

    def _operators(self) -> Iterator[Metric]:
        reports = CounterMetricFamily("ladestrom_reports", "Items received", labels=["operator"])
        changes = CounterMetricFamily(
            "ladestrom_reports_changing", "Items that became changes", labels=["operator"]
        )
        stale = CounterMetricFamily(
            "ladestrom_reports_stale", "Items older than the board", labels=["operator"]
        )
        refused = CounterMetricFamily(
            "ladestrom_reports_refused", "Items refused", labels=["operator", "reason"]
        )
        last = GaugeMetricFamily(
            "ladestrom_last_report_timestamp_seconds", "When the operator last reported", labels=["operator"]
        )
        for name, tally in self._writer.known_tallies().items():
            reports.add_metric([name], tally.reports)
            changes.add_metric([name], tally.changes)
            stale.add_metric([name], tally.stale)
            if tally.last_report_at != NEVER:
                last.add_metric([name], tally.last_report_at / 1000)
            for reason, count in tally.refused.items():
                refused.add_metric([name, reason.value], count)
        yield from (reports, changes, stale, refused, last)

    def _counters(self) -> Iterator[Metric]:
        changes = CounterMetricFamily("ladestrom_changes", "Changes logged", labels=["cause"])
        for cause, count in self._writer.changes_by_cause.items():
            changes.add_metric([cause], count)
        failed = CounterMetricFamily(
            "ladestrom_deliveries_refused", "Deliveries refused as a whole", labels=["code"]
        )
        for code, count in self._failures().items():
            failed.add_metric([code], count)
        appends = CounterMetricFamily(
            "ladestrom_log_append_failures", "Appends that failed", value=self._writer.failed_appends
        )
        yield from (changes, failed, appends)


class ReadingMetrics(Collector):
    """What goes out, and what every process counts. Likewise."""

    def __init__(self, log: Followed, broadcast: Broadcast, stream: StreamEdge, door: Doorkeeper) -> None:
        self._log = log
        self._broadcast = broadcast
        self._stream = stream
        self._door = door

    def collect(self) -> Iterable[Metric]:
        """Every metric, read now."""
        yield from self._counters()
        yield from self._gauges()

    def _counters(self) -> Iterator[Metric]:
        closed = CounterMetricFamily("ladestrom_consumers_closed", "Stream connections ended", labels=["why"])
        for why, count in self._stream.closed.items():
            closed.add_metric([why], count)
        died = CounterMetricFamily(
            "ladestrom_tasks_failed", "Work that ended by an internal error", labels=["task"]
        )
        for task, count in tasks.deaths.items():
            died.add_metric([task], count)
        yield from (closed, died)
        broadcast = self._broadcast
        for sample in (
            _Sample(
                "ladestrom_log_read_failures", "Reads of the log that failed", broadcast.counts.read_failures
            ),
            _Sample("ladestrom_stream_bytes", "Bytes handed to consumers", broadcast.counts.bytes_out),
            _Sample("ladestrom_stream_frames_made", "Frames encoded", broadcast.counts.frames),
            _Sample("ladestrom_stream_raw_sent", "Raw messages made", broadcast.counts.raw_sent),
            _Sample(
                "ladestrom_stream_raw_dropped",
                "Raw messages dropped under pressure",
                broadcast.counts.raw_dropped,
            ),
            _Sample("ladestrom_stream_caught_up", "Catch-ups with newest states", broadcast.counts.caught_up),
            _Sample("ladestrom_keys_refused", "Requests with a bad key", self._door.refused),
        ):
            yield CounterMetricFamily(sample.name, sample.help, value=sample.value)

    def _gauges(self) -> Iterator[Metric]:
        view = self._broadcast.view
        for sample in (
            _Sample("ladestrom_consumers", "Stream connections open", self._broadcast.consumers),
            _Sample("ladestrom_channels", "Different selections in use", self._broadcast.channels),
            _Sample("ladestrom_registry_stations", "Stations in the registry", len(view.directory.stations)),
            _Sample("ladestrom_log_last_seq", "Sequence of the last change", self._log.last.seq),
            _Sample("ladestrom_stream_seq", "Sequence that readers were served up to", view.seq),
        ):
            yield GaugeMetricFamily(sample.name, sample.help, value=sample.value)
        # A metric that has no value yet has no sample: what stands for none would be taken for one.
        oldest = GaugeMetricFamily("ladestrom_log_first_seq", "Sequence of the oldest change kept", labels=[])
        if self._log.first <= self._log.last.seq:
            oldest.add_metric([], self._log.first)
        yield oldest
        version = GaugeMetricFamily("ladestrom_build_info", "Version", labels=["version"])
        version.add_metric([__version__], 1)
        yield version


class ChargePointMetrics(Collector):
    """Charge points that connect, where a server takes them."""

    def __init__(
        self,
        connected: Callable[[], int],
        messages: Callable[[], int],
        failures: Callable[[], dict[str, int]],
    ) -> None:
        self._connected = connected
        self._messages = messages
        self._failures = failures

    def collect(self) -> Iterable[Metric]:
        """Every metric, read now."""
        yield GaugeMetricFamily("ladestrom_charge_points", "Charge points connected", value=self._connected())
        yield CounterMetricFamily(
            "ladestrom_charge_point_messages", "Messages of charge points", value=self._messages()
        )
        failed = CounterMetricFamily(
            "ladestrom_charge_point_failures",
            "Connections refused, and calls answered by an error",
            labels=["code"],
        )
        for code, count in self._failures().items():
            failed.add_metric([code], count)
        yield failed


class DocumentMetrics(Collector):
    """Documents that were made. What is of a whole one is of the last that had no filters."""

    def __init__(self, documents: Documents, clock: Callable[[], Millis]) -> None:
        self._documents = documents
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        """Every metric, read now."""
        labels = ["output"]
        made = CounterMetricFamily("ladestrom_output_made", "Documents made", labels=labels)
        worked = CounterMetricFamily(
            "ladestrom_output_work_seconds", "Time of the loop that making documents took", labels=labels
        )
        last = GaugeMetricFamily(
            "ladestrom_output_made_timestamp_seconds", "When the last document was made", labels=labels
        )
        age = GaugeMetricFamily("ladestrom_output_age_seconds", "How long ago that was", labels=labels)
        size = GaugeMetricFamily("ladestrom_output_bytes", "Size of the last whole document", labels=labels)
        evses = GaugeMetricFamily("ladestrom_output_evses", "EVSEs it was made of", labels=labels)
        left_out = GaugeMetricFamily(
            "ladestrom_output_left_out", "EVSEs that it cannot tell of", labels=[*labels, "reason"]
        )
        now = self._clock()
        for name, tally in self._documents.tallies.items():
            made.add_metric([name], tally.made)
            worked.add_metric([name], tally.worked_s)
            last.add_metric([name], tally.made_at / 1000)
            age.add_metric([name], max(0, now - tally.made_at) / 1000)
            if tally.position:
                size.add_metric([name], tally.bytes)
                evses.add_metric([name], tally.evses)
                for reason, count in tally.left_out.counts.items():
                    left_out.add_metric([name, reason], count)
        yield from (made, worked, last, age, size, evses, left_out)


def _sources(sources: Sequence[SourceFreshness]) -> Iterator[Metric]:
    """One source each: what is asked for when something is late, silent or refused."""
    labels = ["source", "protocol"]
    state = GaugeMetricFamily(
        "ladestrom_source_state", "1 for the state that a source is in", labels=[*labels, "state"]
    )
    delay = HistogramMetricFamily(
        "ladestrom_source_delay_seconds", "Changes, from observed to received", labels=labels
    )
    failures = CounterMetricFamily(
        "ladestrom_source_failures", "Attempts and deliveries that failed", labels=[*labels, "code"]
    )
    outages = CounterMetricFamily(
        "ladestrom_source_outages", "Times that a source began to fail", labels=labels
    )
    refused = CounterMetricFamily("ladestrom_source_refused", "Items refused", labels=[*labels, "reason"])
    counters = {
        name: CounterMetricFamily(f"ladestrom_source_{name}", text, labels=labels)
        for name, text in (
            ("deliveries", "Deliveries taken"),
            ("reports", "Items received"),
            ("changes", "Items that became changes"),
            ("late", "Changes public more than a minute after they were observed"),
            ("unmapped", "Items whose status word the protocol does not have"),
            ("unreadable", "Deliveries of which nothing could be used"),
        )
    }
    instants = {
        name: GaugeMetricFamily(f"ladestrom_source_{name}_timestamp_seconds", text, labels=labels)
        for name, text in (
            ("failing_since", "Since when a source fails; none while it does not"),
            ("last_heard", "When a source last delivered, or said that there is nothing new"),
            ("certificate_expires", "Until when the certificate is good that a source shows"),
            ("own_certificate_expires", "Until when the certificate is good that a source is shown"),
        )
    }
    for each in sources:
        own = [each.source, each.protocol]
        state.add_metric([*own, each.state], 1)
        outages.add_metric(own, each.outages)
        delay.add_metric(own, _cumulated(each.delay), each.delay.sum_s)
        for code, count in each.failures.items():
            failures.add_metric([*own, code], count)
        for reason, count in each.refused.items():
            refused.add_metric([*own, reason], count)
        for name, counter in counters.items():
            counter.add_metric(own, getattr(each, name))
        for name, gauge in instants.items():
            at = getattr(each, name if name == "failing_since" else f"{name}_at")
            if at is not None:
                gauge.add_metric(own, datetime.fromisoformat(at).timestamp())
    yield from (state, delay, failures, outages, refused, *counters.values(), *instants.values())


def _cumulated(delay: DelayHistogram) -> list[tuple[str, float]]:
    bounds = [*map(str, delay.bounds_s), "+Inf"]
    return list(zip(bounds, accumulate(delay.counts), strict=True))


def handlers(metrics: Metrics, readiness: Readiness, door: Doorkeeper) -> list[HTTPRouteHandler]:
    """The route handlers."""

    @get("/livez", sync_to_thread=False)
    def livez() -> Response[bytes]:
        """The process answers."""
        return Response(
            b'{"status":"ok"}', media_type="application/json", headers={"cache-control": "no-store"}
        )

    @get("/readyz", sync_to_thread=False)
    def readyz() -> Response[Any]:
        """Store open, log writable, board recovered, files in place."""
        ready, body = readiness.answer()
        return Response(
            body,
            status_code=200 if ready else 503,
            media_type="application/json",
            headers={"cache-control": "no-store"},
        )

    @get(METRICS_PATH)
    async def prometheus(request: AnyRequest) -> Response[bytes]:
        """Prometheus' text format, with an admin key: where a request comes from says nothing of who asks."""
        door.credential(request.headers, Scope.ADMIN)
        return Response(await metrics.exposition(), headers={"content-type": CONTENT_TYPE_LATEST})

    return [livez, readyz, prometheus]


class MetricsPort:
    """The application of a port of its own for metrics, which needs no key. Nothing else is there."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's form
        """Answers one request."""
        is_read = scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}
        if is_read and scope["path"] == METRICS_PATH:
            status, kind, body = 200, CONTENT_TYPE_LATEST, await self._metrics.exposition()
        else:
            status, kind, body = 404, "text/plain", b"this port has nothing but GET /metrics\n"
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
