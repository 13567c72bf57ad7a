"""A connection that has ended is freed at once: nothing of it waits for the garbage collector.

What waits for it adds up between two collections, which then take long, and memory that is freed so late is
scattered, so that the process does not give it back.
"""

from __future__ import annotations

import gc
import json
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from tests.e2e.charging import Plugged, add
from tests.e2e.serving import Serving, tick
from tests.e2e.wire import CLOSE, PONG, TEXT, UPGRADE, Wire, frame, request
from tests.patience import until
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ladestrom.edges.connection import Connection
from ladestrom.edges.websocket import Core
from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH

KINDS: Final = (Connection, Core, HttpToolsProtocol, WebSocketsSansIOProtocol)
HOST: Final = {"Host": "127.0.0.1"}
DEFLATE: Final = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
LARGE_BYTES: Final = 5_000
"""More than is looked at in one step."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("freed"), {"ocpp.grace_s": 0}) as running:
        yield running


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def there() -> int:
    """Objects that serve a connection."""
    return sum(isinstance(each, KINDS) for each in gc.get_objects())


def consumer(wire: Wire, server: Serving, path: str = STREAM_PATH, **headers: str) -> None:
    wire.open(path, {**server.bearer(), **headers})
    assert wire.response.status == 101
    wire.message()


def v1(wire: Wire, server: Serving) -> None:
    consumer(wire, server, "/api/v1/stream")


def v2(wire: Wire, server: Serving) -> None:
    consumer(wire, server)


def compressed(wire: Wire, server: Serving) -> None:
    wire.open(STREAM_PATH, {**server.bearer(), **DEFLATE})
    wire.message()


def choosing(wire: Wire, server: Serving) -> None:
    v2(wire, server)
    wire.put(TEXT, json.dumps({"type": "select", "country": "NOR"}).encode())
    wire.until("selected")


def much(wire: Wire, server: Serving) -> None:
    """A consumer that sends more at once than is looked at in one step."""
    v2(wire, server)
    wire.send(frame(PONG) * (LARGE_BYTES // len(frame(PONG))))
    wire.put(TEXT, json.dumps({"type": "select", "country": "NOR"}).encode())
    wire.until("selected")


def broken(wire: Wire, server: Serving) -> None:
    """A consumer that breaks a rule."""
    v2(wire, server)
    wire.send(frame(TEXT, b"{}", mask=False))
    assert wire.close_code() == 1002


def refused(wire: Wire, server: Serving) -> None:
    wire.open(f"{STREAM_PATH}?nonsense=1", server.bearer())
    assert wire.response.status == 400


def events(wire: Wire, server: Serving) -> None:
    wire.send(request(EVENTS_PATH, {**HOST, **server.bearer()}))
    assert wire.head().status == 200
    wire.take(1)


def asked(wire: Wire, _: Serving) -> None:
    wire.send(request("/livez", HOST) * 2)
    assert [wire.answer()[0].status, wire.answer()[0].status] == [200, 200]


def listed(wire: Wire, server: Serving) -> None:
    wire.send(request("/api/v2/evses?limit=2", {**HOST, **server.bearer()}))
    assert wire.answer()[0].status == 200


def half_a_request(wire: Wire, server: Serving) -> None:
    head = {**HOST, **server.bearer("alfa"), "Content-Length": "100", "Content-Type": "application/json"}
    wire.send(request("/api/v2/reports", head, "POST") + b"[")


def unreadable(wire: Wire, _: Serving) -> None:
    wire.send(b"\x00\x01\r\n\r\n")
    assert wire.head().status == 400


def reporting(wire: Wire, server: Serving) -> None:
    wire.open("/api/v2/reports/stream", server.bearer("alfa"))
    item = {"evse": "NO*ALF*E1333*1", "status": "CHARGING", "observed_at": tick()}
    wire.put(TEXT, json.dumps(item).encode())
    assert wire.message()["refused"] == []


def large_report(wire: Wire, server: Serving) -> None:
    wire.open("/api/v2/reports/stream", server.bearer("alfa"))
    wire.put(TEXT, json.dumps([{"evse": "x" * LARGE_BYTES, "status": "CHARGING"}]).encode())
    assert len(wire.message()["refused"]) == 1


def upgrade_elsewhere(wire: Wire, _: Serving) -> None:
    wire.send(request("/nowhere", UPGRADE))
    assert wire.head().status in {403, 404}


KINDS_OF_CLIENTS: Final[tuple[Callable[[Wire, Serving], None], ...]] = (
    v1,
    v2,
    compressed,
    choosing,
    much,
    broken,
    refused,
    events,
    asked,
    listed,
    half_a_request,
    unreadable,
    reporting,
    large_report,
    upgrade_elsewhere,
)


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("client", KINDS_OF_CLIENTS, ids=lambda client: client.__name__)
@pytest.mark.parametrize("is_reset", [False, True], ids=["closes", "resets"])
def test_a_connection_that_ended_is_freed_without_the_collector(
    server: Serving, client: Callable[[Wire, Serving], None], *, is_reset: bool
) -> None:
    before = there()
    with Wire(server.port) as wire:
        client(wire, server)
        if is_reset:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: there() <= before, "nothing of it is left")


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("client", [v1, v2, reporting], ids=lambda client: client.__name__)
def test_a_consumer_that_says_goodbye_is_freed_without_the_collector(
    server: Serving, client: Callable[[Wire, Serving], None]
) -> None:
    before = there()
    with Wire(server.port) as wire:
        client(wire, server)
        wire.put(CLOSE, struct.pack("!H", 1000))
        assert wire.close_code() == 1000
    until(lambda: there() <= before, "nothing of it is left")


@pytest.mark.usefixtures("uncollected")
def test_a_charge_point_that_has_left_is_freed_without_the_collector(server: Serving) -> None:
    password = add(server, "freed")
    before = there()
    with Plugged(server, "freed", password, "ocpp1.6") as point:
        point.call("BootNotification", {"chargePointVendor": "x", "chargePointModel": "y"})
    until(lambda: there() <= before, "nothing of it is left")
