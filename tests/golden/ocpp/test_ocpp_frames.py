"""What charge points say, what they are told, and what is reported of it.

A sample's first line is the version and the station; then a frame a line, as it stands on the wire, or
`wake N`: so many milliseconds later. `UPDATE_GOLDEN=1` writes what comes out as what is expected.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest
from tests.building import NOW, make_station

from ladestrom.protocols.ocpp import Conversation, Outcome, agreed
from ladestrom.protocols.ocpp_points import Points, layout

HERE = Path(__file__).parent
SAMPLES = sorted(HERE.glob("*.txt"))


def shown(outcome: Outcome) -> list[str]:
    lines = []
    if outcome.delivery is not None:
        for report in outcome.delivery.reports:
            told = msgspec.to_builtins(report)
            observed = "now" if report.observed_at is None else f"{report.observed_at - NOW:+d}"
            lines.append(
                f"  report {told['evse']} {told['status']} error={int(told['error'])} "
                f"observed={observed} raw={told['raw']!r}"
            )
        lines += [f"  refuse {each.reason.value}: {each.detail}" for each in outcome.delivery.refused]
    lines += [f"  answer {text}" for text in (outcome.answer,) if text is not None]
    lines += [f"  ask {text}" for text in (outcome.call,) if text is not None]
    return lines or ["  nothing"]


def played(path: Path) -> str:
    head, *frames = path.read_text(encoding="utf-8").splitlines()
    version, *members = head.split()
    sizes = {name: int(value) for name, value in (member.split("=") for member in members)}
    dialect = agreed([version])
    assert dialect is not None
    points = Points("abc", layout(make_station("NOR_00001", **sizes), {}))
    talk = Conversation(dialect, points, 60, NOW)
    now = NOW
    lines = []
    for frame in frames:
        lines.append(frame)
        if frame.startswith("wake "):
            now += int(frame.removeprefix("wake "))
            lines += shown(talk.wake(now))
        else:
            lines += shown(talk.receive(frame, now))
    return "\n".join([head, *lines, ""])


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_these_frames_are_answered_and_reported_so(path: Path) -> None:
    expected = path.with_suffix(".out")
    if os.environ.get("UPDATE_GOLDEN") == "1":
        expected.write_text(played(path), encoding="utf-8")
    assert played(path) == expected.read_text(encoding="utf-8")


def test_every_answer_is_one_frame() -> None:
    for path in SAMPLES:
        for line in played(path).splitlines():
            if line.startswith(("  answer ", "  ask ")):
                assert json.loads(line.split(" ", 3)[3])[0] in {2, 3, 4, 5}
