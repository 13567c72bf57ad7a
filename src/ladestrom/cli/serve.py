"""`ladestrom serve`: the server, until a signal ends it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any, Final

import structlog
from cyclopts import Parameter

from ladestrom.app import App, running
from ladestrom.cli import EXIT_BUG
from ladestrom.cli.flags import NO_FLAGS, SettingFlags
from ladestrom.config import Loaded, Settings, load
from ladestrom.config.address import listening
from ladestrom.errors import InvalidSetting
from ladestrom.logs import configure
from ladestrom.roles import limits
from ladestrom.signals import Signals

logger = structlog.get_logger(__name__)

DURABILITIES: Final = {
    "full": "changes are synced to the disk before they are acknowledged",
    "relaxed": "a power cut may lose acknowledged changes",
    "none": "changes are in memory and are lost when the server stops",
}


def serve(
    config: Path | None = None,
    *,
    settings: Annotated[SettingFlags, Parameter(name="*")] = NO_FLAGS,
) -> None:
    """Run the server until SIGINT or SIGTERM. When it is ready, it prints one line that begins with `ready`.

    SIGUSR1 also stops it, and tells consumers that it restarts. SIGHUP reads the settings file again and
    opens the log file again: the server log names the settings that changed, and those that need a restart.

    Args:
        config: Settings file (TOML). Default: the file that LADESTROM_CONFIG names.
        settings: Settings as options.
    """

    def read() -> Loaded:
        return load(config, os.environ, settings)

    with Signals() as signals:
        loaded = read()
        configure_logs(loaded.settings)
        if loaded.settings.server.processes > 1:
            signals.rolls = True
            run(_supervise(loaded, signals, read, config, settings))
        else:
            run(_serve(loaded, signals, read))


async def _serve(loaded: Loaded, signals: Signals, read: Callable[[], Loaded]) -> None:
    def ready(app: App) -> None:
        print(ready_line(app), flush=True)

    signals.bind(starting=cancelling())
    await attend(running(loaded.settings, loaded.origins), signals, read, ready)


async def attend(
    server: AbstractAsyncContextManager[App],
    signals: Signals,
    read: Callable[[], Loaded],
    ready: Callable[[App], None],
) -> None:
    """Runs a server in this process until a signal ends it.

    Args:
        server: listens until the block ends.
        signals: what they say.
        read: reads the settings again.
        ready: is told once it listens.
    """
    try:
        async with server as app:
            signals.starting = None
            ready(app)
            while (meaning := await signals.next()) == "reload":
                reload(app, read)
            app.restarting = meaning == "restart"
    except asyncio.CancelledError:
        if not signals.stopped_by:
            raise
        logger.info("stopped before it was ready", signal=signals.stopped_by)
    else:
        if app.failed:
            # The log has said why. Whoever watches the process learns that it did not end as it was told to.
            raise SystemExit(EXIT_BUG)


async def _supervise(
    loaded: Loaded,
    signals: Signals,
    read: Callable[[], Loaded],
    config: Path | None,
    flags: SettingFlags,
) -> None:
    from ladestrom.supervisor import Ready, supervise  # noqa: PLC0415 - a server in one process does without

    own = loaded.settings.server

    def again() -> Loaded | None:
        try:
            found = read()
            configure_logs(found.settings)
        except InvalidSetting as error:
            logger.warning("the settings were not read again", problems=str(error).splitlines())
            return None
        return found

    def ready(told: Ready) -> None:
        line = _ready_line(loaded.settings, told.ready_s, told.evses, listening(own, told.port))
        print(f"{line}, {own.processes} processes", flush=True)

    signals.bind(starting=cancelling())
    await supervise(loaded, signals, again, ready, config=config, flags=flags)


def reload(app: App, read: Callable[[], Loaded]) -> None:
    """Reads the settings again and opens the log file again. What is wrong is logged, and changes nothing."""
    try:
        loaded = read()
        configure_logs(loaded.settings)
    except InvalidSetting as error:
        logger.warning("the settings were not read again", problems=str(error).splitlines())
        return
    done = app.reconfigure(loaded)
    logger.info("the settings were read again", changed=done.changed, need_restart=done.need_restart)


def cancelling() -> Callable[[], object]:
    """What ends the current task, while something starts."""
    task = asyncio.current_task()
    return task.cancel if task is not None else lambda: None


def configure_logs(settings: Settings) -> None:
    """Sets up logging as the settings say.

    Raises:
        InvalidSetting: the log file cannot be opened.
    """
    own = settings.logging
    configure(own.level, own.format, file=own.file)


def ready_line(app: App) -> str:
    """What a starting server says last: time taken, durability, addresses."""
    return _ready_line(app.context.settings, app.ready_s, app.evses, app.url)


def _ready_line(settings: Settings, ready_s: float, evses: int, url: str) -> str:
    durability = limits.durability(settings)
    return (
        f"ready in {ready_s:.2f} s, durability {durability} ({DURABILITIES[durability]}), "
        f"{evses} EVSEs, {url} {url.replace('http', 'ws', 1)}/api/v1/stream"
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
