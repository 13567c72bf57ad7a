"""A server of several processes: starts them, keeps them, replaces them, stops them.

Has the data directory and the sockets that listen, so that both outlive every single process. Opens neither
the log nor the store, and serves nothing itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from ladestrom import housekeeping, process, tasks
from ladestrom.backends.data_directory import DataDirectory
from ladestrom.config import Loaded, SettingOrigin, Settings
from ladestrom.config.address import ADDRESS_FILE, addresses
from ladestrom.errors import NotReady
from ladestrom.roles.context import Context
from ladestrom.roles.place import READER, WRITER, Duty
from ladestrom.server import assembly
from ladestrom.signals import Signals

logger = structlog.get_logger(__name__)

Process = asyncio.subprocess.Process

AGAIN_S_MIN: Final = 0.1
AGAIN_S_MAX: Final = 10.0
"""Between two starts of a process that ends again and again."""
STEADY_S: Final = 30.0
"""A process that served for so long is started again at once when it ends."""
STOP_S_MAX: Final = 75.0
"""For a process that is told to stop: it gives itself 45 s for a checkpoint, and systemd kills after 90 s."""
PROGRAM: Final = (sys.executable, "-m", "ladestrom.cli.process")


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is started with. Has secrets of the settings: it goes through a pipe only."""

    duty: Duty
    name: str
    settings: Settings
    origins: Mapping[str, SettingOrigin]
    config: str
    """Path of the settings file; empty where there is none. Read again on SIGHUP, with `flags`."""
    flags: Mapping[str, Any]
    lock: int
    """Descriptor of the open lock file."""
    listener: int | None = None
    """Likewise of the public socket."""
    metrics: int | None = None
    """Likewise of the one for metrics."""


class Ready(msgspec.Struct, frozen=True):
    """What a process says when it serves; and the server, once all do."""

    evses: int
    ready_s: float
    port: int = 0
    """The public one; 0 where a process says it."""


class Ended(Exception):
    """A process could not start; it said why."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("a process of the server could not start")
        self.exit_code = exit_code


class Slot:
    """A place for a process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process: Process | None = None
        self.changing = asyncio.Lock()
        """Held while a process is started in it: one that ended is not replaced twice."""

    def signal(self, number: int) -> None:
        """Passes a signal on."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)


class Supervisor:
    """Of one server."""

    def __init__(
        self, loaded: Loaded, directory: DataDirectory, *, config: Path | None, flags: Mapping[str, Any]
    ) -> None:
        """Binds the public address; nothing is started yet.

        Raises:
            InvalidSetting: an address cannot be had.
        """
        self._context = Context(loaded.settings, loaded.origins, demo=False)
        self._directory = directory
        self._config = "" if config is None else str(config)
        self._flags = {section: dict(given) for section, given in flags.items()}
        own = loaded.settings.server
        self._listener = assembly.listen(own.host, own.port)
        self._metrics = _metrics_listener(loaded.settings.metrics.listen)
        self._port = int(self._listener.getsockname()[1])
        self._writer = Slot(WRITER)
        self._readers = [Slot(f"{READER}-{number}") for number in range(1, own.processes)]
        self._keeping: set[asyncio.Task[None]] = set()
        self.failed = False
        """Whether it stops because of a defect of ours."""
        self._is_stopping = False
        self._rolling = asyncio.Lock()

    async def start(self) -> Ready:
        """Starts all processes; returns once all serve.

        Raises:
            Ended: one could not start.
        """
        slots = (self._writer, *self._readers)
        # Those that read wait for the one that writes when they have loaded all that they need.
        try:
            async with asyncio.TaskGroup() as group:
                beginning = [group.create_task(self._begin(slot)) for slot in slots]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        ready = beginning[0].result()
        for slot in slots:
            self._keeping.add(tasks.start(self._keep_up(slot), "keeping processes", self._stop_loudly))
        content = msgspec.json.encode(addresses(self._context.settings.server, self._port))
        # Commands that do not find it go by the settings.
        with suppress(NotReady):
            await housekeeping.note(self._context.data / ADDRESS_FILE, content)
        return Ready(ready.evses, time.monotonic() - process.started_s(), self._port)

    def _stop_loudly(self, _: Exception) -> None:
        """What ended would not be started again: all stop, and whoever runs the server starts it anew."""
        self.failed = True
        logger.critical("an essential task ended; stopping")
        os.kill(os.getpid(), signal.SIGTERM)

    def reconfigure(self, loaded: Loaded) -> None:
        """Has all processes read the settings again; those started later have them, too."""
        self._context.reconfigure(loaded)
        for slot in (self._writer, *self._readers):
            slot.signal(signal.SIGHUP)

    async def roll(self) -> None:
        """Replaces those that serve consumers, one after the other, without refusing a connection."""
        async with self._rolling:
            for slot in self._readers:
                if self._is_stopping:
                    return
                logger.info("replacing a process", process=slot.name)
                try:
                    async with slot.changing:
                        before = slot.process
                        # Both take connections from the same socket until the old one leaves.
                        await self._begin(slot)
                except Ended as error:
                    logger.warning("a process is not replaced", process=slot.name, code=error.exit_code)
                    return
                if before is not None:
                    await _stopped(before, signal.SIGUSR1)
            logger.info("all processes that serve consumers were replaced")

    async def stop(self, *, restarting: bool) -> None:
        """Stops those that serve consumers, then the one that writes."""
        self._is_stopping = True
        with suppress(OSError):
            (self._context.data / ADDRESS_FILE).unlink(missing_ok=True)
        number = signal.SIGUSR1 if restarting else signal.SIGTERM
        for slots in (self._readers, [self._writer]):
            there = [slot.process for slot in slots if slot.process is not None]
            await asyncio.gather(*(_stopped(each, number) for each in there))
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        self._listener.close()
        if self._metrics is not None:
            self._metrics.close()

    # -- one process -------------------------------------------------------------------------------------

    async def _begin(self, slot: Slot) -> Ready:
        slot.process, ready = await self._spawn(slot)
        logger.info("a process serves", process=slot.name, pid=slot.process.pid)
        return ready

    async def _spawn(self, slot: Slot) -> tuple[Process, Ready]:
        """Starts a process; returns when it serves.

        Raises:
            Ended: it ended before.
        """
        assignment = self._assignment(slot)
        own = (assignment.lock, assignment.listener, assignment.metrics)
        # A terminal's signals are for this process, which passes them on.
        started = await asyncio.create_subprocess_exec(
            *PROGRAM,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[each for each in own if each is not None],
            start_new_session=True,
        )
        assert started.stdin is not None  # noqa: S101 - it is a pipe
        assert started.stdout is not None  # noqa: S101 - likewise
        try:
            with suppress(ConnectionError):
                started.stdin.write(msgspec.json.encode(assignment) + b"\n")
                await started.stdin.drain()
            line = await started.stdout.readline()
        except BaseException:
            await _stopped(started, signal.SIGTERM)
            raise
        if not line:
            raise Ended(await started.wait())
        return started, msgspec.json.decode(line, type=Ready)

    def _assignment(self, slot: Slot) -> Assignment:
        settings = self._context.settings
        server = msgspec.structs.replace(settings.server, port=self._port)
        is_writer = slot is self._writer
        return Assignment(
            duty=WRITER if is_writer else READER,
            name=slot.name,
            settings=msgspec.structs.replace(settings, server=server),
            origins=dict(self._context.origins),
            config=self._config,
            flags=self._flags,
            lock=self._directory.fileno(),
            listener=None if is_writer else self._listener.fileno(),
            metrics=self._metrics.fileno() if is_writer and self._metrics is not None else None,
        )

    async def _keep_up(self, slot: Slot) -> None:
        """Starts a process again whenever it has ended by itself."""
        time_s = asyncio.get_running_loop().time
        wait_s, began_s = AGAIN_S_MIN, time_s()
        while True:
            running = slot.process
            if running is not None:
                code = await running.wait()
                if self._is_stopping:
                    return
                if slot.process is not running:
                    began_s = time_s()
                    continue
                logger.error("a process ended; starting it again", process=slot.name, code=code)
                slot.process = None
            if time_s() - began_s > STEADY_S:
                wait_s = AGAIN_S_MIN
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, AGAIN_S_MAX)
            began_s = time_s()
            try:
                async with slot.changing:
                    if slot.process is None:
                        await self._begin(slot)
            except (Ended, OSError) as error:
                logger.warning("a process could not be started", process=slot.name, error=str(error))


async def _stopped(running: Process, number: int) -> None:
    """Tells a process to stop, and waits until it has; kills it after `STOP_S_MAX`."""
    with suppress(ProcessLookupError):
        running.send_signal(number)
    try:
        async with asyncio.timeout(STOP_S_MAX):
            await running.wait()
    except TimeoutError:
        logger.warning("a process did not stop, and is killed", pid=running.pid)
        with suppress(ProcessLookupError):
            running.kill()
        await running.wait()


def _metrics_listener(listen: str) -> socket.socket | None:
    if not listen:
        return None
    host, _, port = listen.rpartition(":")
    return assembly.listen(host.strip("[]") or "127.0.0.1", int(port), "metrics.listen")


async def supervise(
    loaded: Loaded,
    signals: Signals,
    read: Callable[[], Loaded | None],
    ready: Callable[[Ready], None],
    *,
    config: Path | None,
    flags: Mapping[str, Any],
) -> None:
    """Runs a server of several processes until a signal ends it.

    Args:
        loaded: settings.
        signals: what they say.
        read: reads the settings again; None where they are wrong, which it has said.
        ready: is told once all serve.
        config: the settings file.
        flags: settings given as options.

    Raises:
        InvalidSetting: an address or the data directory cannot be had.
        Conflict: another server has the data directory.
    """
    with DataDirectory(Path(loaded.settings.server.data)) as directory:
        supervisor = Supervisor(loaded, directory, config=config, flags=flags)
        rolling: set[asyncio.Task[None]] = set()
        restarting = False
        try:
            ready(await supervisor.start())
            signals.starting = None
            while (meaning := await signals.next()) in {"reload", "roll"}:
                if meaning == "roll":
                    rolling.add(tasks.start(supervisor.roll(), "rolling restart", lambda _: None))
                elif (again := read()) is not None:
                    supervisor.reconfigure(again)
            restarting = meaning == "restart"
        except Ended as error:
            raise SystemExit(max(error.exit_code, 1)) from None
        except asyncio.CancelledError:
            if not signals.stopped_by:
                raise
            logger.info("stopped before it was ready", signal=signals.stopped_by)
        finally:
            for task in rolling:
                task.cancel()
            await supervisor.stop(restarting=restarting)
        if supervisor.failed:
            raise SystemExit(1)
