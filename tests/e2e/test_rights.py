"""Rights that are taken away end at once, wherever somebody holds on to them: open connections, bodies that are
still on their way, and what is handed in while the registry is being taken.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.charging import Plugged, add
from tests.e2e.serving import Serving, evse, now, station, tick
from tests.e2e.wire import TEXT, Wire, request
from tests.patience import until

from ladestrom.core.access import operator_from
from ladestrom.ingest.ocpi_peers import digest, new_token
from ladestrom.model import Operator
from ladestrom.ports.peers import Peer
from ladestrom.writer.hub import Decision

E1 = "NO*ALF*E1333*1"
SWEDISH = "SE*BET*E7*1"
SOCKET = "/api/v2/reports/stream"
REPORTS = "/api/v2/reports"
ALFA = operator_from("alfa", parties=["NO*ALF"])
NOTHING_OF_NORWAY = operator_from("alfa", parties=["SE*BET"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path, {"ocpi.peers": "any"}) as running:
        yield running


def item(status: str, evse_id: str = E1) -> dict[str, Any]:
    return {"evse": evse_id, "status": status, "observed_at": tick()}


def give(server: Serving, operator: Operator) -> None:
    """Replaces what an operator may, and waits until the server knows it."""
    server.write(lambda store: store.put_operator(operator, now()))
    server.in_step()


def reasons(receipt: dict[str, Any]) -> list[str]:
    return [each["reason"] for each in receipt["refused"]]


class Slow:
    """A request whose body is held back."""

    def __init__(self, server: Serving, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.wire = Wire(server.port)
        self._body = body
        head = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **headers}
        self.wire.send(request(path, head, method) + body[:1])

    def answer(self) -> tuple[int, dict[str, Any]]:
        """Sends the rest."""
        with self.wire as wire:
            wire.send(self._body[1:])
            head, body = wire.answer()
        return head.status, json.loads(body)


def test_an_open_report_socket_has_the_rights_that_its_operator_has_now(server: Serving) -> None:
    with Wire(server.port) as wire:
        wire.open(SOCKET, server.bearer("alfa"))
        wire.put(TEXT, json.dumps(item("CHARGING")).encode())
        assert reasons(wire.message()) == []
        give(server, NOTHING_OF_NORWAY)
        wire.put(TEXT, json.dumps([item("AVAILABLE"), item("CHARGING", SWEDISH)]).encode())
        receipt = wire.message()
        assert (receipt["accepted"], reasons(receipt)) == (1, ["not_allowed"])
    assert server.settled()[0]["NOR_01333"]["connectors"][0]["status"] == 1


def test_a_key_that_is_revoked_while_the_body_is_on_its_way_is_refused(server: Serving) -> None:
    server.make_key("soon revoked", ["report"], operator="alfa")
    headers = server.bearer("soon revoked")
    slow = Slow(server, "POST", REPORTS, headers, json.dumps(item("CHARGING")).encode())
    server.revoke("soon revoked")
    server.in_step()
    status, problem = slow.answer()
    assert (status, problem["code"]) == (401, "unauthenticated")


def test_a_receipt_is_not_given_again_to_a_key_that_was_revoked_meanwhile(server: Serving) -> None:
    server.make_key("soon revoked", ["report"], operator="alfa")
    body = json.dumps(item("CHARGING")).encode()
    named = {"Idempotency-Key": "once"}
    assert server.post(body, headers=named).json()["accepted"] == 1
    slow = Slow(server, "POST", REPORTS, {**server.bearer("soon revoked"), **named}, body)
    server.revoke("soon revoked")
    server.in_step()
    assert slow.answer()[0] == 401


def test_a_token_of_ocpi_that_is_taken_back_while_the_body_is_on_its_way_is_refused(server: Serving) -> None:
    token = new_token()
    peer = Peer(id="peer", operator="alfa", state="fixed", token_sha256=digest(token), made_at=now())
    server.write(lambda store: store.peers.put(peer))
    server.in_step()
    location = {
        "id": "L1",
        "evses": [{"uid": "1", "evse_id": E1, "status": "CHARGING", "last_updated": "2026-01-01T00:00:00Z"}],
        "last_updated": "2026-01-01T00:00:00Z",
    }
    headers = {"Authorization": f"Token {base64.b64encode(token.encode()).decode()}"}
    path = "/ocpi/2.2.1/locations/NO/ALF/L1"
    slow = Slow(server, "PUT", path, headers, json.dumps(location).encode())
    server.write(lambda store: store.peers.drop("peer"))
    server.in_step()
    status, told = slow.answer()
    assert (status, told["status_code"]) == (401, 2000)
    assert server.settled()[0]["NOR_01333"]["connectors"][0]["status"] == -1


def test_rights_end_at_once_though_the_registry_waits_for_the_log(server: Serving) -> None:
    server.make_key("soon revoked", ["report"], operator="alfa")
    password = add(server, "CP1")
    held = server.call(asyncio.Event)
    waiting: list[object] = []
    decide = server.app.writer.hub.decide

    async def waits(make: Decision, *, is_alone: bool = False) -> int:
        if is_alone:
            waiting.append(make)
            await held.wait()
        return await decide(make, is_alone=is_alone)

    server.app.writer.hub.decide = waits  # type: ignore[method-assign]
    try:
        with Plugged(server, "CP1", password, "ocpp1.6") as charge_point:
            server.import_stations(
                [station("NOR_07777", "NOR", (10.0, 60.0), [evse("NO*ALF*E7777", party="NOALF")])],
                complete=False,
            )
            until(lambda: bool(waiting), "the registry is being taken")
            server.revoke("soon revoked")
            server.write(lambda store: store.remove_charge_point("CP1"))
            until(
                lambda: server.post(item("CHARGING"), key="soon revoked").status_code == 401, "it is refused"
            )
            assert charge_point.close_code() == 4403
    finally:
        server.call(held.set)
    server.in_step()
    assert server.report(item("CHARGING", "NO*ALF*E7777"))["refused"] == []
