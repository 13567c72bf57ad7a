"""`ladestrom serve`: the server, until a signal ends it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ladestrom.app import App, running, until_signal
from ladestrom.cli.flags import NO_FLAGS, SettingFlags
from ladestrom.config import Loaded, load
from ladestrom.logs import configure


def serve(
    config: Path | None = None,
    *,
    settings: Annotated[SettingFlags, Parameter(name="*")] = NO_FLAGS,
) -> None:
    """Run the server until SIGINT or SIGTERM. Once it serves, it prints one line that begins with `ready`.

    SIGUSR1 stops it too, and tells consumers that a restart follows.

    Args:
        config: Settings file (TOML). Default: the file that LADESTROM_CONFIG names.
        settings: Settings as options.
    """
    loaded = load(config, os.environ, settings)
    configure(loaded.settings.logging.level, loaded.settings.logging.format)
    run(_serve(loaded))


async def _serve(loaded: Loaded) -> None:
    async with running(loaded.settings, loaded.origins) as app:
        print(ready_line(app), flush=True)
        app.restarting = await until_signal()


def ready_line(app: App) -> str:
    """What a starting server says last: time taken, durability, addresses."""
    durability = app.settings.log.durability
    meaning = (
        "changes are synced to the disk before they are acknowledged"
        if durability == "full"
        else "a power cut may lose acknowledged changes"
    )
    return (
        f"ready in {app.ready_s:.2f} s, durability {durability} ({meaning}), {len(app.board)} EVSEs, "
        f"{app.url} {app.url.replace('http', 'ws', 1)}/api/v1/stream"
    )


def run(work: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine on uvloop where it is installed, else on the standard loop."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        asyncio.run(work)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
