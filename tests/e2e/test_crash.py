"""A short campaign of kills; `bench/crash.py` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.crash import campaign


@pytest.mark.parametrize("seed", [1])
def test_nothing_acknowledged_is_lost_and_no_number_is_used_twice_when_the_server_is_killed(
    tmp_path: Path, seed: int
) -> None:
    result = campaign(tmp_path, kills=5, seed=seed, evses=400, lanes=4, batch=20)
    assert result.wrongs == ()
    assert result.kills == 6
    assert result.sent > 1_000
    assert result.resumes >= 1
