"""Messages in, reports out, line by line. `UPDATE_GOLDEN=1` writes what comes out as what is expected."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ladestrom.errors import LadestromError
from ladestrom.protocols import _blueprint, ladestrom_stream, nobil_realtime, nobil_stream
from ladestrom.protocols.delivery import Delivery, ParseLimits

HERE = Path(__file__).parent
SAMPLES = sorted(HERE.glob("*.jsonl"))
LIMITS = ParseLimits(items_max=4)

READERS: dict[str, Callable[[bytes], Delivery]] = {
    "blueprint": lambda frame: _blueprint.read(frame, "abc", LIMITS)[0],
    "ladestrom_stream": lambda frame: ladestrom_stream.receive(frame, "abc", LIMITS),
    "nobil_realtime": lambda frame: nobil_realtime.receive(frame, "abc", LIMITS),
    "nobil_stream": lambda frame: nobil_stream.receive(frame, "abc", LIMITS),
}


def told(name: str, line: bytes) -> dict[str, object]:
    try:
        delivery = READERS[name](line)
    except LadestromError as error:
        return {"error": error.code}
    return {
        "complete": delivery.complete,
        "unknown": delivery.unknown,
        "reports": [
            [
                report.evse,
                report.status,
                report.error,
                "received" if report.observed_at is None else report.observed_at,
                report.raw,
            ]
            for report in delivery.reports
        ],
        "refused": [[refusal.index, refusal.reason, refusal.detail] for refusal in delivery.refused],
    }


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_message_gives_these_reports(path: Path) -> None:
    name = path.name.partition("-")[0]
    found = [told(name, line) for line in path.read_bytes().splitlines()]
    text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in found)
    expected = path.with_suffix(".out")
    if os.environ.get("UPDATE_GOLDEN") == "1":
        expected.write_text(text)
    assert text == expected.read_text()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobil_realtime", b"[%s]" % b",".join([b'{"evseUId":"x","status":"AVAILABLE"}'] * 5)),
        (
            "nobil_stream",
            b'{"type":"status:update","data":{"uuid":"NOR_00001","connectors":[%s]}}'
            % b",".join([b'{"status":0,"error":0,"timestamp":1}'] * 5),
        ),
        (
            "ladestrom_stream",
            b'{"type":"changes","changes":[%s]}' % b",".join([b'{"evse":"x","status":"AVAILABLE"}'] * 5),
        ),
        ("blueprint", b'{"points":[1,2,3,4,5]}'),
    ],
)
def test_a_message_with_more_than_is_taken_is_refused_as_a_whole(name: str, message: bytes) -> None:
    assert told(name, message) == {"error": "too_large"}
