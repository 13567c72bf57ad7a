"""Whatever a charge point says: a call is answered, a status is one of its EVSEs', and the end is the newest."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import NOW, make_station

from ladestrom.protocols.ocpp import DIALECTS, Conversation
from ladestrom.protocols.ocpp2 import ACTIONS_21
from ladestrom.protocols.ocpp16 import ACTIONS, OCPP_16, STATUSES
from ladestrom.protocols.ocpp_frames import written
from ladestrom.protocols.ocpp_points import Points, layout

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "ocpp"


def load_targets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ocpp_targets", ROOT / "fuzz" / "ocpp_targets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TARGETS: dict[str, Callable[[bytes], None]] = load_targets().TARGETS
VERSIONS = [dialect.subprotocol for dialect in DIALECTS]
FRAMES = sorted(
    {
        line.encode()
        for path in GOLDEN.glob("*.txt")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("[")
    }
)
WORDS = st.sampled_from(
    [
        *STATUSES,
        "Occupied",
        "AvailabilityState",
        "Problem",
        "Connector",
        "EVSE",
        "true",
        "NoError",
        "",
        "x" * 300,
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**310)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | WORDS
)
NAMES = st.sampled_from(
    [
        "connectorId",
        "status",
        "errorCode",
        "timestamp",
        "evseId",
        "connectorStatus",
        "eventData",
        "component",
        "variable",
        "name",
        "evse",
        "id",
        "actualValue",
        "cleared",
        "idToken",
    ]
) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=12,
)
ACTION = st.sampled_from([*ACTIONS, *ACTIONS_21, "Reset", "TriggerMessage"]) | st.text(max_size=10)
CALLS = st.tuples(st.just(2), st.text(max_size=40) | SCALARS, ACTION, VALUES).map(list)
MESSAGES = CALLS | st.lists(SCALARS | VALUES, max_size=6)


def encoded(message: Any) -> bytes:
    return json.dumps(message).encode()


@pytest.mark.parametrize("version", VERSIONS)
@given(messages=st.lists(MESSAGES.map(encoded), max_size=6))
def test_any_json_array_is_borne_and_any_call_is_answered(version: str, messages: list[bytes]) -> None:
    TARGETS[version](b"\n".join(messages))


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_borne(version: str, data: bytes) -> None:
    TARGETS[version](data)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("odd", [b"\0", b"\x01", b"\t"])
def test_a_frame_with_a_control_character_in_its_id_is_answered_by_the_id_without(
    version: str, odd: bytes
) -> None:
    (frame,) = [each for each in FRAMES if b"BootNotification" in each][:1]
    TARGETS[version](frame.replace(b'[2,"', b'[2,"' + odd, 1))


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
def test_a_frame_with_some_bytes_wrong_is_borne(version: str, data: st.DataObject) -> None:
    lines = []
    for _ in range(data.draw(st.integers(1, 5))):
        frame = bytearray(data.draw(st.sampled_from([b"", *FRAMES])))
        for _ in range(data.draw(st.integers(0, 3)) if frame else 0):
            place = data.draw(st.integers(0, len(frame) - 1))
            if data.draw(st.booleans()):
                del frame[place : place + data.draw(st.integers(1, 30))]
            else:
                frame[place : place + 1] = data.draw(st.binary(max_size=4))
            if not frame:
                break
        lines.append(bytes(frame))
    TARGETS[version](b"\n".join(lines))


@given(
    told=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(sorted(STATUSES)), st.integers(-3, 3)), max_size=25
    )
)
def test_what_is_told_in_order_ends_with_what_was_told_last(told: list[tuple[int, str, int]]) -> None:
    """Whatever the instants: clocks stand still, go back, and are missing."""
    points = Points("abc", layout(make_station("NOR_00001", evses=3), {}))
    talk = Conversation(OCPP_16, points, 60, NOW)
    own: dict[int, str] = {}
    board: dict[str, str] = {}
    for number, word, later in told:
        payload = {"connectorId": number, "status": word, "errorCode": "NoError"}
        if later:
            payload["timestamp"] = written(NOW + later * 1_000)
        outcome = talk.receive(json.dumps([2, "x", "StatusNotification", payload]), NOW)
        own[number] = word
        for report in outcome.delivery.reports if outcome.delivery else []:
            assert report.observed_at == (NOW + later * 1_000 if later else None)
            board[report.evse] = report.status
    over = own.get(0, "Available")
    for number, key in points.layout.evses.items():
        if over in {"Faulted", "Unavailable"}:
            assert board[key] == STATUSES[over]
        elif number in own:
            assert board[key] == STATUSES[own[number]]
