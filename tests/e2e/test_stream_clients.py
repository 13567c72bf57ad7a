"""The stream as the clients of the world open and read it."""

from __future__ import annotations

import json
import queue
import shutil
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest
from tests.contracts.frames import checked
from tests.e2e.following import example
from tests.e2e.running import PATIENT, free_port
from tests.e2e.serving import LISTED, Serving, tick
from tests.e2e.wire import (
    BINARY,
    CLOSE,
    CONT,
    HANDSHAKE_ACCEPT,
    HANDSHAKE_KEY,
    PING,
    PONG,
    TEXT,
    UPGRADE,
    Frame,
    Wire,
    alone,
    refusal,
    request,
)
from tests.patience import DEADLINE_S, until
from tests.programs import PIPE, begin, end, install, kill, program, run
from websockets.sync.client import connect

EVSE = "NO*ALF*E1333*1"
NODE: Final = Path(__file__).parent / "node"
DEFLATE_LEVEL: Final = 9


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    with Serving(tmp_path_factory.mktemp("clients")) as running:
        yield running


def change(server: Serving) -> int:
    """Makes a change and gives its sequence."""
    while True:
        for status in ("CHARGING", "AVAILABLE"):
            receipt = server.report({"evse": EVSE, "status": status, "observed_at": tick()})
            if receipt["accepted"]:
                return int(receipt["position"].rpartition("-")[2])


def follows(server: Serving, wire: Wire) -> None:
    """The consumer gets its snapshot, updates, and an answer to its ping."""
    snapshot = wire.message()
    assert snapshot["type"] == "snapshot:init"
    assert tuple(sorted(each["uuid"] for each in snapshot["data"])) == LISTED
    position = change(server)
    assert wire.until("status:update")["seq"] == position
    wire.put(PING, b"are you there")
    while (got := wire.frame()).opcode != PONG:
        assert got.opcode == TEXT
    assert got.payload == b"are you there"


# -- handshakes, word for word: those that were heard are in tests/golden/handshakes ------------------------

BROWSER: Final = """Accept-Language: nb-NO,nb;q=0.9,en;q=0.5
Accept-Encoding: gzip, deflate, br, zstd
Sec-Fetch-Dest: empty
Sec-Fetch-Mode: websocket
Sec-Fetch-Site: same-origin
Pragma: no-cache
Cache-Control: no-cache
Origin: http://{host}
Cookie: consent=yes; theme=dark"""

HANDSHAKES: Final = {
    "firefox of old": """Host: {host}
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:102.0) Gecko/20100101 Firefox/102.0
Accept: */*
Sec-WebSocket-Version: 13
Sec-WebSocket-Extensions: permessage-deflate
Sec-WebSocket-Key: {key}
Connection: keep-alive, Upgrade
Upgrade: websocket
"""
    + BROWSER,
    "safari of old": """Upgrade: websocket
Connection: Upgrade
Host: {host}
Sec-WebSocket-Key: {key}
Sec-WebSocket-Version: 13
Sec-WebSocket-Extensions: x-webkit-deflate-frame
Origin: http://{host}""",
    "go": """Host: {host}
User-Agent: Go-http-client/1.1
Connection: Upgrade
Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover
Sec-WebSocket-Key: {key}
Sec-WebSocket-Version: 13
Upgrade: websocket""",
    "java": """Connection: Upgrade
Host: {host}
Sec-WebSocket-Key: {key}
Sec-WebSocket-Version: 13
Upgrade: websocket
User-Agent: Java-http-client/21""",
    "shouting": """HOST: {host}
UPGRADE: WebSocket
CONNECTION: UPGRADE
SEC-WEBSOCKET-KEY: {key}
SEC-WEBSOCKET-VERSION: 13""",
    "a proxy before it": """Host: {host}
X-Forwarded-For: 192.0.2.7
X-Forwarded-Proto: https
Via: 1.1 proxy.example
Connection: upgrade
Upgrade: websocket
Sec-WebSocket-Key: {key}
Sec-WebSocket-Version: 13
Sec-WebSocket-Protocol: v1.nobil, chat""",
}


def handshake(server: Serving, client: str) -> bytes:
    """What the client sends, with the key in the query, as the published examples have it."""
    head = HANDSHAKES[client].format(host=f"127.0.0.1:{server.port}", key=HANDSHAKE_KEY)
    line = f"GET /api/v1/stream/realtime?key={server.keys['stream']} HTTP/1.1"
    return f"{line}\n{head}\n\n".replace("\n", "\r\n").encode()


@pytest.mark.parametrize("client", HANDSHAKES)
def test_what_clients_really_send_opens_the_stream(server: Serving, client: str) -> None:
    with Wire(server.port) as wire:
        wire.send(handshake(server, client))
        wire.upgraded()
        assert wire.response.status == 101
        assert wire.response.headers["sec-websocket-accept"] == HANDSHAKE_ACCEPT
        assert "sec-websocket-protocol" not in wire.response.headers
        follows(server, wire)


@pytest.mark.parametrize("client", ["firefox of old", "java"])
def test_a_handshake_may_come_byte_by_byte(server: Serving, client: str) -> None:
    with Wire(server.port) as wire:
        for byte in handshake(server, client):
            wire.send(bytes([byte]))
        assert wire.upgraded().response.status == 101
        follows(server, wire)


def test_a_connection_that_was_used_for_requests_may_become_a_stream(server: Serving) -> None:
    with Wire(server.port) as wire:
        for _ in range(3):
            wire.send(request("/livez", {"Host": "127.0.0.1"}))
            assert wire.answer()[0].status == 200
        wire.open("/api/v1/stream", server.bearer())
        follows(server, wire)


# -- compression -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "agreed", "compressed"),
    [
        (None, None, False),
        ("permessage-deflate", {"permessage-deflate"}, True),
        ("permessage-deflate; client_max_window_bits", {"permessage-deflate"}, True),
        ("permessage-deflate; client_max_window_bits=10", {"permessage-deflate"}, True),
        ("permessage-deflate; server_max_window_bits=15", {"server_max_window_bits=15"}, True),
        ("permessage-deflate; server_max_window_bits=10", {"server_max_window_bits=10"}, False),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            {"server_no_context_takeover", "client_no_context_takeover"},
            True,
        ),
        ('permessage-deflate; server_max_window_bits="15"', {"permessage-deflate"}, True),
        (
            "permessage-deflate; server_max_window_bits=7, permessage-deflate",
            {"permessage-deflate"},
            True,
        ),
        ("permessage-deflate; something_else", None, False),
        ("permessage-bzip2, x-webkit-deflate-frame", None, False),
        ("permessage-bzip2, permessage-deflate", {"permessage-deflate"}, True),
    ],
)
def test_compression_is_used_where_the_consumer_can_read_it(
    server: Serving, offer: str | None, agreed: set[str] | None, compressed: bool
) -> None:
    headers = {**server.bearer(), **({} if offer is None else {"Sec-WebSocket-Extensions": offer})}
    with Wire(server.port) as wire:
        wire.open("/api/v1/stream?types=snapshot,update", headers)
        answered = wire.response.headers.get("sec-websocket-extensions")
        if agreed is None:
            assert answered is None
        else:
            assert answered is not None
            parts = {part.strip() for part in answered.split(";")}
            assert agreed <= parts
            assert not compressed or "server_no_context_takeover" in parts, "frames are made for all"
        first = wire.frame()
        assert first.compressed is compressed
        assert json.loads(alone(first))["type"] == "snapshot:init"
        for _ in range(3):
            position = change(server)
            got = wire.frame()
            assert got.compressed is compressed
            assert json.loads(alone(got))["seq"] == position


def test_a_consumer_that_keeps_its_context_reads_the_same(server: Serving) -> None:
    with Wire(server.port) as wire:
        wire.open("/api/v1/stream", {**server.bearer(), "Sec-WebSocket-Extensions": "permessage-deflate"})
        follows(server, wire)


def test_an_offer_that_cannot_be_read_is_refused(server: Serving) -> None:
    with Wire(server.port) as wire:
        wire.open(
            "/api/v1/stream", {**server.bearer(), "Sec-WebSocket-Extensions": "permessage-deflate; =15"}
        )
        assert wire.response.status == 400
        assert refusal(wire)["code"] == "bad_handshake"


def packed(payload: bytes, window_bits: int = 15) -> bytes:
    packer = zlib.compressobj(DEFLATE_LEVEL, zlib.DEFLATED, -window_bits)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


@pytest.mark.parametrize("window_bits", [9, 15])
def test_compressed_messages_of_consumers_are_read(server: Serving, window_bits: int) -> None:
    offer = f"permessage-deflate; client_max_window_bits={window_bits}"
    with Wire(server.port) as wire:
        wire.open("/api/v1/stream", {**server.bearer(), "Sec-WebSocket-Extensions": offer})
        wire.message()
        for text in (b"hello", b"", "bl\u00e5b\u00e6rsyltet\u00f8y".encode() * 100, b"a" * 60_000):
            wire.put(TEXT, packed(text, window_bits), rsv=4)
        wire.put(BINARY, packed(bytes(range(256)), window_bits), rsv=4)
        whole = packed("\u00e6\u00f8\u00e5".encode() * 1000)
        wire.put(TEXT, whole[:5], fin=False, rsv=4)
        wire.put(PING, b"between")
        assert wire.frame() == Frame(PONG, b"between")
        wire.put(CONT, whole[5:])
        wire.put(PING, b"after")
        assert wire.frame() == Frame(PONG, b"after")


# -- messages of consumers ---------------------------------------------------------------------------------


def test_messages_in_pieces_with_pings_between_them_are_borne(server: Serving) -> None:
    text = "r\u00f8dgr\u00f8d med fl\u00f8de".encode()
    with server.stream() as wire:
        wire.message()
        wire.put(TEXT, text[:2], fin=False)  # the cut is inside a letter
        for place in range(2, len(text)):
            wire.put(PING, bytes([place]))
            wire.put(CONT, text[place : place + 1], fin=False)
            assert wire.frame() == Frame(PONG, bytes([place]))
        wire.put(CONT, b"")
        wire.put(BINARY, b"\xff\xfe", fin=False)
        wire.put(CONT, b"\xfd")
        wire.put(PING, b"")
        assert wire.frame() == Frame(PONG, b"")


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(125))])
def test_a_ping_is_answered_with_what_it_carried(server: Serving, payload: bytes) -> None:
    with server.stream() as wire:
        wire.message()
        wire.put(PONG, b"unasked")
        wire.put(PING, payload)
        assert wire.frame() == Frame(PONG, payload)


def test_a_consumer_that_is_silent_is_pinged_and_stays_while_it_answers(tmp_path: Path) -> None:
    with Serving(tmp_path) as server, server.stream() as answering, server.stream() as silent:
        for wire in (answering, silent):
            assert wire.message()["type"] == "snapshot:init"
        server.look_after("stream.ping_interval_s")
        for wire in (answering, silent):
            assert wire.frame().opcode == PING
        answering.put(PONG)
        unanswered = lambda: sum(each._pinged_s is not None for each in server.app.reader.stream.connections)  # type: ignore[attr-defined]  # noqa: E731 - asked often
        until(lambda: server.call(unanswered) == 1, "the answer is heard")
        server.look_after(seconds=2 * int(PATIENT["stream.ping_timeout_s"]))
        assert silent.ended()
        change(server)
        assert answering.until("status:update")
        assert answering.pings == 1, "who has been silent again is asked again"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        struct.pack("!H", 1000),
        struct.pack("!H", 1001) + b"leaving",
        struct.pack("!H", 3000) + "p\u00e5 gjensyn".encode(),
        struct.pack("!H", 4999),
    ],
)
def test_a_close_is_echoed_and_the_connection_ends(server: Serving, payload: bytes) -> None:
    with server.stream() as wire:
        wire.message()
        wire.put(CLOSE, payload)
        got = wire.frame()
        assert (got.opcode, got.payload[:2]) == (CLOSE, payload[:2])
        assert wire.ended()


def test_a_consumer_that_goes_without_a_word_is_forgotten(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        for _ in range(20):
            with server.stream() as wire:
                wire.message()
        with server.stream() as last:
            last.message()
            change(server)
            last.until("status:update")
            assert server.call(lambda: server.app.reader.broadcast.consumers) <= 21
        until(lambda: not server.app.reader.broadcast.consumers, "all are gone")
        assert not server.app.reader.broadcast.channels


# -- libraries ---------------------------------------------------------------------------------------------


def test_websockets_follows(server: Serving) -> None:
    address = f"ws://127.0.0.1:{server.port}/api/v1/stream?apikey={server.keys['stream']}"
    with connect(address, open_timeout=DEADLINE_S) as connection:
        assert checked(connection.recv(DEADLINE_S))["type"] == "snapshot:init"
        position = change(server)
        while (message := checked(connection.recv(DEADLINE_S)))["type"] != "status:update":
            assert message["type"] == "status:raw"
        assert message["seq"] == position
        assert connection.ping(b"x").wait(DEADLINE_S)


class Lines:
    """A program, and what it prints, line by line."""

    def __init__(self, command: Sequence[str], directory: Path) -> None:
        self._process = begin(command, cwd=directory, stdout=PIPE)
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kill(self._process)
        self._reader.join(DEADLINE_S)
        end(self._process)

    def until(self, kind: str) -> dict[str, Any]:
        """The next line of JSON with this type; others are passed over."""
        while True:
            found: dict[str, Any] = json.loads(self._lines.get(timeout=DEADLINE_S))
            if found["type"] != "close":
                checked(found)
            if found["type"] == kind:
                return found


def installed(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture(scope="module")
def node_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The consumer in JavaScript, with the library it needs from wherever npm is set up to take it."""
    npm = installed("npm")
    directory = tmp_path_factory.mktemp("node") / "consumer"
    shutil.copytree(NODE, directory)
    install(npm, "install", directory, "--no-package-lock")
    return directory


def test_npm_ws_follows_and_comes_back(tmp_path: Path, node_directory: Path) -> None:
    settings = {"server.port": free_port()}
    with Serving(tmp_path, settings) as server:
        address = f"ws://127.0.0.1:{server.port}/api/v1/stream/realtime?key={server.keys['stream']}"
        with Lines([installed("node"), "consumer.js", address], node_directory) as lines:
            assert tuple(sorted(each["uuid"] for each in lines.until("snapshot:init")["data"])) == LISTED
            position = change(server)
            assert lines.until("status:update")["seq"] == position
            server.stop()
            assert lines.until("close")["code"] == 1001
            server.start()
            assert lines.until("snapshot:init")["seq"] == position
            newest = change(server)
            assert lines.until("status:update")["seq"] == newest


def test_the_readmes_consumer_in_javascript_prints_what_happens_and_comes_back(
    tmp_path: Path, node_directory: Path
) -> None:
    with Serving(tmp_path) as server:
        code = example("const WebSocket = require", server, "README.md")
        command = [installed("node"), "-e", code]
        with program(command, cwd=node_directory, stdout=PIPE) as consumer:
            assert consumer.stdout is not None
            assert [next(consumer.stdout).split()[0] for _ in range(2)] == ["hello", "snapshot"]
            seq = change(server)
            assert any(line.startswith(f"changes {seq} ") for line in consumer.stdout)
            server.call(server.app.reader.stream.abort)
            assert any(line.startswith("snapshot ") for line in consumer.stdout)


def test_the_websocket_built_into_node_follows(server: Serving) -> None:
    node = installed("node")
    flag = "--experimental-websocket"
    help_text = run([node, "--help"], check=True).stdout
    flags = [flag] if flag in help_text else []
    if not flags and "--no-experimental-websocket" not in help_text:
        pytest.skip("this node has no WebSocket of its own")
    address = f"ws://127.0.0.1:{server.port}/api/v1/stream?key={server.keys['stream']}"
    with Lines([node, *flags, "builtin.js", address], NODE) as lines:
        assert lines.until("snapshot:init")["data"]
        position = change(server)
        assert lines.until("status:update")["seq"] == position


def test_curl_opens_the_stream_as_its_documentation_shows(server: Serving) -> None:
    headers = [f"{name}: {value}" for name, value in UPGRADE.items() if name != "Host"]
    command = [
        *(installed("curl"), "--silent", "--include", "--no-buffer", "--http1.1"),
        *(word for header in headers for word in ("--header", header)),
        *("--header", f"X-Api-Key: {server.keys['stream']}", f"{server.url}/api/v1/stream"),
    ]
    with program(command, stdout=PIPE, encoding="latin-1") as curl:
        assert curl.stdout is not None
        assert next(curl.stdout) == "HTTP/1.1 101 Switching Protocols\n"
        heard = ""
        while '{"type":"snapshot:init"' not in heard:
            piece = curl.stdout.read(1)
            assert piece, heard
            heard += piece
