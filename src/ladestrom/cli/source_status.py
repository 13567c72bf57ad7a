"""How each source of a server does, as the server wrote it beside the store, for commands that show it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ladestrom.cli.where import say
from ladestrom.quoting import cause

if TYPE_CHECKING:
    from ladestrom.ingest.supervision import SourceStatus

STATUS_MIB_MAX: Final = 64
"""Two KiB for each of thirty thousand sources."""
STATUS_AGE_S_MAX: Final = 60
"""What the server notes every two seconds is a past state when it is older."""


def source_statuses(data: Path) -> Mapping[str, SourceStatus]:
    """What the server wrote beside the store; empty where there is nothing, or nothing that can be read."""
    from ladestrom.ingest.supervision import STATUS_FILE, SourceStatus  # noqa: PLC0415 - loads slowly

    path = data / STATUS_FILE
    try:
        with path.open("rb") as file:
            content = file.read(STATUS_MIB_MAX * 1024 * 1024)
        age_s = time.time() - path.stat().st_mtime
        statuses = msgspec.json.decode(content, type=list[SourceStatus])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        say(f"warning: {path} cannot be read and is left out: {cause(error)}")
        return {}
    if age_s > STATUS_AGE_S_MAX:
        say(f"warning: no server has written its state for {age_s:.0f} s; what is shown is as old")
    return {each.freshness.source: each for each in statuses}
