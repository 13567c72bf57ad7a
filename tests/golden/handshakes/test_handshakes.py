"""What clients of the world send to open a stream, byte for byte as each was heard to send it.

`CLIENT_STREAM.txt` is one request's head. Its words in braces stand for what differs each time: {host} of the
server, {origin} of the page, {key}, {ticket}, and {nonce}, the value of `Sec-WebSocket-Key`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.contracts.frames import checked
from tests.e2e.following import Events, flip
from tests.e2e.serving import Serving
from tests.e2e.wire import HANDSHAKE_ACCEPT, HANDSHAKE_KEY, Wire

SAMPLES: Final = sorted(Path(__file__).parent.glob("*.txt"))
ORIGIN: Final = "https://map.example"
WEBSOCKETS: Final = [path for path in SAMPLES if not path.stem.endswith("_events")]
EVENTS: Final = [path for path in SAMPLES if path.stem.endswith("_events")]


def name(path: Path) -> str:
    return path.stem


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that admits pages of one other host."""
    with Serving(tmp_path_factory.mktemp("handshakes"), {"server.origins": [ORIGIN]}) as running:
        yield running


def head(server: Serving, path: Path) -> bytes:
    """The request that a sample shows, for this server."""
    asked = server.request("POST", "/api/v2/tickets", headers={**server.bearer(), "Origin": ORIGIN})
    words = {
        "host": f"127.0.0.1:{server.port}",
        "origin": ORIGIN,
        "key": server.keys["stream"],
        "ticket": asked.json()["ticket"],
        "nonce": HANDSHAKE_KEY,
    }
    text = path.read_text(encoding="ascii")
    for word, value in words.items():
        text = text.replace(f"{{{word}}}", value)
    assert "{" not in text
    return text.replace("\n", "\r\n").encode() + b"\r\n"


def test_every_client_is_there() -> None:
    assert {path.stem.rpartition("_")[0] for path in WEBSOCKETS} >= {
        "aiohttp",
        "chromium",
        "curl",
        "firefox",
        "npm_ws",
        "websockets",
    }
    assert {path.stem.rpartition("_")[0] for path in EVENTS} >= {"chromium", "curl", "firefox"}


@pytest.mark.parametrize("path", WEBSOCKETS, ids=name)
@pytest.mark.parametrize("piece_bytes", [1, 65_536])
def test_what_a_client_sends_opens_its_stream(server: Serving, path: Path, piece_bytes: int) -> None:
    sent = head(server, path)
    offers_deflate = b"permessage-deflate" in sent
    with Wire(server.port) as wire:
        for place in range(0, len(sent), piece_bytes):
            wire.send(sent[place : place + piece_bytes])
        answered = wire.upgraded().response
        assert answered.status == 101, wire.buffer
        assert answered.headers["sec-websocket-accept"] == HANDSHAKE_ACCEPT
        assert ("sec-websocket-extensions" in answered.headers) is offers_deflate
        first, change = ("snapshot:init", "status:update") if "_v1" in path.stem else ("hello", "changes")
        frame = wire.frame()
        assert frame.compressed is offers_deflate
        assert checked(wire.unpack(frame) if frame.compressed else frame.payload)["type"] == first
        seq = flip(server)
        while (told := checked(wire.text()))["type"] != change:
            pass
        assert told["seq"] == seq


@pytest.mark.parametrize("path", EVENTS, ids=name)
@pytest.mark.parametrize("piece_bytes", [1, 65_536])
def test_what_a_client_sends_opens_its_events(server: Serving, path: Path, piece_bytes: int) -> None:
    sent = head(server, path)
    with Events(server.port) as events:
        for place in range(0, len(sent), piece_bytes):
            events.send(sent[place : place + piece_bytes])
        answered = events.begun().response
        assert answered.status == 200, events.buffer
        assert answered.headers["content-type"] == "text/event-stream"
        assert "content-encoding" not in answered.headers, "each event has to come at once"
        assert answered.headers["access-control-allow-origin"] == "*"
        assert taken(events, "hello")["server"].startswith("ladestrom/")
        seq = flip(server)
        assert taken(events, "changes")["seq"] == seq


def taken(events: Events, kind: str) -> dict[str, Any]:
    """The next event of this type, as the contract has it."""
    while (event := events.event()).kind != kind:
        pass
    return checked(json.loads(event.data))
