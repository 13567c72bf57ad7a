"""A short campaign of kills; `bench/crash.py` is the long one."""

from __future__ import annotations

from pathlib import Path

from bench.crash import campaign

EVSES = 400
LIVES_S = (0.2, 1.5, 0.2)
"""The first life ends before a checkpoint, the second after its own: what only the first was told has to be
in the third all the same."""


def test_nothing_acknowledged_is_lost_and_no_number_is_used_twice_when_the_server_is_killed(
    tmp_path: Path,
) -> None:
    result = campaign(tmp_path, LIVES_S, seed=1, evses=EVSES, lanes=4, batch=20)
    assert result.wrongs == ()
    assert result.kills == len(LIVES_S) + 1
    assert result.sent > EVSES, "more than what was sent before the first kill"
    assert result.resumes >= 1
