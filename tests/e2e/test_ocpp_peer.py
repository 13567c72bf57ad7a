"""A charge point that is not ours drives a running server, and holds what it is told against the schemas.

LADESTROM_TEST_OCPP names the Python of an environment that has the packages `ocpp` and `websockets`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.building import NOW, make_station
from tests.e2e.charging import FIRST, SECOND, add
from tests.e2e.serving import Serving
from tests.patience import DEADLINE_S, until
from tests.programs import PIPE, program, run

from ladestrom.protocols.ocpp import DIALECTS, Conversation
from ladestrom.protocols.ocpp_frames import Dialect
from ladestrom.protocols.ocpp_points import WHOLE, Points, layout

PYTHON = os.environ.get("LADESTROM_TEST_OCPP")
PEER: Final = Path(__file__).parent / "peers" / "ocpp_peer.py"
VERSIONS: Final = {dialect.subprotocol.removeprefix("ocpp"): dialect for dialect in DIALECTS}

pytestmark = pytest.mark.skipif(
    PYTHON is None, reason="no peer of OCPP here: LADESTROM_TEST_OCPP names no Python that has it"
)


def python() -> str:
    assert PYTHON is not None
    return PYTHON


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path, {"ocpp.grace_s": 0}) as running:
        yield running


def status(server: Serving, written: str) -> tuple[str, bool]:
    found = server.get(f"/api/v2/evses/{written}").json()
    return found["status"], bool(found["error"])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_charge_point_that_is_not_ours_goes_through_its_day(server: Serving, version: str) -> None:
    password = add(server, "PEER")
    address = server.url.replace("http", "ws")
    arguments = [python(), str(PEER), "drive", address, "PEER", password, version, str(DEADLINE_S)]
    with program(arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE) as peer:
        assert peer.stdout is not None
        line = peer.stdout.readline()
        if not line:
            _, errors = peer.communicate(timeout=DEADLINE_S)
            pytest.fail(errors)
        found = json.loads(line)
        assert status(server, FIRST) == ("AVAILABLE", True)
        assert status(server, SECOND) == ("CHARGING", False)
        _, errors = peer.communicate(timeout=DEADLINE_S)
        assert peer.returncode == 0, errors
    until(lambda: status(server, FIRST) == ("UNKNOWN", False), "the EVSE is unknown")
    assert found["subprotocol"] == f"ocpp{version}"
    told = dict(found["told"])
    assert told["BootNotification"]["status"] == "Accepted"
    assert told["BootNotification"]["interval"] == 60
    info = "id_tag_info" if version == "1.6" else "id_token_info"
    assert told["Authorize"][info]["status"] == "Invalid"
    assert told["StatusNotification"] == {}
    assert len(told) >= 14
    assert len(found["asked"]) >= 1


def said(dialect: Dialect) -> Iterator[list[Any]]:
    """Every result and every call that we ever send in this version."""
    version = dialect.subprotocol.removeprefix("ocpp")
    point = Points("abc", layout(make_station("NOR_00001", evses=2), {}))
    for action in dialect.actions:
        talk = Conversation(dialect, point, 60, NOW)
        payload = {
            "connectorId": 1,
            "status": "Available",
            "evseId": 1,
            "connectorStatus": "Available",
            "eventData": [],
            "idToken": {"idToken": "x", "type": "ISO14443"},
        }
        outcome = talk.receive(json.dumps([2, "x", action, payload]), NOW)
        kind, _, result = json.loads(outcome.answer or "")
        assert kind == 3
        yield [version, "result", action, result]
    for where in ((1, 1), (2, 3), *([(WHOLE, WHOLE)] if dialect.by_number else [])):
        yield [version, "call", "TriggerMessage", json.loads(dialect.trigger(where))]


def test_everything_that_we_say_is_as_the_schemas_want_it() -> None:
    lines = [json.dumps(line) for dialect in DIALECTS for line in said(dialect)]
    assert len(lines) > 70
    found = run([python(), PEER, "validate"], input="\n".join(lines))
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout == ""
