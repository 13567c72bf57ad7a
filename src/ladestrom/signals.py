"""What signals say to a server: stop, stop as another one takes over, read the settings again.

Knows signals, and takes each that would end the process: nothing that an administrator or a terminal sends
ends it without a word. Must not know what a server does about them.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Literal, Self

import structlog

logger = structlog.get_logger(__name__)

Meaning = Literal["stop", "restart", "reload", "roll"]

STOP: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGQUIT})
RESTART: Final = signal.SIGUSR1
RELOAD: Final = signal.SIGHUP
ROLL: Final = signal.SIGUSR2
"""Of a server of several processes: replaces those that serve consumers, one after the other."""

_FAULTS: Final = frozenset(
    {
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGSEGV,
        signal.SIGSYS,
        signal.SIGTRAP,
    }
)
"""The program itself is broken: what it said is lost anyway, and a core dump tells more."""
_OF_THE_SYSTEM: Final = frozenset(
    {
        signal.SIGKILL,
        signal.SIGSTOP,
        signal.SIGCHLD,
        signal.SIGCONT,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGURG,
        signal.SIGWINCH,
    }
)
"""They cannot be taken, or do not end a process."""


class Signals:
    """Takes signals from its beginning to its end, and hands out what they mean, in order.

    A context manager, in the main thread. What arrives before `bind` waits for it.
    """

    def __init__(self, *, hangup_stops: bool = False) -> None:
        """Takes nothing yet.

        Args:
            hangup_stops: for a program that belongs to its terminal: it ends with it.
        """
        self.rolls = False
        """Whether `ROLL` means something."""
        self.starting: Callable[[], Any] | None = None
        """While something starts: ends that. A signal to stop calls it."""
        self.stopped_by = ""
        """Name of the signal that ended the server; empty while none did."""
        self._hangup_stops = hangup_stops
        self._before: dict[int, Any] = {}
        self._numbers: deque[int] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._meanings: asyncio.Queue[Meaning] = asyncio.Queue()

    def __enter__(self) -> Self:
        for number in signal.valid_signals() - _FAULTS - _OF_THE_SYSTEM:
            before = signal.getsignal(number)
            has_meaning = number in {*STOP, RESTART, RELOAD}
            if before is signal.SIG_IGN and (not has_meaning or (number == RELOAD and self._hangup_stops)):
                # What a parent had ignored stays so (`nohup`).
                continue
            if has_meaning or before is signal.SIG_DFL:
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def bind(self, starting: Callable[[], Any] | None = None) -> None:
        """From now on signals are looked at by the loop that runs."""
        self.starting = starting
        self._loop = asyncio.get_running_loop()
        self._look()

    async def next(self) -> Meaning:
        """What the next signal means; waits for one."""
        return await self._meanings.get()

    def _take(self, number: int, _frame: FrameType | None) -> None:
        # Nothing is logged here: what the signal interrupted may be a line of the log.
        self._numbers.append(number)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        while self._numbers:
            self._decide(self._numbers.popleft())

    def _decide(self, number: int) -> None:
        name = _name(number)
        if number in STOP or number == RESTART or (number == RELOAD and self._hangup_stops):
            if self.stopped_by:
                logger.warning("stopping already; SIGKILL ends the process at once", signal=name)
                return
            self.stopped_by = name
            logger.info("stopping", signal=name)
            self._meanings.put_nowait("restart" if number == RESTART else "stop")
            if self.starting is not None:
                self.starting()
        elif number == RELOAD:
            self._meanings.put_nowait("reload")
        elif number == ROLL and self.rolls:
            self._meanings.put_nowait("roll")
        else:
            logger.warning(
                "this signal does nothing; SIGHUP reads the settings again, SIGTERM stops the server",
                signal=name,
            )


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
