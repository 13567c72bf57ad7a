"""What a server has noted of its sources, beside the store, for the commands that show it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ladestrom.cli.where import say
from ladestrom.quoting import cause

if TYPE_CHECKING:
    from ladestrom.ingest.supervision import Noted

NOTED_MIB_MAX: Final = 64
"""Two KiB for each of thirty thousand sources."""
NOTED_AGE_S_MAX: Final = 60
"""What the server notes every two seconds is a past state when it is older."""


def noted_sources(data: Path) -> Mapping[str, Noted]:
    """What the server wrote beside the store; empty where there is nothing, or nothing that can be read."""
    from ladestrom.ingest.supervision import NOTED_FILE, Noted  # noqa: PLC0415 - loads slowly

    path = data / NOTED_FILE
    try:
        with path.open("rb") as file:
            content = file.read(NOTED_MIB_MAX * 1024 * 1024)
        age_s = time.time() - path.stat().st_mtime
        noted = msgspec.json.decode(content, type=list[Noted])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        say(f"warning: {path} cannot be read and is left out: {cause(error)}")
        return {}
    if age_s > NOTED_AGE_S_MAX:
        say(f"warning: no server has written its state for {age_s:.0f} s; what is shown is as old")
    return {each.freshness.source: each for each in noted}
