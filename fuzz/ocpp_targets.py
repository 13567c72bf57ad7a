"""Fuzz targets of OCPP: whatever a charge point says, every call is answered, and nothing else is.

Input is one frame a line; an empty line lets time pass. The tests drive the targets with Hypothesis. With
atheris installed, `python fuzz/ocpp_targets.py ocpp1.6 CORPUS` fuzzes one of them.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ladestrom.core.rules import EARLIEST_AT
from ladestrom.model import Connector, Evse, Outlet, Station
from ladestrom.protocols.delivery import ID_CHARACTERS_MAX, RAW_CHARACTERS_MAX
from ladestrom.protocols.ocpp import DIALECTS, RESULT_MS_MAX, Conversation, Outcome
from ladestrom.protocols.ocpp_frames import DESCRIPTION_CHARACTERS_MAX, Dialect
from ladestrom.protocols.ocpp_points import Points, layout

NOW: Final = 1_795_000_000_000
SKEW_MS: Final = 300_000
PLUG: Final = Connector("IEC_62196_T2", 22.0)
PLACE: Final = Station(
    uuid="NOR_00001",
    name="Station",
    country="NOR",
    latitude=59.9,
    longitude=10.7,
    evses=tuple(Evse(f"NOABCE{number}", "NOR_00001") for number in range(3)),
    outlets=tuple(Outlet(number, PLUG) for number in (0, 1, 1, 2)),
)


def fuzz(dialect: Dialect, data: bytes) -> None:
    """One connection."""
    points = Points("abc", layout(PLACE, {}))
    talk = Conversation(dialect, points, 60, NOW)
    now = NOW
    open_calls: set[str] = set()
    for line in data.split(b"\n"):
        if line:
            outcome = talk.receive(line, now)
            _check_answer(dialect, line, outcome)
        else:
            now += RESULT_MS_MAX
            outcome = talk.wake(now)
        _check_reports(outcome)
        if outcome.call is not None:
            kind, name, action, payload = json.loads(outcome.call)
            assert (kind, action) == (2, "TriggerMessage")
            assert payload["requestedMessage"] == "StatusNotification"
            assert name not in open_calls
            open_calls.add(name)
        assert talk.due_at is None or talk.due_at <= now + RESULT_MS_MAX
    _check_reports(Outcome(points.restated()))


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    dialect.subprotocol: partial(fuzz, dialect) for dialect in DIALECTS
}


def _check_answer(dialect: Dialect, line: bytes, outcome: Outcome) -> None:
    frame = _frame(line)
    if outcome.answer is None:
        # What cannot be read at all may have been a call; what is none needs no answer.
        assert isinstance(frame, list)
        assert frame
        assert frame[0] != 2
        return
    answer = json.loads(outcome.answer)
    assert answer[0] in {3, 4, 5}
    if isinstance(frame, list) and len(frame) > 1 and isinstance(frame[1], str):
        assert answer[1] in {frame[1], "-1"}
    if answer[0] == 3:
        assert isinstance(answer[2], dict)
        assert len(answer) == 3
    else:
        assert answer[2] in dialect.words.values()
        assert len(answer[3]) <= DESCRIPTION_CHARACTERS_MAX
        assert answer[4] == {}
        assert len(answer) == 5
    if outcome.instead is not None:
        assert json.loads(outcome.instead)[0] == 4


BLANKS = bytes.maketrans(bytes(range(0x20)), b" " * 0x20)


def _frame(line: bytes) -> Any:
    try:
        # JSON has no control characters in texts. Some writers have: NULs are left out, others are blanks.
        text = line.replace(b"\0", b"").translate(BLANKS).decode(errors="replace")
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _check_reports(outcome: Outcome) -> None:
    if outcome.delivery is None:
        return
    keys = {evse.key for evse in PLACE.evses}
    for report in outcome.delivery.reports:
        assert report.evse in keys
        assert report.observed_at is None or report.observed_at >= EARLIEST_AT
        assert len(report.raw) <= RAW_CHARACTERS_MAX + ID_CHARACTERS_MAX
    places = [refusal.index for refusal in outcome.delivery.refused]
    assert len(places) == len(set(places))


def main() -> None:
    """Fuzzes the target named first on the command line with atheris; what follows is for atheris."""
    atheris = importlib.import_module("atheris")
    target = TARGETS[sys.argv.pop(1)]
    atheris.instrument_all()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
