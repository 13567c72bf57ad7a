"""For those who run it: alive, ready, metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.documents import ROOT
from tests.e2e.serving import Serving, tick
from tests.patience import DEADLINE_S, until

from ladestrom import __version__
from ladestrom.backends.sqlite import SqliteLog
from ladestrom.config import load
from ladestrom.errors import InvalidSetting, LogFailure
from ladestrom.inner.forwarding import Local
from ladestrom.model import Change, Entry
from ladestrom.roles import writing
from ladestrom.roles.listening import web

CHECKS = ("store", "log", "board", "files", "stream")
E1 = "NO*ALF*E1333*1"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as running:
        yield running


def metrics(server: Serving) -> Samples:
    """Every sample by its name and labels."""
    answer = server.get("/metrics", key="admin")
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def test_alive_and_ready_are_told_to_everybody_and_kept_by_no_cache(server: Serving) -> None:
    for path, expected in (
        ("/livez", {"status": "ok"}),
        ("/readyz", {"status": "ready", "checks": dict.fromkeys(CHECKS, True), "reasons": {}}),
    ):
        answer = server.get(path, key=None, headers={"X-Forwarded-For": "192.0.2.7"})
        assert answer.status_code == 200
        assert answer.json() == expected
        assert answer.headers["cache-control"] == "no-store"


def test_metrics_count_what_happens(server: Serving) -> None:
    board = server.settled()
    with server.stream() as wire, server.stream("country=NOR"):
        wire.message()
        server.report({"evse": E1, "status": "CHARGING", "observed_at": tick()})
        server.report({"evse": E1, "status": "CHARGING", "observed_at": tick()}, {"evse": "x", "status": 1})
        server.post(b"no JSON")
        server.get("/api/v1/rest/chargers", key="revoked")
        wire.until("status:update")
        found = metrics(server)
    assert value(found, "ladestrom_reports_total", operator="alfa") == 3
    assert value(found, "ladestrom_reports_changing_total", operator="alfa") == 1
    assert value(found, "ladestrom_reports_refused_total", operator="alfa", reason="unknown_evse") == 1
    assert value(found, "ladestrom_deliveries_refused_total", code="malformed_body") == 1
    assert value(found, "ladestrom_changes_total", cause="reported") == 1
    assert value(found, "ladestrom_keys_refused_total") == 1
    assert value(found, "ladestrom_consumers") == 2
    assert value(found, "ladestrom_channels") == 2
    assert value(found, "ladestrom_ready") == 1
    assert value(found, "ladestrom_board_evses") == 7
    assert value(found, "ladestrom_registry_stations") == 6
    assert value(found, "ladestrom_log_last_seq") == board[1] + 1
    assert value(found, "ladestrom_stream_seq") == board[1] + 1
    assert value(found, "ladestrom_build_info", version=__version__) == 1
    assert value(found, "ladestrom_log_append_seconds_count") >= 1
    assert value(found, "ladestrom_last_report_timestamp_seconds", operator="alfa") > 1_700_000_000
    assert any(name.startswith("process_") for name, _ in found)
    until(lambda: not server.app.reader.stream.connections, "both have gone")
    assert value(metrics(server), "ladestrom_consumers_closed_total", why="consumer") == 2


def test_an_operator_that_never_reported_is_counted_with_zero_so_that_an_alert_can_name_it(
    server: Serving,
) -> None:
    found = metrics(server)
    assert value(found, "ladestrom_reports_total", operator="alfa") == 0
    assert value(found, "ladestrom_reports_changing_total", operator="alfa") == 0


def test_a_scrape_counts_each_append_once(server: Serving) -> None:
    for status in ("CHARGING", "AVAILABLE", "CHARGING"):
        server.report({"evse": E1, "status": status, "observed_at": tick()})
    counts = [value(metrics(server), "ladestrom_log_append_seconds_count") for _ in range(3)]
    assert counts[0] == counts[1] == counts[2] >= 4


def test_the_guide_names_every_metric_and_no_other(server: Serving) -> None:
    served = re.findall(r"^# TYPE (ladestrom_\w+)", server.get("/metrics", key="admin").text, re.MULTILINE)
    named = re.findall(r"\bladestrom_\w+", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"))
    assert {name.removesuffix("_bucket") for name in named} == {
        name for name in served if not name.endswith("_created")
    }


def test_what_has_no_value_yet_has_no_sample(server: Serving) -> None:
    names = {name for name, _ in metrics(server)}
    assert "ladestrom_last_report_timestamp_seconds" not in names
    server.post([{"evse": E1, "status": "no status"}])
    found = metrics(server)
    assert value(found, "ladestrom_reports_total", operator="alfa") == 1
    assert not [name for name, labels in found if name.startswith("ladestrom_last_report")]
    assert [name for name, number in found.items() if number < 0] == []


@pytest.mark.parametrize(
    "header", [{}, {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"X-Real-Ip": "::1"}]
)
def test_metrics_are_told_to_who_has_an_admin_key_only_wherever_the_request_comes_from(
    server: Serving, header: dict[str, str]
) -> None:
    for key, status in ((None, 401), ("revoked", 401), ("stream", 403), ("alfa", 403), ("admin", 200)):
        answer = server.get("/metrics", key=key, headers=header)
        assert answer.status_code == status, key
        if status != 200:
            assert answer.headers["content-type"] == "application/problem+json"
    assert server.get(f"/metrics?key={server.keys['admin']}", key=None, headers=header).status_code == 401


@pytest.mark.parametrize("written", ["0", "127.0.0.1:0"])
def test_metrics_have_a_port_of_their_own_where_that_is_set(tmp_path: Path, written: str) -> None:
    with Serving(tmp_path, {"metrics.listen": written}) as server:
        url = server.app.listening.metrics_url
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("/metrics")
        answer = httpx2.get(url, timeout=DEADLINE_S)
        assert answer.status_code == 200
        assert "ladestrom_ready 1.0" in answer.text
        for path in ("/", "/livez", "/api/v2/stations", "/api/v1/stream", "/api/v2/events"):
            assert httpx2.get(url.replace("/metrics", path), timeout=DEADLINE_S).status_code == 404
        assert httpx2.post(url, timeout=DEADLINE_S).status_code == 404
        assert server.get("/metrics", key=None).status_code == 401


@pytest.mark.parametrize("written", ["0.0.0.0:8384", "192.0.2.1:1", "x", "127.0.0.1:", "8384 "])
def test_a_port_for_metrics_without_a_key_is_on_loopback(written: str) -> None:
    with pytest.raises(InvalidSetting, match=r"metrics\.listen"):
        load(None, {}, {"metrics.listen": written})


def test_a_log_that_cannot_be_written_is_told_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "PROBE_S", 0.2)
    with Serving(tmp_path) as server:
        server.expects("append failed", "not ready")
        fail_and_recover(server, monkeypatch)


def fail_and_recover(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = True
    append, probe = SqliteLog.append, SqliteLog.probe

    async def failing(log: SqliteLog, changes: Sequence[Change]) -> Sequence[Entry]:
        if broken:
            raise LogFailure("the disk is full; nothing was accepted; try again")
        return await append(log, changes)

    async def failing_probe(log: SqliteLog) -> None:
        if broken:
            raise LogFailure("the disk is full")
        await probe(log)

    monkeypatch.setattr(SqliteLog, "append", failing)
    monkeypatch.setattr(SqliteLog, "probe", failing_probe)
    board, position = server.settled()
    answer = server.post({"evse": E1, "status": "CHARGING"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert (answer.json()["code"], answer.json()["retry"]) == ("log_failure", True)
    ready = server.get("/readyz", key=None)
    assert ready.status_code == 503
    told = ready.json()
    assert told["status"] == "not ready"
    assert told["checks"] == {check: check != "log" for check in CHECKS}
    assert list(told["reasons"]) == ["log"]
    assert "the disk is full" in told["reasons"]["log"]
    assert server.get("/livez", key=None).status_code == 200
    assert value(metrics(server), "ladestrom_ready") == 0
    assert value(metrics(server), "ladestrom_log_append_failures_total") == 1
    assert server.settled() == (board, position), "what is known is told all the same"
    with server.stream() as wire:
        assert wire.message()["seq"] == position
        broken = False
        until(lambda: server.get("/readyz", key=None).status_code == 200, "it is ready again")
        assert server.report({"evse": E1, "status": "CHARGING"})["accepted"] == 1
        assert wire.until("status:update")["seq"] == position + 1


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_other_methods_are_refused(server: Serving, path: str) -> None:
    answer = server.request("POST", path)
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]


def test_no_path_of_what_writes_is_answered_by_a_process_that_only_reads(server: Serving) -> None:
    app = server.app
    own = [*app.reader.routes(), *app.front.routes()]
    local = Local((route.path_format for route in web([], own).routes), app.reader.remembers)
    written = {route.path_format for route in web([], app.writing.routes()).routes}
    written |= {route.path for route in app.writing.receiving} | set(app.reader.remembers)
    assert "/api/v2/reports" in written
    assert [path for path in written if path in local or f"{path}/x" in local] == []
