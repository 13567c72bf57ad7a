"""Several processes are one server: they answer alike, pass on what is not theirs, and none needs another to live."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx2
import msgspec
import pytest
from bench.fold import Seen
from tests.e2e.charging import basic
from tests.e2e.running import NotRunning, Running
from tests.e2e.serving import STATIONS, evse, now, station, tick, write
from tests.e2e.several import Several
from tests.e2e.surviving import Ledger, Plan, Survivor
from tests.e2e.test_reader_alone import answers
from tests.e2e.wire import TEXT, Ended, Wire, refusal, request
from tests.patience import DEADLINE_S, come_true, until

from ladestrom.client.reports import Observation, Reporter
from ladestrom.client.v2_aio import Transport
from ladestrom.client.v2_session import Mode
from ladestrom.core.charge_points import enrol
from ladestrom.model import Position, Status
from ladestrom.ports.registry import StationDraft

E1: Final = "NO*ALF*E1333*1"
E2: Final = "NO*ALF*E1333*2"
FAR: Final = {place: [f"NO*ALF*E{place}{number}" for number in range(1, 5)] for place in (68, 70)}
"""By latitude: nobody else reports on these."""
FAR_STATIONS: Final = [
    station(f"NOR_0{place}0{number}", "NOR", (25.0, place), [evse(name, party="NOALF")])
    for place, names in FAR.items()
    for number, name in enumerate(names)
]
ALL: Final = (*STATIONS, *FAR_STATIONS)
FRONT: Final = "127.0.0.1"
CERTIFIED: Final = {
    "reports.certificate_header": "x-client-subject",
    "reports.certificate_proxies": FRONT,
    "reports.certificates": "alfa=CN=alfa",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    """A writer and three readers, which the tests of this file share."""
    with Several(
        tmp_path_factory.mktemp("processes"),
        {"stream.heartbeat_s": "1", "ocpp.grace_s": "0", **CERTIFIED},
        readers=3,
        stations=ALL,
    ) as running:
        yield running


def imported(server: Several, stations: list[StationDraft]) -> None:
    write(server.data, lambda store: store.import_stations("nobil", stations, now(), complete=True))


def position(server: Several) -> float:
    """Sequence of the last entry of the log."""
    return server.values("ladestrom_log_last_seq")["writer"]


def settled(server: Several, before: float) -> int:
    """The sequence at which all processes are, once what was written to the store is in the log."""
    until(lambda: position(server) > before, "the register is in the log")
    last = server.report({"evse": E2, "status": "CHARGING", "observed_at": tick()})["position"]
    last = server.report({"evse": E2, "status": "AVAILABLE", "observed_at": tick()})["position"]
    seq = Position.parse(last).seq
    server.in_step(seq)
    return seq


def test_three_readers_tell_the_same_at_each_position_while_statuses_and_stations_change(
    server: Several,
) -> None:
    first, others = ALL[0].station, list(ALL[1:])
    new = station("NOR_01999", "NOR", (10.7, 59.9), [evse("NO*ALF*E1999*1", party="NOALF", uid="9")])
    turned: list[list[StationDraft]] = [
        [
            StationDraft(
                msgspec.structs.replace(first, operator="Beta Laddning", latitude=60.5, address="A")
            ),
            *others,
            new,
        ],
        list(ALL),
    ]
    for round_, stations in enumerate(turned):
        server.report({"evse": E1, "status": "CHARGING" if round_ else "OUTOFORDER", "observed_at": tick()})
        before = position(server)
        imported(server, stations)
        settled(server, before)
        told = []
        for name in server.readers:
            with server.only(name):
                told.append(answers(server.url, server.bearer()))
        for path, expected in told[0].items():
            assert all(each[path] == expected for each in told), path


def test_each_process_passes_reports_on_and_names_the_client(server: Several) -> None:
    for number, name in enumerate(server.readers):
        with server.only(name), httpx2.Client(base_url=server.url, timeout=DEADLINE_S) as client:
            item = {
                "evse": E1,
                "status": ("AVAILABLE", "CHARGING", "RESERVED")[number],
                "observed_at": tick(),
            }
            # No key: the proxy at this address vouches for it, whatever else the request claims.
            certified = {"x-client-subject": "CN=alfa", "ladestrom-client": "203.0.113.9"}
            done = client.post("/api/v2/reports", json=item, headers=certified)
            assert (done.status_code, done.json()["accepted"]) == (200, 1), done.text
            again = client.post("/api/v2/reports", json=item, headers=server.bearer("alfa"))
            assert (again.status_code, again.json()["accepted"], again.json()["unchanged"]) == (200, 0, 1)
            head = client.head("/api/v2/operators", headers=server.bearer())
            whole = client.get(
                "/api/v2/operators", headers={**server.bearer(), "Origin": "https://a.example"}
            )
            assert (head.status_code, head.content) == (200, b"")
            assert whole.headers.get_list("access-control-allow-origin") == ["*"]
            assert len(whole.headers.get_list("date")) == 1
            assert {each["operator"] for each in whole.json()} == {"alfa", "beta"}
            for hidden in ("/inner/signals/x", "/%69nner/standing", "/inner/tickets"):
                assert client.post(hidden).status_code == 404
                assert client.get(hidden, headers=server.bearer("admin")).status_code == 404


def test_limits_of_bodies_hold_through_a_process_that_passes_them_on(server: Several) -> None:
    large = b"[" + b" " * (9 * 1024 * 1024)
    with Wire(server.port) as wire:
        head = {"Host": "x", **server.bearer("alfa"), "Content-Length": str(len(large))}
        wire.send(request("/api/v2/reports", head, "POST"))
        with contextlib.suppress(Ended):
            wire.send(large)
        assert wire.problem()["status"] == 413
    with Wire(server.port) as slow, Wire(server.port) as chunked:
        slow.send(request("/api/v2/reports", {**head, "Content-Length": "1000"}, "POST") + b"[")
        body = json.dumps({"evse": E1, "status": "CHARGING"}).encode()
        told = {"Host": "x", **server.bearer("alfa"), "Transfer-Encoding": "chunked"}
        chunked.send(request("/api/v2/reports", told, "POST"))
        for byte in body:
            chunked.send(b"1\r\n%c\r\n" % byte)
        chunked.send(b"0\r\n\r\n")
        assert chunked.answer()[0].status == 200
        assert slow.problem()["status"] == 408


def test_reports_and_charge_points_over_websocket_are_passed_on_as_bytes(server: Several) -> None:
    password, point = enrol(
        b"x" * 20, charge_point="CP1", operator="alfa", station="NOR_01333", evses={}, added_at=now()
    )
    write(server.data, lambda store: store.put_charge_point(point))
    for name in server.readers:
        with server.only(name), contextlib.ExitStack() as stack:
            wire = stack.enter_context(server.wire("/api/v2/reports/stream", server.bearer("alfa")))
            wire.is_published = False
            large = [{"evse": f"NO*NOBODY*E{number}", "status": "CHARGING"} for number in range(5_000)]
            for message in ({"evse": E1, "status": "CHARGING", "observed_at": tick()}, large):
                wire.put(TEXT, json.dumps(message).encode())
            assert len(wire.message()["refused"]) == 0
            assert len(wire.message()["refused"]) == 5_000

            def plugged(stack: contextlib.ExitStack = stack) -> Wire | None:
                headers = basic("CP1", password) | {"Sec-WebSocket-Protocol": "ocpp1.6"}
                cp = stack.enter_context(server.wire("/ocpp/CP1", headers))
                cp.is_published = False
                return cp if cp.response.status == 101 else None

            until(lambda: plugged() is not None, "the charge point is known")
            cp = plugged()
            assert cp is not None
            cp.put(TEXT, b'[2,"1","Heartbeat",{}]')
            answer: list[Any] = json.loads(cp.text())
            while answer[0] != 3:
                answer = json.loads(cp.text())
            assert "currentTime" in answer[2]
            refused = stack.enter_context(server.wire("/inner/signals/x", server.bearer()))
            assert refusal(refused)["status"] == 404


def test_a_ticket_of_one_process_opens_one_stream_at_any_other(server: Several) -> None:
    for issues, redeems in zip(server.readers, [*server.readers[1:], server.readers[0]], strict=True):
        with server.only(issues):
            answer = httpx2.post(f"{server.url}/api/v2/tickets", headers=server.bearer(), timeout=DEADLINE_S)
            ticket = answer.json()["ticket"]
        with server.only(redeems):
            target = f"/api/v2/stream?ticket={ticket}"
            with server.wire(target, {}) as wire, server.wire(target, {}) as second:
                assert wire.response.status == 101
                assert wire.message()["type"] == "hello"
                assert refusal(second)["code"] == "unauthenticated"
            events = Wire(server.port)
            events.send(request(f"/api/v2/events?ticket={ticket}", {"Host": "x"}))
            assert events.head().status == 401
            events.close()


def test_raw_reports_and_confirmations_reach_those_who_follow_at_any_process(server: Several) -> None:
    with contextlib.ExitStack() as stack:
        wires = []
        for name in server.readers:
            with server.only(name):
                wires.append(
                    stack.enter_context(
                        server.wire("/api/v1/stream?types=snapshot,update,raw", server.bearer())
                    )
                )
                wires[-1].until("snapshot:init")

        def heard() -> bool:
            at = tick()
            server.report({"evse": E1, "status": "CHARGING", "observed_at": at})
            for wire in wires:
                wire.socket.settimeout(0.5)
            try:
                return all(wire.until("status:raw") for wire in wires)
            except TimeoutError:
                return False

        until(heard, "each process tells of reports that change nothing")
        at = tick()
        server.report({"evse": E1, "status": "CHARGING", "observed_at": at})
        for name in server.readers:
            with server.only(name):
                until(lambda: observed(server) >= at, "the confirmation is known")


def observed(server: Several) -> int:
    """When E1 was observed last, by whoever answers."""
    answer = httpx2.get(f"{server.url}/api/v2/evses/{E1}", headers=server.bearer(), timeout=DEADLINE_S)
    text = answer.json()["observed_at"]
    return int(milliseconds(text))


def milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000 + 0.5)


def test_a_key_that_is_revoked_is_cut_at_every_process_and_its_use_is_counted_at_all(server: Several) -> None:
    with contextlib.ExitStack() as stack:
        wires = []
        for name in server.readers:
            with server.only(name):
                wires.append(stack.enter_context(server.wire("/api/v2/stream", server.bearer("both"))))
        until(
            lambda: [server.values("ladestrom_consumers")[name] for name in server.readers] == [1, 1, 1],
            "each process has one",
        )

        def used() -> int:
            own = httpx2.get(
                f"{server.url}/api/v2/keys/self", headers=server.bearer("both"), timeout=DEADLINE_S
            )
            return int(own.json()["use"]["connections"])

        until(lambda: used() == 3, "the use of a key is told of all processes together")
        write(server.data, lambda store: store.revoke_key(server.key_ids["both"], now()))
        assert [wire.close_code() for wire in wires] == [4401] * 3
        with server.wire("/api/v2/stream", server.bearer("both")) as again:
            assert again.response.status == 401


def test_metrics_of_all_processes_are_one_answer(server: Several) -> None:
    text = server.metrics()
    names = {"writer", *server.readers}
    assert set(server.values("ladestrom_ready")) == set(server.values("ladestrom_consumers")) == names
    assert set(server.values("ladestrom_board_evses")) == {"writer"}
    assert 'ladestrom_reports_total{process="writer",role="writer",operator="alfa"}' in text
    assert text.count("# TYPE ladestrom_consumers gauge") == 1


# -- kills and replacements --------------------------------------------------------------------------------------


class Operator:
    """Reports on the far EVSEs, one batch after the other, for ever; tells where the log should be."""

    def __init__(self, reporter: Reporter, ledger: Ledger, evses: list[str]) -> None:
        self.base = self.seq = -1
        self._evses = evses
        self._reporter = reporter
        self._ledger = ledger
        self._rng = random.Random(7)

    async def deliver(self) -> None:
        """One batch. What was taken before a crash, and is sent again, changes nothing."""
        facts = self._ledger.facts
        before, at = len(facts), tick()
        batch = [
            Seen(at, name, self._rng.choice(["AVAILABLE", "CHARGING", "RESERVED"])) for name in self._evses
        ]
        for each in batch:
            self._ledger.observe(each)
        told = [Observation(each.evse, Status(each.status), each.at, each.error) for each in batch]
        receipt = await self._reporter.report(told)
        self.seq = Position.parse(receipt.position).seq
        if self.base < 0:
            self.base = self.seq - (len(facts) - before)
        assert self.seq == self.base + len(facts), "the log has each change once"


async def survived(server: Several, place: int, trouble: Callable[[], None]) -> None:
    """Consumers and an operator live through some trouble; everybody must have all of it in the end."""
    evses = FAR[place]
    ledger = Ledger(evses)
    plans = [
        Plan(transport, mode, {"bbox": f"24,{place - 1},26,{place + 1}"}, evses)
        for transport in (Transport.WEBSOCKET, Transport.EVENTS)
        for mode in (Mode.LATEST, Mode.EVERY)
    ] * 2
    survivors = [
        Survivor(plan, server.url, server.keys["stream"], random.Random(number))
        for number, plan in enumerate(plans)
    ]
    over = asyncio.Event()
    async with Reporter(server.url, server.keys["alfa"]) as reporter, asyncio.TaskGroup() as group:
        operator = Operator(reporter, ledger, evses)
        following = [group.create_task(each.run()) for each in survivors]

        async def report() -> None:
            while not over.is_set():
                await operator.deliver()
                await asyncio.sleep(0.02)

        reporting = group.create_task(report())
        await come_true(lambda: operator.seq >= 0 and all(each.begins for each in survivors))
        await asyncio.to_thread(trouble)
        over.set()
        await reporting
        await operator.deliver()
        await come_true(lambda: all(each.is_in_step(operator.seq) for each in survivors))
        for task in following:
            task.cancel()
    for survivor in survivors:
        assert survivor.verdict(ledger, operator.base, operator.seq) == [], survivor.plan.name


def test_the_death_of_a_reader_and_of_the_writer_loses_and_doubles_nothing(server: Several) -> None:
    def trouble() -> None:
        server.kill("reader-1")
        for _ in range(2):
            # While nobody writes, those who report are told when to come again, and consumers stay.
            starts = server.starts_of("writer")
            server.send("writer", signal.SIGKILL)
            refused = server.post({"evse": E1, "status": "CHARGING"})
            assert refused.status_code == 503 or server.starts_of("writer") > starts
            ready = httpx2.get(f"{server.url}/readyz", timeout=DEADLINE_S)
            assert ready.json()["reasons"].keys() == {"log"} or server.starts_of("writer") > starts
            if refused.status_code == 503:
                assert refused.headers["retry-after"]
                assert refused.json()["code"] == "not_ready"
            server.started_again("writer", starts)

    asyncio.run(survived(server, 68, trouble))


def test_readers_are_replaced_without_a_connection_refused(server: Several) -> None:
    refused: list[str] = []
    opened = 0
    over = threading.Event()

    def connect() -> None:
        nonlocal opened
        while not over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as wire:
                    wire.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    data = b""
                    while piece := wire.recv(4_096):
                        data += piece
                if not data.startswith(b"HTTP/1.1 200"):
                    refused.append(data[:100].decode() or "nothing was said")
            except OSError as error:
                refused.append(repr(error))
            opened += 1

    def trouble() -> None:
        before = {name: server.starts_of(name) for name in server.readers}
        threads = [threading.Thread(target=connect) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert server.process is not None
        server.process.send_signal(signal.SIGUSR2)
        until(
            lambda: (
                all(server.starts_of(name) > starts for name, starts in before.items())
                and "all processes that serve consumers were replaced" in server.said()
            ),
            "all readers were replaced",
        )
        over.set()
        for thread in threads:
            thread.join(DEADLINE_S)

    asyncio.run(survived(server, 70, trouble))
    assert refused == []
    assert opened >= 200


def test_a_reader_that_is_told_to_stop_says_so_and_is_started_again(server: Several) -> None:
    with server.only("reader-2"):
        wire = server.wire("/api/v2/stream", server.bearer())
    starts = server.starts_of("reader-2")
    server.send("reader-2", signal.SIGUSR1)
    assert wire.close_code() == 1012
    wire.close()
    server.started_again("reader-2", starts)


# -- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"server.processes": "2", "log.url": "memory:"}, "other processes cannot follow the change log"),
        ({"server.roles": "reader"}, "expected also writer, ingest"),
        ({"server.roles": "writer,nobody"}, "server.roles"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    with Running(tmp_path, settings) as running, pytest.raises(NotRunning, match=said):
        running.start()
