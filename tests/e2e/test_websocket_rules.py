"""RFC 6455 on every WebSocket of the server: streams of both versions, reports, and charge points."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Mapping
from typing import Final

import pytest
from tests.e2e.charging import add, basic
from tests.e2e.serving import Serving
from tests.e2e.wire import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    UPGRADE,
    Ended,
    Frame,
    Wire,
    frame,
    request,
)

from ladestrom.edges.slices import SLICE_BYTES
from ladestrom.edges.websocket import Core
from ladestrom.server.websocket import WebSocketProtocol

REPORTS: Final = "/api/v2/reports/stream"
POINT: Final = "/ocpp/CP1"
SOCKETS: Final = ("/api/v1/stream", "/api/v2/stream", REPORTS, POINT)
MIB: Final = 1024 * 1024
MESSAGE_BYTES_MAX: Final = {**dict.fromkeys(SOCKETS, 64 * 1024), REPORTS: 8 * MIB, POINT: MIB // 4}
CONTROL_BYTES_MAX: Final = 125


class Socket(Wire):
    """A connection to any of them, whose messages others look at."""

    is_published = False

    def control(self) -> Frame:
        """The next pong or close; messages and pings are passed over."""
        while (got := self.frame()).opcode not in {PONG, CLOSE}:
            pass
        return got


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    with Serving(tmp_path_factory.mktemp("rules")) as running:
        yield running


@pytest.fixture(scope="module")
def headers(server: Serving) -> Mapping[str, Mapping[str, str]]:
    """What each socket is opened with."""
    point = {**basic("CP1", add(server, "CP1")), "Sec-WebSocket-Protocol": "ocpp1.6"}
    return {**dict.fromkeys(SOCKETS, server.bearer("both")), POINT: point}


@pytest.fixture(params=SOCKETS)
def path(request: pytest.FixtureRequest) -> str:
    """Where a socket is."""
    return str(request.param)


@pytest.fixture
def wire(server: Serving, headers: Mapping[str, Mapping[str, str]], path: str) -> Iterator[Socket]:
    """An open socket."""
    with Socket(server.port) as opened:
        assert opened.open(path, headers[path]).response.status == 101
        yield opened


def sockets(server: Serving) -> list[WebSocketProtocol]:
    """Connections that are no streams, as the server has them."""
    assert server.app.listening.everybody is not None
    connections = server.app.listening.everybody.server_state.connections
    return [each for each in connections if isinstance(each, WebSocketProtocol)]


# -- frames ------------------------------------------------------------------------------------------------

BROKEN: Final = {
    "unmasked": (frame(TEXT, b"hello", mask=False), 1002),
    "reserved opcode": (frame(3, b"hello"), 1002),
    "reserved control opcode": (frame(11, b""), 1002),
    "reserved bit": (frame(TEXT, b"hello", rsv=2), 1002),
    "compressed without agreement": (frame(TEXT, b"hello", rsv=4), 1002),
    "continuation of nothing": (frame(CONT, b"hello"), 1002),
    "a message inside another": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "a ping in pieces": (frame(PING, b"a", fin=False), 1002),
    "a ping too long": (frame(PING, bytes(126)), 1002),
    "a close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "a close with a code of nobody": (frame(CLOSE, struct.pack("!H", 999)), 1002),
    "a close with a code that is never sent": (frame(CLOSE, struct.pack("!H", 1006)), 1002),
    "a close whose reason is no text": (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    "text that is no UTF-8": (frame(TEXT, b"caf\xe9"), 1007),
    "text with a surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "text cut inside a letter": (frame(TEXT, b"caf\xc3"), 1007),
    "no UTF-8 in a later piece": (
        frame(TEXT, b"caf\xc3", fin=False) + frame(CONT, b"\xa9", fin=False) + frame(CONT, b"\xff"),
        1007,
    ),
    "no UTF-8 in the last piece": (frame(TEXT, b"caf\xc3", fin=False) + frame(CONT, b""), 1007),
    "far from all there": (frame(BINARY, b"x", length=1 << 40), 1009),
}
CODES_OF_NOBODY: Final = (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)
CODES: Final = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999)
"""RFC 6455, sections 7.4.1 and 7.4.2, and what was registered since."""


@pytest.mark.parametrize("name", BROKEN)
def test_a_frame_against_the_rules_closes_with_the_code_that_says_so(wire: Socket, name: str) -> None:
    sent, code = BROKEN[name]
    wire.send(sent)
    assert wire.close_code() == code


@pytest.mark.parametrize("name", ["unmasked", "text that is no UTF-8", "a close whose reason is no text"])
def test_it_makes_no_difference_that_a_frame_comes_byte_by_byte(wire: Socket, name: str) -> None:
    sent, code = BROKEN[name]
    with contextlib.suppress(Ended):
        for byte in sent:
            wire.send(bytes([byte]))
    assert wire.close_code() == code


@pytest.mark.parametrize("code", CODES_OF_NOBODY)
def test_a_close_with_a_code_that_may_not_be_sent_breaks_the_rules(wire: Socket, code: int) -> None:
    wire.put(CLOSE, struct.pack("!H", code))
    assert wire.close_code() == 1002


@pytest.mark.parametrize("code", CODES)
def test_a_close_is_echoed_and_ends_the_connection(wire: Socket, code: int) -> None:
    wire.send(frame(CLOSE, struct.pack("!H", code) + b"r" * 123) + frame(TEXT, b"[]") + frame(3, b""))
    got = wire.control()
    assert (got.opcode, got.code) == (CLOSE, code)
    assert wire.ended()


def test_a_close_between_the_fragments_of_a_message_is_answered_as_a_close(wire: Socket) -> None:
    wire.put(TEXT, b"begun, and ", fin=False)
    wire.put(CLOSE, struct.pack("!H", 1000) + b"enough")
    assert wire.control() == Frame(CLOSE, struct.pack("!H", 1000) + b"enough")
    assert wire.ended()


@pytest.mark.parametrize("room_bytes", [0, CONTROL_BYTES_MAX - 1])
def test_control_frames_take_nothing_of_what_a_message_may_have(
    wire: Socket, path: str, room_bytes: int
) -> None:
    wire.put(BINARY, bytes(MESSAGE_BYTES_MAX[path] - room_bytes), fin=False)
    wire.put(PING, b"p" * CONTROL_BYTES_MAX)
    assert wire.control() == Frame(PONG, b"p" * CONTROL_BYTES_MAX)
    wire.put(CONT, bytes(room_bytes + 1))
    assert wire.close_code() == 1009


def test_a_message_may_come_in_any_number_of_fragments(server: Serving) -> None:
    """A fragment of a byte costs a byte: 100,000 of them are a message like another."""
    content = b'[{"evse":"NO*ALF*E1333*1","status":"CHARGING"}]'
    whole = content + b" " * (100_000 - len(content))
    pieces = [frame(CONT if at else BINARY, whole[at : at + 1], fin=False) for at in range(len(whole))]
    with Wire(server.port) as wire:
        wire.open(REPORTS, server.bearer("both"))
        wire.send(b"".join(pieces))
        wire.put(PING)
        assert wire.frame() == Frame(PONG, b"")
        assert all(len(each.frames) <= 1 for each in sockets(server))
        wire.put(CONT)
        assert wire.message()["refused"] == []


# -- handshakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*SOCKETS, "/livez"])
def test_an_upgrade_over_http_1_0_is_refused(server: Serving, path: str) -> None:
    asked = request(path, {**UPGRADE, **server.bearer("both")}).replace(b"HTTP/1.1", b"HTTP/1.0")
    with Wire(server.port) as wire:
        wire.send(asked)
        told = wire.problem()
        assert (told["status"], told["code"]) == (400, "bad_handshake")
        assert wire.ended()


def test_a_method_that_is_not_get_is_told_so(
    server: Serving, headers: Mapping[str, Mapping[str, str]], path: str
) -> None:
    with Wire(server.port) as wire:
        wire.send(request(path, {**UPGRADE, **headers[path]}, "POST"))
        head = wire.head()
        assert head.status == 405
        assert head.headers["allow"] == "GET", "RFC 9110, section 15.5.6"


@pytest.mark.parametrize("lines", [("Upgrade", "keep-alive"), ("keep-alive", "Upgrade"), (", upgrade,",)])
def test_a_header_may_come_in_several_lines(
    server: Serving, headers: Mapping[str, Mapping[str, str]], path: str, lines: tuple[str, ...]
) -> None:
    asked = request(path, {**UPGRADE, **headers[path]})
    told = "".join(f"Connection: {line}\r\n" for line in lines).encode()
    with Socket(server.port) as wire:
        wire.send(asked.replace(b"Connection: Upgrade\r\n", told))
        assert wire.upgraded().response.status == 101, "RFC 9110, section 5.3"


@pytest.mark.parametrize(
    "more",
    [
        {"Cookie": "a" * 9_000},
        {f"X-Header-{number}": "a" for number in range(200)},
        {"Content-Length": "0"},
        {"X-Name": "J\xf8rgen"},
    ],
    ids=["a long line", "many lines", "the length of no body", "no ASCII"],
)
def test_headers_that_have_nothing_to_do_with_the_upgrade_do_not_hinder_it(
    server: Serving, headers: Mapping[str, Mapping[str, str]], path: str, more: Mapping[str, str]
) -> None:
    with Socket(server.port) as wire:
        assert wire.open(path, {**headers[path], **more}).response.status == 101
        wire.put(PING, b"there")
        assert wire.control() == Frame(PONG, b"there")


@pytest.mark.parametrize(
    "more",
    [
        {"Sec-WebSocket-Extensions": "a" * 9_000},
        {f"Sec-WebSocket-{number}": "a" for number in range(200)},
    ],
    ids=["a long line", "many lines"],
)
def test_too_much_about_the_upgrade_is_refused(
    server: Serving, headers: Mapping[str, Mapping[str, str]], path: str, more: Mapping[str, str]
) -> None:
    with Wire(server.port) as wire:
        wire.send(request(path, {**UPGRADE, **headers[path], **more}))
        assert wire.problem()["code"] == "bad_handshake"
        assert wire.ended()


def test_a_query_may_be_long(server: Serving) -> None:
    with Wire(server.port) as wire:
        wire.open(f"{REPORTS}?dry_run=1&x={'a' * 9_000}", server.bearer("both"))
        assert wire.response.status == 101
        item = b'{"evse":"NO*ALF*E1333*1","status":"BLOCKED"}'
        wire.put(TEXT, item)
        assert wire.message()["dry_run"] is True


@pytest.mark.parametrize("path", SOCKETS)
def test_many_tiny_frames_are_looked_at_in_pieces(
    server: Serving,
    headers: Mapping[str, Mapping[str, str]],
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    receive = Core.receive_data

    def received(core: Core, data: bytes) -> None:
        sizes.append(len(data))
        receive(core, data)

    monkeypatch.setattr(Core, "receive_data", received)
    with Socket(server.port) as wire:
        wire.open(path, headers[path])
        wire.put(PING, b"first")
        assert wire.control().opcode == PONG
        wire.socket.sendall(frame(PONG) * 20_000)
        wire.put(PING, b"last")
        assert wire.control() == Frame(PONG, b"last")
    assert max(sizes) <= SLICE_BYTES
