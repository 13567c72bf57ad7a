"""Whoever takes more than its share is refused, and nobody else is: by key, by address, by operator."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, Final

import httpx2
import pytest
from tests.e2e.charging import Plugged, add
from tests.e2e.running import Running
from tests.e2e.serving import HOUR_MS, Serving, charge_points, evse, furnish, now, pushes, station
from tests.e2e.wire import TEXT, Wire, refusal, request
from tests.patience import DEADLINE_S, scaled, until

from ladestrom import credentials
from ladestrom.core.access import VISITOR
from ladestrom.edges import walks
from ladestrom.model import Change, Entry
from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH
from ladestrom.ports.registry import StationDraft

TICKETS: Final = "/api/v2/tickets"
REPORTS: Final = "/api/v2/reports/stream"
OPEN: Final = {"page.visitors": "anyone"}
PROXIED: Final = {"keys.proxies": "127.0.0.1"}
HERE, THERE, ELSEWHERE = "198.51.100.1", "198.51.100.2", "198.51.100.3"
E1: Final = "NO*ALF*E1333*1"
MIB: Final = 1024 * 1024


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """Closes what a test leaves open."""
    with contextlib.ExitStack() as opened:
        yield opened


def opened(
    stack: contextlib.ExitStack,
    server: Serving,
    query: str = "",
    *,
    key: str | None = "stream",
    address: str = "",
    path: str = STREAM_PATH,
) -> Wire:
    """A consumer of version 2, after its handshake, from an address that a proxy names."""
    headers = {"Host": f"127.0.0.1:{server.port}"} | (server.bearer(key) if key else {})
    if address:
        headers["X-Forwarded-For"] = address
    wire = stack.enter_context(Wire(server.port))
    if path == EVENTS_PATH:
        wire.send(request(f"{path}?{query}", headers))
        return wire.upgraded()
    return wire.open(f"{path}?{query}", headers)


def refused(wire: Wire) -> tuple[int, str, str]:
    told = refusal(wire)
    assert "retry-after" in wire.response.headers
    return told["status"], told["code"], told["detail"]


# -- selections --------------------------------------------------------------------------------------------


def test_a_key_that_uses_up_its_selections_is_refused_and_no_other_key_is(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    settings = {"stream.selections_max": 40, "stream.selections_share_max": 10}
    with Serving(tmp_path, settings) as server, stack:
        server.make_key("other", ["stream"])
        for number in range(10):
            assert opened(stack, server, f"station=NOR_{number:05d}").response.status == 101
        for path in (STREAM_PATH, EVENTS_PATH, "/api/v1/stream"):
            more = opened(stack, server, "station=NOR_99999", path=path)
            status, code, detail = refused(more)
            assert (status, code) == (429, "too_many_requests")
            assert "this key: 10 different selections" in detail
        assert opened(stack, server, "station=NOR_00001").response.status == 101, "one that it uses already"
        for number in range(10):
            other = opened(stack, server, f"station=SWE_{number:05d}", key="other")
            assert other.response.status == 101


def test_batch_ms_is_part_of_a_selection(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    with Serving(tmp_path, {"stream.selections_share_max": 3}) as server, stack:
        answers = [opened(stack, server, f"batch_ms={number}").response.status for number in range(5)]
        assert answers == [101, 101, 101, 429, 429]


def test_a_consumer_changes_its_selection_though_its_key_uses_as_many_as_it_may(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    with Serving(tmp_path, {"stream.selections_share_max": 2}) as server, stack:
        first = opened(stack, server, "country=NOR&batch_ms=0")
        opened(stack, server, "country=SWE&batch_ms=0")
        for country in ("DAN", "FIN", "SWE"):
            first.put(TEXT, json.dumps({"type": "select", "country": country}).encode())
            assert first.until("selected")
        third = opened(stack, server, "country=NOR&batch_ms=0")
        assert third.response.status == 101, "both others have the same one now"
        third.put(TEXT, json.dumps({"type": "select", "country": "DAN"}).encode())
        assert third.until("selected")
        first.put(TEXT, json.dumps({"type": "select", "country": "FIN"}).encode())
        assert first.until("error")["code"] == "too_many_requests"


# -- connections -------------------------------------------------------------------------------------------


def test_an_address_takes_its_share_of_connections_whatever_its_keys(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    with Serving(tmp_path, {**PROXIED, "stream.consumers_per_address_max": 3}) as server, stack:
        server.make_key("other", ["stream"])
        taken = [opened(stack, server, key=key, address=HERE) for key in ("stream", "other", "both")]
        assert [wire.response.status for wire in taken] == [101] * 3
        status, code, detail = refused(opened(stack, server, key="other", address=HERE))
        assert (status, code) == (429, "too_many_requests")
        assert "this IP address" in detail
        assert opened(stack, server, key="other", address=THERE).response.status == 101
        taken[0].close()
        until(lambda: server.app.reader.stream.by_key.total() == 3, "one was given back")
        assert opened(stack, server, key="other", address=f"{THERE}, {HERE}").response.status == 101


def test_a_network_of_ipv6_is_one_address(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    with Serving(tmp_path, {**PROXIED, "stream.consumers_per_address_max": 1}) as server, stack:
        statuses = [
            opened(stack, server, address=address).response.status
            for address in ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1", "::ffff:198.51.100.9")
        ]
        assert statuses == [101, 429, 101, 101]
        assert opened(stack, server, address="198.51.100.9").response.status == 429


def test_an_address_that_an_unknown_proxy_names_is_not_believed(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    with Serving(tmp_path, {"stream.consumers_per_address_max": 1}) as server, stack:
        for _ in range(3):
            assert opened(stack, server, address=HERE).response.status == 101


def test_visitors_at_one_address_leave_room_for_other_visitors(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    settings = {**OPEN, **PROXIED, "page.visitors_max": 5, "page.visitors_per_address_max": 2}
    with Serving(tmp_path, settings) as server, stack:

        def visited(address: str) -> int:
            asked = {"Origin": server.url, "X-Forwarded-For": address}
            answer = server.request("POST", TICKETS, headers=asked)
            if answer.status_code != 200:
                return answer.status_code
            query = f"ticket={answer.json()['ticket']}"
            return opened(stack, server, query, key=None, address=address).response.status

        assert [visited(HERE) for _ in range(3)] == [101, 101, 429]
        assert [visited(address) for address in (THERE, THERE, ELSEWHERE)] == [101, 101, 101]
        assert visited(ELSEWHERE) == 429, "all visitors together have five"
        assert opened(stack, server, address=HERE).response.status == 101, "who has a key is no visitor"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts the machine's own addresses like those of others."""
    monkeypatch.setattr(credentials, "is_loopback", lambda _: False)


def raw(port: int, source: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), DEADLINE_S, source_address=(source, 0))


def is_open(connection: socket.socket) -> bool:
    """Whether a request on it is answered."""
    with contextlib.suppress(ConnectionError):
        connection.sendall(request("/livez", {"Host": "here"}))
        return b" 200 " in connection.recv(1000)
    return False


@pytest.mark.usefixtures("counted")
def test_an_address_has_so_many_connections_and_others_are_served(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    with Serving(tmp_path, {"server.connections_per_address_max": 10}) as server, stack:
        headers = {"Host": "127.0.0.2", **server.bearer()}
        upgraded = stack.enter_context(Wire(server.port))
        assert upgraded.open(STREAM_PATH, headers).response.status == 101
        taken = [stack.enter_context(raw(server.port, "127.0.0.2")) for _ in range(10)]
        assert all(is_open(each) for each in taken), "another address than that of the stream"
        assert not is_open(stack.enter_context(raw(server.port, "127.0.0.2")))
        assert is_open(stack.enter_context(raw(server.port, "127.0.0.3")))
        taken.pop().close()
        until(lambda: is_open(stack.enter_context(raw(server.port, "127.0.0.2"))), "a place was given back")


@pytest.mark.usefixtures("counted")
def test_a_connection_counts_for_its_address_whatever_it_becomes(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    with Serving(tmp_path, {"server.connections_per_address_max": 20}) as server, stack:
        gate = server.app.listening.everybody.config.http_protocol_class.gate  # type: ignore[attr-defined]
        before = gate._held["127.0.0.1"]
        password = add(server, "CP1")
        kinds = [
            opened(stack, server),
            opened(stack, server, path=EVENTS_PATH),
            opened(stack, server, path="/api/v1/stream"),
            opened(stack, server, key="alfa", path=REPORTS),
            stack.enter_context(Plugged(server, "CP1", password, "ocpp1.6")),
        ]
        assert {wire.response.status for wire in kinds} == {101, 200}
        assert gate._held["127.0.0.1"] == before + len(kinds)
        for wire in kinds:
            wire.close()
        until(lambda: gate._held["127.0.0.1"] == before, "all are given back")


# -- tickets -----------------------------------------------------------------------------------------------


def test_tickets_that_are_asked_for_without_a_key_leave_some_for_whoever_has_one(tmp_path: Path) -> None:
    with Serving(tmp_path, OPEN) as server, ThreadPoolExecutor(8) as pool:
        own = {"Origin": server.url}

        def ask(_: int) -> int:
            return server.request("POST", TICKETS, headers=own).status_code

        limit = credentials.TICKET_LIMITS.visitors_max
        server.call(lambda: fill(server, limit - 5))
        assert sorted(pool.map(ask, range(20))) == [200] * 5 + [429] * 15
        assert server.request("POST", TICKETS, headers=server.bearer()).status_code == 200


def fill(server: Serving, count: int) -> None:
    """Takes tickets as visitors would."""
    for _ in range(count):
        server.app.reader.tickets.issue(VISITOR, "")


def test_tickets_of_one_key_leave_some_for_others(tmp_path: Path) -> None:
    with Serving(tmp_path, {"stream.consumers_per_key_max": 3}) as server:
        statuses = [
            server.request("POST", TICKETS, headers=server.bearer(key)).status_code
            for key in ("stream", "stream", "stream", "stream", "both")
        ]
        assert statuses == [200, 200, 200, 429, 200]


# -- lists -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/v2/evses", "/api/v2/stations", "/api/v1/rest/chargers"])
def test_lists_of_one_key_wait_for_each_other_and_another_key_gets_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    gate = asyncio.Event()
    is_closed = True

    class Slow:
        """Lists that began while the gate was closed wait for it."""

        def __init__(self) -> None:
            self._waits = is_closed

        async def rest(self) -> None:
            if self._waits:
                await gate.wait()

    monkeypatch.setattr(walks, "Turns", Slow)
    monkeypatch.setattr(walks, "WAITING_PER_KEY_MAX", 3)
    with Serving(tmp_path) as server, ThreadPoolExecutor(3) as pool:

        def ask(key: str) -> int:
            return server.request("GET", path, headers=server.bearer(key)).status_code

        own = [pool.submit(ask, "stream") for _ in range(3)]
        try:
            use = server.app.context.door.use(server.key_ids["stream"])
            until(lambda: use.requests == 3, "all have come")
            is_closed = False
            assert (ask("both"), ask("stream"), use.refused) == (200, 429, 1)
        finally:
            server.call(gate.set)
        assert [each.result() for each in own] == [200, 200, 200]
        assert ask("stream") == 200


# -- operators ---------------------------------------------------------------------------------------------


def test_an_operator_that_fills_its_part_of_the_queue_is_refused_and_others_are_not(tmp_path: Path) -> None:
    settings = {
        "reports.queue_items_max": 4_000,
        "reports.queue_items_per_operator_max": 1_000,
        "log.group_items_max": 1,
    }
    with Serving(tmp_path, settings) as server, ThreadPoolExecutor(16) as pool:

        def flood(number: int) -> int:
            items = [{"evse": E1, "status": ("CHARGING", "AVAILABLE")[turn % 2]} for turn in range(600)]
            answer = server.post(items)
            return answer.status_code

        floods = [pool.submit(flood, number) for number in range(16)]
        others = []
        while not all(each.done() for each in floods):
            others.append(server.post([{"evse": "SE*BET*E7*1", "status": "CHARGING"}], key="beta"))
        statuses = {each.result() for each in floods}
        assert statuses == {200, 429}
        assert {each.status_code for each in others} == {200}


def test_an_operator_cannot_displace_the_log_and_others_report_to_a_full_one(tmp_path: Path) -> None:
    settings = {
        "log.retention_mib": 16,
        "log.checkpoint_s": 1,
        "reports.rapid_changes_per_hour_max": 1_000,
    }
    observed_at = count(now() - HOUR_MS)
    with Serving(tmp_path, settings) as server:

        def flood() -> httpx2.Response:
            statuses = ("CHARGING", "AVAILABLE") * 5_000
            return server.post(
                [{"evse": E1, "status": each, "observed_at": next(observed_at)} for each in statuses]
            )

        answers = [flood()]
        while answers[-1].status_code == 200 and len(answers) < 40:
            answers.append(flood())
        assert answers[0].json()["accepted"] >= 9_999, "a log that has room takes it"
        refused = answers[-1]
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert int(refused.headers["retry-after"]) > 60
        last = server.app.log.last.seq
        assert flood().status_code == 429
        other = server.post([{"evse": "SE*BET*E7*1", "status": "CHARGING"}], key="beta")
        assert (other.status_code, other.json()["accepted"]) == (200, 1)
        assert server.app.log.last.seq == last + 1
        # Of what came since the last checkpoint nothing is dropped, and the space of what was dropped is used anew.
        assert sum(path.stat().st_size for path in server.data.glob("log.db*")) < 64 * MIB


def test_a_key_has_so_many_report_sockets_and_another_one_connects(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    with Serving(tmp_path, {"reports.sockets_per_key_max": 2}) as server, stack:
        sockets = [opened(stack, server, key="alfa", path=REPORTS) for _ in range(2)]
        assert [wire.response.status for wire in sockets] == [101, 101]
        third = opened(stack, server, key="alfa", path=REPORTS)
        assert refused(third)[:2] == (429, "too_many_requests")
        for key in ("both", "beta"):
            assert opened(stack, server, key=key, path=REPORTS).response.status == 101
        sockets[0].close()
        until(
            lambda: opened(stack, server, key="alfa", path=REPORTS).response.status == 101,
            "it was given back",
        )


def test_charge_points_of_one_operator_leave_room_for_those_of_others(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    settings = {"ocpp.connections_max": 3, "ocpp.connections_per_operator_max": 2}
    with Serving(tmp_path, settings) as server, stack:
        passwords = {name: add(server, name) for name in ("A1", "A2", "A3")}
        passwords["B1"] = add(server, "B1", station="SWE_00007", operator="beta")

        def plugged(name: str) -> Plugged:
            return stack.enter_context(Plugged(server, name, passwords[name], "ocpp1.6"))

        assert [plugged(name).response.status for name in ("A1", "A2", "A3", "B1")] == [101, 101, 429, 101]
        assert plugged("A1").response.status == 101, "in place of its own connection"
        until(lambda: charge_points(server).connected == 3, "the one before is gone")


# -- memory ------------------------------------------------------------------------------------------------


def parked(count: int = 40) -> list[StationDraft]:
    return [
        station(f"NOR_{n:05d}", "NOR", (10.0, 60.0), [evse(f"NO*ALF*E{n}", party="NOALF")])
        for n in range(1, count + 1)
    ]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Running, dict[str, str]]]:
    """A server in a process of its own, and keys to it."""
    keys = {name: text for name, (text, _) in furnish(tmp_path / "data", parked()).items()}
    with Running(tmp_path) as server:
        server.start()
        yield server, keys


def memory_mib(server: Running, name: str) -> float:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


MESSAGES: Final = 64
DELIVERY: Final = (
    b"["
    + b",".join(
        b'{"evse":"NO*ALF*E%d","status":"CHARGING","raw":"%s"}' % (number % 40 + 1, b"x" * 700)
        for number in range(10_000)
    )
    + b"]"
)


class Shared(Wire):
    """Sends from several threads: a pong does not land inside a message."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._lock = Lock()

    def send(self, data: bytes) -> None:
        with self._lock:
            super().send(data)


def test_large_messages_that_are_sent_without_waiting_wait_in_the_socket(tmp_path: Path) -> None:
    with (
        Serving(tmp_path, stations=parked()) as server,
        Shared(server.port) as wire,
        ThreadPoolExecutor(1) as pool,
    ):
        # A machine that is busy with so much may not hear from the store in time.
        server.expects("not ready")
        wire.open(REPORTS, server.bearer("alfa"))
        gate, append = asyncio.Event(), server.app.log.append

        async def later(changes: Sequence[Change]) -> Sequence[Entry]:
            await gate.wait()
            return await append(changes)

        server.call(lambda: setattr(server.app.log, "append", later))
        sent = [0]

        def send() -> None:
            for _ in range(MESSAGES):
                wire.put(TEXT, DELIVERY)
                sent[0] += 1

        sending = pool.submit(send)
        try:
            # What the operator may have in memory, what waits for that, what comes in, and the kernel's buffers.
            until(lambda: sent[0] >= 4)
            stays_below(lambda: sent[0], 16)
            shares = pushes(server).endpoints["plain"]._services.pending._shares
            assert 0 < server.call(lambda: shares["alfa"].used_bytes) <= 32 * MIB
        finally:
            server.call(gate.set)
        receipts: list[dict[str, Any]] = [wire.message() for _ in range(MESSAGES)]
        sending.result()
        assert {each["accepted"] + each["unchanged"] for each in receipts} == {10_000}


def stays_below(count: Callable[[], int], limit: int) -> None:
    """Fails where a number that grew reaches the limit; it has grown when it stays the same for long."""
    last, since_s = -1, time.monotonic()
    while time.monotonic() < since_s + scaled(1.0):
        now = count()
        assert now < limit
        if now != last:
            last, since_s = now, time.monotonic()
        time.sleep(0.01)


def test_large_bodies_of_many_connections_of_one_operator_do_not_add_up_in_memory(
    running: tuple[Running, dict[str, str]],
) -> None:
    server, keys = running
    headers = {"Host": "here", "X-Api-Key": keys["alfa"], "Content-Length": str(len(DELIVERY))}
    asked = request("/api/v2/reports", headers, "POST")

    def deliver(_: int) -> int:
        with Wire(server.port, deadline_s=DEADLINE_S) as wire:
            wire.send(asked + DELIVERY)
            return wire.answer()[0].status

    with ThreadPoolExecutor(32) as pool:
        assert deliver(0) == 200
        before = memory_mib(server, "VmRSS")
        Path(f"/proc/{server.pid}/clear_refs").write_text("5")
        assert set(pool.map(deliver, range(32))) == {200}
        assert memory_mib(server, "VmHWM") - before < 150
