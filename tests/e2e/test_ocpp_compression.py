"""Charge points that compress (RFC 7692), and messages that are too large however they come."""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Iterator
from typing import Any, Final

import pytest
from tests.e2e.charging import FIRST, Plugged, add, basic
from tests.e2e.serving import Serving
from tests.e2e.wire import CONT, TEXT
from tests.patience import DEADLINE_S
from websockets.exceptions import ConnectionClosedError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from ladestrom.server.websocket import DEFLATE

RSV1: Final = 4
KIB: Final = 1024
MESSAGE_BYTES_MAX: Final = 256 * KIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("compression"), {"ocpp.grace_s": 0}) as running:
        yield running


def extensions(cp: Plugged) -> str:
    return cp.response.headers.get("sec-websocket-extensions", "")


def call(number: int, data: str = "") -> bytes:
    return json.dumps([2, str(number), "DataTransfer", {"vendorId": "x", "data": data}]).encode()


def packed(content: bytes, *, packer: Any = None) -> bytes:
    """Content as it stands in a frame."""
    made = packer or zlib.compressobj(9, wbits=-15)
    return (made.compress(content) + made.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


@pytest.mark.parametrize("version", ["ocpp2.0.1", "ocpp2.1"])
@pytest.mark.parametrize(
    "offer",
    [
        ClientPerMessageDeflateFactory(),
        ClientPerMessageDeflateFactory(client_max_window_bits=None),
        ClientPerMessageDeflateFactory(client_max_window_bits=9),
        ClientPerMessageDeflateFactory(client_no_context_takeover=True),
    ],
    ids=["usual", "no smaller window", "small window", "no context"],
)
def test_a_client_that_offers_compression_gets_it(
    server: Serving, version: str, offer: ClientPerMessageDeflateFactory
) -> None:
    name = f"PACKS-{secrets.token_hex(4)}"
    password = add(server, name)
    with connect(
        f"ws://127.0.0.1:{server.port}/ocpp/{name}",
        subprotocols=[Subprotocol(version)],
        additional_headers=basic(name, password),
        extensions=[offer],
        open_timeout=DEADLINE_S,
    ) as cp:
        assert [each.name for each in cp.protocol.extensions] == ["permessage-deflate"]
        for number, word in enumerate(["Occupied", "Available", "Occupied"]):
            payload = {"evseId": 1, "connectorId": 1, "connectorStatus": word, "timestamp": "x" * 50_000}
            cp.send(json.dumps([2, str(number), "StatusNotification", payload]))
            while (answer := json.loads(cp.recv(DEADLINE_S)))[0] == 2:
                # The server asks for statuses.
                pass
            assert answer == [3, str(number), {}]
        assert server.get(f"/api/v2/evses/{FIRST}").json()["raw"] == "Occupied"


@pytest.mark.parametrize(
    ("version", "offer", "answer"),
    [
        ("ocpp1.6", "permessage-deflate", ""),
        ("ocpp1.6", ";;", ""),
        ("ocpp2.0.1", "", ""),
        ("ocpp2.0.1", ";;", ""),
        ("ocpp2.0.1", "x-webkit-deflate-frame", ""),
        ("ocpp2.0.1", "permessage-deflate", "permessage-deflate; server_no_context_takeover"),
        (
            "ocpp2.1",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=12",
        ),
    ],
)
def test_what_is_agreed_on_bounds_what_a_connection_keeps(
    server: Serving, version: str, offer: str, answer: str
) -> None:
    name = f"AGREES-{secrets.token_hex(4)}"
    password = add(server, name)
    with Plugged(server, name, password, version, offered=offer) as cp:
        assert cp.response.status == 101
        assert extensions(cp) == answer
        assert "currentTime" in cp.call("Heartbeat", {})


def test_nothing_is_kept_of_what_the_server_sends() -> None:
    _, agreed = DEFLATE.process_request_params([], [])
    assert not hasattr(agreed, "encoder")


def test_a_message_that_unpacks_to_too_much_is_refused(server: Serving) -> None:
    password = add(server, "BOMB")
    bomb = packed(b" " * (64 * KIB * KIB))
    assert len(bomb) < MESSAGE_BYTES_MAX
    with Plugged(server, "BOMB", password, "ocpp2.0.1", offered="permessage-deflate") as cp:
        cp.put(TEXT, packed(call(1, "x" * 200 * KIB)), rsv=RSV1)
        assert cp.hear()[:2] == [3, "1"]
        cp.put(TEXT, bomb, rsv=RSV1)
        assert cp.close_code() == 1009


def test_fragments_that_together_unpack_to_too_much_are_refused(server: Serving) -> None:
    password = add(server, "BOMBS")
    with Plugged(server, "BOMBS", password, "ocpp2.1", offered="permessage-deflate") as cp:
        packer = zlib.compressobj(9, wbits=-15)
        for number in range(5):
            opcode, rsv = (CONT, 0) if number else (TEXT, RSV1)
            part = packer.compress(b" " * 60 * KIB) + packer.flush(zlib.Z_SYNC_FLUSH)
            cp.put(opcode, part, fin=False, rsv=rsv)
        assert cp.close_code() == 1009


@pytest.mark.parametrize("version", ["ocpp1.6", "ocpp2.0.1"])
def test_the_limit_of_a_message_is_that_of_its_fragments_together(server: Serving, version: str) -> None:
    name = f"PIECES-{version}"
    password = add(server, name)
    message = call(1)
    fits = message[:-1] + b" " * (MESSAGE_BYTES_MAX - len(message)) + message[-1:]
    with Plugged(server, name, password, version) as cp:
        cp.put(TEXT, fits[: 100 * KIB], fin=False)
        cp.put(CONT, fits[100 * KIB :])
        assert cp.hear()[:2] == [3, "1"]
        cp.put(TEXT, fits[: 200 * KIB], fin=False)
        # More than what is left: refused before it is there.
        cp.put(CONT, fits[: 57 * KIB], fin=False)
        assert cp.close_code() == 1009


def test_a_frame_that_says_it_is_too_large_is_refused_at_once_and_hears_why(server: Serving) -> None:
    password = add(server, "HUGE")
    with connect(
        f"ws://127.0.0.1:{server.port}/ocpp/HUGE",
        subprotocols=[Subprotocol("ocpp2.0.1")],
        additional_headers=basic("HUGE", password),
        compression=None,
    ) as cp:
        cp.send("x" * 7 * KIB * KIB)
        with pytest.raises(ConnectionClosedError) as closed:
            cp.recv(DEADLINE_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
