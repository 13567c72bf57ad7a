"""What keeps a running server from being ready: looked for all the time, and told in words.

Knows the disk's side of the log, the store's answers and the process's files. `edges.operations` tells of it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from ladestrom.backends.data_directory import descriptors_used_up
from ladestrom.edges.operations import Readiness
from ladestrom.errors import LogFailure, LogMisplaced, NotReady
from ladestrom.formats.administration import DiskState
from ladestrom.ports.log import Followed, Log
from ladestrom.ports.stores import Store
from ladestrom.writer.hub import Hub

logger = structlog.get_logger(__name__)

LOOK_S: Final = 1.0
PROBE_S: Final = 2.0
"""How old the proof that the log can be written may be: where no report was logged, a record is."""
DISK_S: Final = 5.0
"""How old what is said of the disk may be."""
STALLED_S_MAX: Final = 3.0
"""How long the log's disk or the store may take before the server calls itself not ready: together with the
time between two looks, less than 5 s."""

Check = Callable[[], str]
"""Says what is wrong, in words for anyone, or nothing."""


class Watch:
    """Watches one process's log, store and files. Each method is called again and again."""

    def __init__(self, log: Followed, store: Store, data: Path, stream: Check = str) -> None:
        """Nothing was looked at yet; `stream` says why readers are not told of what is in the log."""
        self._log = log
        self._store = store
        self._data = f"{data}{os.sep}"
        self._asked_s: float | None = None
        """Since when the store owes an answer."""
        self._store_fault = ""
        self.disk: DiskState | None = None
        """Of the data directory; None before the first look, and where that fails."""
        self._unready: set[str] = set()
        """Checks that did not hold at the last look."""
        self._checks: dict[str, Check] = {}
        self.readiness = Readiness(self._checks)
        self.check(
            {
                "store": self._store_reason,
                "log": self._log_reason,
                "board": str,
                "files": self._files_reason,
                "stream": stream,
            }
        )

    def check(self, checks: Mapping[str, Check]) -> None:
        """Has these checks from now on, instead of those of the same names."""
        self._checks.update((name, self._public(check)) for name, check in checks.items())

    def add(self, name: str, check: Check) -> None:
        """Has a second check of the same name, asked where the first finds nothing wrong."""
        first, second = self._checks[name], self._public(check)
        self._checks[name] = lambda: first() or second()

    async def ask_store(self) -> None:
        """Finds out whether the store answers: while another program holds it, readers wait for long."""
        self._asked_s = time.monotonic()
        try:
            await self._store.revision()
        except NotReady as error:
            self._store_fault = str(error)
        else:
            self._store_fault = ""
        finally:
            self._asked_s = None

    async def look_at_disk(self) -> None:
        """Finds out how much room there is. In a thread: a file system that hangs keeps who asks."""
        try:
            usage = await asyncio.to_thread(shutil.disk_usage, self._data)
        except OSError:
            self.disk = None
        else:
            self.disk = DiskState(usage.total, usage.free)

    async def look(self) -> None:
        """Logs what begins and ends to keep the server from being ready."""
        reasons = self.readiness.reasons()
        for name in reasons.keys() - self._unready:
            logger.error("not ready", check=name, reason=reasons[name])
        for name in self._unready - reasons.keys():
            logger.info("ready again", check=name)
        self._unready = set(reasons)

    def _store_reason(self) -> str:
        waited_s = 0.0 if self._asked_s is None else time.monotonic() - self._asked_s
        if waited_s > STALLED_S_MAX:
            return f"the store has not answered for {waited_s:.0f} s: another program may hold it"
        return self._store_fault

    def _log_reason(self) -> str:
        fault = self._log.fault
        return "" if fault is None or isinstance(fault, LogMisplaced) else str(fault)

    def _files_reason(self) -> str:
        fault = self._log.fault
        return str(fault) if isinstance(fault, LogMisplaced) else descriptors_used_up()

    def _public(self, check: Check) -> Check:
        """A check whose words do not tell everybody where the data directory is."""
        return lambda: check().replace(self._data, "")


class Probe:
    """Watches whether the log can be written, in the process that writes it."""

    def __init__(self, hub: Hub, log: Log) -> None:
        """Nothing was tried yet."""
        self._hub = hub
        self._log = log

    async def try_log(self) -> None:
        """Finds out whether the log can be written where no report did, which nobody would notice."""
        if not self._hub.fault and self._log.idle_s < PROBE_S:
            return
        try:
            await self._log.probe()
        except LogFailure as error:
            self._hub.fault = str(error)
        else:
            self._hub.fault = ""

    async def look(self) -> None:
        """Looks for files that were moved."""
        self._log.look()

    def reason(self) -> str:
        """What is wrong with the log."""
        stalled_s, fault = self._log.stalled_s, self._log.fault
        if stalled_s > STALLED_S_MAX:
            return f"the disk has kept the log waiting for {stalled_s:.0f} s"
        return self._hub.fault if fault is None or isinstance(fault, LogMisplaced) else str(fault)
