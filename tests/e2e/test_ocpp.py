"""Charge points over real sockets: who may connect, what becomes of what they say, and when they are gone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.e2e.charging import FIRST, SECOND, Plugged, add, basic
from tests.e2e.serving import Serving, charge_points, tick
from tests.e2e.wire import PING, PONG, TEXT, Ended, Wire, refusal
from tests.patience import scaled, until

from ladestrom.ingest.ocpp_server import SILENT_HEARTBEATS

VERSIONS = ("ocpp1.6", "ocpp2.0.1", "ocpp2.1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    with Serving(tmp_path_factory.mktemp("ocpp"), {"ocpp.grace_s": 0}) as running:
        yield running


def evse(server: Serving, written: str) -> dict[str, Any]:
    answer = server.get(f"/api/v2/evses/{written}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def status(server: Serving, written: str) -> tuple[str, bool]:
    found = evse(server, written)
    return found["status"], bool(found["error"])


def stamp() -> str:
    at = tick()
    return f"{datetime.fromtimestamp(at // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}Z"


def told(cp: Plugged, number: int, word: str, **more: Any) -> None:
    if cp.response.headers["sec-websocket-protocol"] == "ocpp1.6":
        given = {"connectorId": number, "errorCode": "NoError", "status": word, "timestamp": stamp()}
        assert cp.call("StatusNotification", given | more) == {}
    else:
        given = {"evseId": number, "connectorId": 1, "connectorStatus": word, "timestamp": stamp()}
        assert cp.call("StatusNotification", given | more) == {}


# -- who may connect ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_the_subprotocol_that_is_offered_is_spoken(server: Serving, version: str) -> None:
    name = f"SPEAKS-{version}"
    password = add(server, name)
    with Plugged(server, name, password, version) as cp:
        assert cp.response.status == 101
        assert cp.response.headers["sec-websocket-protocol"] == version
        answer = cp.call("BootNotification", {"anything": 1})
        assert (answer["status"], answer["interval"]) == ("Accepted", 60)
        assert abs(datetime.fromisoformat(answer["currentTime"]).timestamp() - time.time()) < 10


def test_of_several_subprotocols_the_first_that_is_known_is_spoken(server: Serving) -> None:
    password = add(server, "SEVERAL")
    with Plugged(server, "SEVERAL", password, "ocpp9, ocpp2.0.1,ocpp1.6") as cp:
        assert cp.response.headers["sec-websocket-protocol"] == "ocpp2.0.1"


@pytest.mark.parametrize("offered", ["", "ocpp1.5", "soap"])
def test_without_a_subprotocol_in_common_the_handshake_is_completed_without_one_and_closed(
    server: Serving, offered: str
) -> None:
    name = f"NONE-{offered}"
    password = add(server, name)
    with Plugged(server, name, password, offered) as cp:
        assert cp.response.status == 101
        assert "sec-websocket-protocol" not in cp.response.headers
        assert cp.close_code() == 1002


def test_an_id_may_have_characters_that_are_escaped_in_the_address(server: Serving) -> None:
    password = add(server, "NO*ABC/1 å")
    with Wire(server.port) as wire:
        wire.open(
            "/ocpp/NO%2AABC%2F1%20%C3%A5",
            basic("NO*ABC/1 å", password) | {"Sec-WebSocket-Protocol": "ocpp1.6"},
        )
        assert wire.response.status == 101


@pytest.mark.parametrize("path", ["/ocpp//SLASHES", "/ocpp/SLASHES/"])
def test_a_slash_too_many_in_the_address_is_forgiven(server: Serving, path: str) -> None:
    name = "SLASHES"
    known = [each.id for each in server.write(lambda store: store.charge_points())]
    if name in known:
        server.write(lambda store: store.remove_charge_point(name))
    password = add(server, name)
    with Wire(server.port) as wire:
        wire.open(path, basic(name, password) | {"Sec-WebSocket-Protocol": "ocpp1.6"})
        assert wire.response.status == 101


def test_an_unknown_id_is_not_found(server: Serving) -> None:
    with Plugged(server, "NOBODY", "x", "ocpp1.6") as cp:
        assert refusal(cp)["status"] == 404


def test_without_its_password_nobody_is_let_in(server: Serving) -> None:
    password = add(server, "LOCKED")
    other = add(server, "OTHER")
    for headers in (
        {},
        {"Authorization": f"Bearer {password}"},
        {"Authorization": "Basic !!!"},
        basic("LOCKED", "wrong"),
        basic("LOCKED", other),
        basic("OTHER", password),
        basic("locked", password),
        basic("LOCKED", ""),
    ):
        with Wire(server.port) as wire:
            wire.open("/ocpp/LOCKED", headers | {"Sec-WebSocket-Protocol": "ocpp1.6"})
            assert refusal(wire)["status"] == 401, headers
            assert wire.response.headers["www-authenticate"].startswith("Basic ")


def test_a_password_may_come_in_hexadecimal_as_it_was_set_in_1_6(server: Serving) -> None:
    password = add(server, "HEX")
    with Plugged(server, "HEX", password.encode().hex().upper(), "ocpp1.6") as cp:
        assert cp.response.status == 101


def test_a_plain_request_is_told_to_upgrade(server: Serving) -> None:
    answer = server.get("/ocpp/CP1", key=None)
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"


def test_a_replaced_password_ends_the_connection(server: Serving) -> None:
    password = add(server, "ROTATED")
    with Plugged(server, "ROTATED", password, "ocpp1.6") as cp:
        server.write(lambda store: store.rotate_charge_point("ROTATED", bytes(32)))
        assert cp.close_code() == 4401
    with Plugged(server, "ROTATED", password, "ocpp1.6") as cp:
        assert cp.response.status == 401


def test_a_second_connection_takes_the_place_of_the_first(server: Serving) -> None:
    password = add(server, "TWICE")
    with Plugged(server, "TWICE", password, "ocpp1.6") as first:
        told(first, 1, "Charging")
        with Plugged(server, "TWICE", password, "ocpp1.6") as second:
            assert first.close_code() == 4409
            told(second, 2, "Available")
            assert status(server, FIRST) == ("CHARGING", False)
            assert status(server, SECOND) == ("AVAILABLE", False)


# -- what becomes of what they say -------------------------------------------------------------------------


def test_statuses_of_connectors_are_those_of_the_stations_evses_in_order(server: Serving) -> None:
    password = add(server, "ORDER")
    with Plugged(server, "ORDER", password, "ocpp1.6") as cp:
        told(cp, 1, "Preparing")
        told(cp, 2, "Available", errorCode="GroundFailure")
        assert status(server, FIRST) == ("CHARGING", False)
        assert status(server, SECOND) == ("AVAILABLE", True)
        assert evse(server, SECOND)["raw"] == "Available/GroundFailure"
        assert evse(server, SECOND)["source"] == "alfa"


def test_a_chosen_order_is_kept_to(server: Serving) -> None:
    password = add(server, "CHOSEN", evses={7: "no-alf-e1333-1"})
    with Plugged(server, "CHOSEN", password, "ocpp2.0.1") as cp:
        told(cp, 7, "Faulted")
        assert status(server, FIRST) == ("OUTOFORDER", True)
        told(cp, 1, "Available")
        assert status(server, FIRST) == ("OUTOFORDER", True)


def test_an_event_of_availability_is_a_status(server: Serving) -> None:
    password = add(server, "EVENTS")
    with Plugged(server, "EVENTS", password, "ocpp2.1") as cp:
        event = {
            "eventId": 1,
            "timestamp": stamp(),
            "trigger": "Delta",
            "actualValue": "Reserved",
            "eventNotificationType": "HardWiredNotification",
            "component": {"name": "Connector", "evse": {"id": 1, "connectorId": 1}},
            "variable": {"name": "AvailabilityState"},
        }
        assert cp.call("NotifyEvent", {"generatedAt": stamp(), "seqNo": 0, "eventData": [event]}) == {}
        assert status(server, FIRST) == ("RESERVED", False)


def test_what_is_answered_is_durable(server: Serving) -> None:
    password = add(server, "DURABLE")
    with Plugged(server, "DURABLE", password, "ocpp1.6") as cp:
        before = server.app.log.last.seq
        told(cp, 1, "Available")
        told(cp, 1, "Faulted")
        assert server.app.log.last.seq >= before + 1


def test_another_operators_evse_is_not_touched(server: Serving) -> None:
    password = add(server, "FOREIGN", station="SWE_00007")
    with Plugged(server, "FOREIGN", password, "ocpp1.6") as cp:
        before = status(server, "SE*BET*E7*1")
        told(cp, 1, "Faulted")
        assert status(server, "SE*BET*E7*1") == before


def test_no_token_is_ever_accepted(server: Serving) -> None:
    password = add(server, "TOKENS")
    with Plugged(server, "TOKENS", password, "ocpp1.6") as cp:
        assert cp.call("Authorize", {"idTag": "X"}) == {"idTagInfo": {"status": "Invalid"}}
        given = {"connectorId": 1, "idTag": "X", "meterStart": 0, "timestamp": stamp()}
        first = cp.call("StartTransaction", given)
        second = cp.call("StartTransaction", given)
        assert first["idTagInfo"] == second["idTagInfo"] == {"status": "Invalid"}
        assert first["transactionId"] != second["transactionId"]


def test_calls_that_are_sent_ahead_are_answered_in_their_order(server: Serving) -> None:
    password = add(server, "AHEAD")
    with Plugged(server, "AHEAD", password, "ocpp1.6") as cp:
        for number in range(200):
            cp.say([2, f"n{number}", "Heartbeat", {}])
        assert [cp.hear()[1] for _ in range(200)] == [f"n{number}" for number in range(200)]


def test_metrics_show_who_is_connected_and_what_was_refused(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        password = add(server, "COUNTED")
        with Plugged(server, "COUNTED", "wrong", "ocpp1.6") as cp:
            assert cp.response.status == 401
        with Plugged(server, "COUNTED", password, "ocpp1.6") as cp:
            cp.ask("Dance", {})
            shown = server.get("/metrics", key="admin").text.splitlines()
        assert "ladestrom_charge_points 1.0" in shown
        assert "ladestrom_charge_point_messages_total 1.0" in shown
        assert 'ladestrom_charge_point_failures_total{code="unauthenticated"} 1.0' in shown
        assert 'ladestrom_charge_point_failures_total{code="unknown_action"} 1.0' in shown


# -- when they are gone ------------------------------------------------------------------------------------


def test_the_evses_of_a_charge_point_that_is_gone_are_unknown(server: Serving) -> None:
    password = add(server, "GONE")
    with Plugged(server, "GONE", password, "ocpp1.6") as cp:
        told(cp, 1, "Available")
        told(cp, 2, "Charging")
        assert status(server, FIRST) == ("AVAILABLE", False)
    until(lambda: status(server, FIRST) == ("UNKNOWN", False), "the EVSE is unknown")
    until(lambda: status(server, SECOND) == ("UNKNOWN", False), "the EVSE is unknown")
    assert evse(server, FIRST)["status"] == "UNKNOWN"


def test_one_that_returns_is_asked_for_what_it_does_not_tell(tmp_path: Path) -> None:
    with Serving(tmp_path, {"ocpp.grace_s": 0}) as server:
        password = add(server, "BACK")
        with Plugged(server, "BACK", password, "ocpp1.6") as cp:
            told(cp, 1, "Available")
            told(cp, 2, "Charging")
        until(lambda: status(server, SECOND)[0] == "UNKNOWN", "the EVSE is unknown")
        with Plugged(server, "BACK", password, "ocpp1.6") as cp:
            told(cp, 1, "Preparing")
            whole = cp.question()
            assert whole[2:] == ["TriggerMessage", {"requestedMessage": "StatusNotification"}]
            cp.say([3, whole[1], {"status": "Rejected"}])
            second = cp.question()
            assert second[3] == {"requestedMessage": "StatusNotification", "connectorId": 2}
            cp.say([4, second[1], "NotImplemented", "", {}])
            until(lambda: status(server, SECOND) == ("CHARGING", False), "it holds what it said before")
            assert status(server, FIRST) == ("CHARGING", False)


def test_one_that_returns_within_the_grace_was_not_gone(tmp_path: Path) -> None:
    with Serving(tmp_path, {"ocpp.grace_s": 3_600}) as server:
        password = add(server, "FLAP")
        with Plugged(server, "FLAP", password, "ocpp1.6") as cp:
            told(cp, 1, "Available")
        until(lambda: charge_points(server).connected == 0, "it has left")
        before = server.app.log.last.seq
        with Plugged(server, "FLAP", password, "ocpp1.6") as cp:
            cp.call("Heartbeat", {})
            assert status(server, FIRST) == ("AVAILABLE", False)
        assert server.app.log.last.seq == before


def test_who_sends_nothing_but_pings_stays(tmp_path: Path) -> None:
    with Serving(tmp_path, {"ocpp.grace_s": 0}) as server:
        password = add(server, "PINGS")
        charge_points(server).limits = msgspec.structs.replace(charge_points(server).limits, heartbeat_s=1)
        with Plugged(server, "PINGS", password, "ocpp1.6") as cp:
            told(cp, 1, "Available")
            began_s = time.monotonic()
            while time.monotonic() < began_s + 3 * SILENT_HEARTBEATS:
                cp.put(PING, b"alive")
                while cp.frame().opcode != PONG:
                    pass
                time.sleep(0.1)
            assert status(server, FIRST) == ("AVAILABLE", False)
            with pytest.raises(Ended, match=r"^1001 "):
                cp.text()
        until(lambda: status(server, FIRST)[0] == "UNKNOWN", "the EVSE is unknown")


def test_a_charge_point_is_pinged_within_its_heartbeat(tmp_path: Path) -> None:
    with Serving(tmp_path, {"ocpp.heartbeat_s": 10}) as server:
        password = add(server, "PINGED")
        with Plugged(server, "PINGED", password, "ocpp2.0.1") as cp:
            until(lambda: cp.frame().opcode == PING, "it is pinged")
            assert charge_points(server).connected == 1


def test_a_removed_charge_point_is_cut_off_and_its_evses_are_unknown(server: Serving) -> None:
    password = add(server, "REMOVED")
    with Plugged(server, "REMOVED", password, "ocpp1.6") as cp:
        told(cp, 1, "Available")
        server.write(lambda store: store.remove_charge_point("REMOVED"))
        assert cp.close_code() == 4403
    until(lambda: status(server, FIRST)[0] == "UNKNOWN", "the EVSE is unknown")


def test_one_that_was_removed_while_we_were_down_is_unknown_when_we_start(tmp_path: Path) -> None:
    with Serving(tmp_path, {"ocpp.grace_s": 3_600, "rules.start_grace_s": 3_600}) as server:
        password = add(server, "REMOVED")
        with Plugged(server, "REMOVED", password, "ocpp1.6") as cp:
            told(cp, 1, "Available")
        until(lambda: charge_points(server).connected == 0, "it has left")
        server.stop()
        server.start()
        assert status(server, FIRST) == ("AVAILABLE", False)
        server.stop()
        server.write(lambda store: store.remove_charge_point("REMOVED"))
        server.start()
        assert status(server, FIRST)[0] == "UNKNOWN"


def test_after_our_restart_those_that_do_not_return_are_unknown(tmp_path: Path) -> None:
    settings = {"ocpp.grace_s": 3_600, "rules.start_grace_s": scaled(3)}
    with Serving(tmp_path, settings) as server:
        password = add(server, "STAYS")
        with Plugged(server, "STAYS", password, "ocpp1.6") as cp:
            told(cp, 1, "Available")
        until(lambda: charge_points(server).connected == 0, "it has left")
        server.stop()
        server.start()
        assert status(server, FIRST) == ("AVAILABLE", False)
        until(lambda: status(server, FIRST)[0] == "UNKNOWN", "the EVSE is unknown")
        (kept,) = server.write(lambda store: store.charge_points())
        assert kept.last_seen_at is not None


def test_a_stop_of_ours_takes_nobody_for_gone(tmp_path: Path) -> None:
    with Serving(tmp_path, {"ocpp.grace_s": 0}) as server:
        password = add(server, "WAITS")
        with Plugged(server, "WAITS", password, "ocpp1.6") as cp:
            told(cp, 1, "Available")
            server.stop()
            assert cp.close_code() == 1012
        server.start()
        assert status(server, FIRST) == ("AVAILABLE", False)


# -- those who do not behave -------------------------------------------------------------------------------


def test_what_cannot_be_understood_is_answered_and_costs_nothing(server: Serving) -> None:
    password = add(server, "GARBLED")
    with Plugged(server, "GARBLED", password, "ocpp1.6") as cp:
        for text in ("", "nonsense", "[]", "{}", "[2]", '[2,"a"]', "[2,null,null,null]", "[" * 5_000):
            cp.say(text)
            assert cp.hear()[0] == 4, text[:20]
        assert cp.ask("Reset", {"type": "Soft"})[1][0] == "NotSupported"
        assert cp.ask("Nonsense", {})[1][0] == "NotImplemented"
        kind, (code, *_) = cp.ask("StatusNotification", {"connectorId": -1, "status": "Available"})
        assert (kind, code) == (4, "PropertyConstraintViolation")
        cp.put(2, json.dumps([2, "b", "Heartbeat", {}]).encode())
        assert cp.hear()[:2] == [3, "b"]


def test_a_message_that_is_too_large_ends_the_connection(server: Serving) -> None:
    password = add(server, "LARGE")
    with Plugged(server, "LARGE", password, "ocpp1.6") as cp:
        cp.say([2, "x", "DataTransfer", {"data": "x" * 300_000}])
        assert cp.close_code() == 1009


def test_too_many_messages_end_the_connection(tmp_path: Path) -> None:
    with Serving(tmp_path, {"ocpp.messages_per_minute_max": 10}) as server:
        password = add(server, "FAST")
        with Plugged(server, "FAST", password, "ocpp1.6") as cp:
            for number in range(11):
                cp.say([2, str(number), "Heartbeat", {}])
            assert [cp.hear()[0] for _ in range(10)] == [3] * 10
            assert cp.close_code() == 4129


def test_over_the_limit_of_connections_others_wait(tmp_path: Path) -> None:
    with Serving(tmp_path, {"ocpp.connections_max": 1}) as server:
        first, second = add(server, "ONE"), add(server, "TWO")
        with Plugged(server, "ONE", first, "ocpp1.6"):
            with Plugged(server, "TWO", second, "ocpp1.6") as cp:
                assert refusal(cp)["status"] == 503
                assert int(cp.response.headers["retry-after"]) > 0
            with Plugged(server, "ONE", first, "ocpp1.6") as again:
                assert again.response.status == 101


def test_one_that_ends_in_the_middle_costs_itself_only(server: Serving) -> None:
    password = add(server, "RUDE")
    for _ in range(20):
        with Plugged(server, "RUDE", password, "ocpp1.6") as cp:
            cp.say([2, "x", "StatusNotification", {"connectorId": 1, "status": "Available"}])
    with Plugged(server, "RUDE", password, "ocpp1.6") as cp:
        assert cp.call("Heartbeat", {})
        cp.put(TEXT, b"\xff\xfe")
        with pytest.raises(Ended):
            cp.text()
