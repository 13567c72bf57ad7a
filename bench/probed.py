"""Runs ladestrom with a probe in its event loop, which notes every long step.

    python bench/probed.py FILE serve --data DIRECTORY
    kill -USR2 PID                               counts what is there now

FILE gets a line of JSON for each step of the loop that took the loop's thread more than `NOTED_MS` of processor
time: when it ended (monotonic seconds), what it cost, how long it took by the clock on the wall, and what it was.
A step is what the loop calls at once: a task from one `await` to the next, a timer, what a transport received.
On SIGUSR2, FILE gets a line with the number of tasks, timers and objects of the stream that are in memory.
Knows the loop. Must not know what the server does.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import signal
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec
import uvloop

from ladestrom.reader.channel import Channel
from ladestrom.reader.subscriptions import Subscriber

NOTED_MS: Final = 2.0
RECEIVING: Final = (
    "connection_made",
    "connection_lost",
    "data_received",
    "eof_received",
    "pause_writing",
    "resume_writing",
)
"""What transports call without the loop's knowledge."""


class Step(msgspec.Struct, frozen=True):
    """One step of the loop."""

    ended_s: float
    """Monotonic."""
    cpu_ms: float
    """Of the loop's thread."""
    wall_ms: float
    what: str


class Census(msgspec.Struct, frozen=True):
    """What was in memory at an instant."""

    counted_s: float
    """Monotonic."""
    tasks: dict[str, int]
    """By name; of those that were given none, by what they run."""
    timers: int
    channels: int
    """Those that a selection had or has; none may be left of one that nobody has."""
    rows: int
    """Changes that wait in them."""
    subscribers: int
    blocks: int
    """That Python's allocator has given out: nearly all that is not a buffer. Memory of the process is more: what
    was freed and not given back, too."""
    malloc_mib: float
    """That malloc has given out, of all its arenas: buffers of more than 512 bytes. 0 where it does not tell."""


class _Mallinfo(ctypes.Structure):
    """What `mallinfo2` returns (glibc 2.33 and later)."""

    _fields_ = (
        ("arena", ctypes.c_size_t),
        ("ordblks", ctypes.c_size_t),
        ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t),
        ("hblkhd", ctypes.c_size_t),
        ("usmblks", ctypes.c_size_t),
        ("fsmblks", ctypes.c_size_t),
        ("uordblks", ctypes.c_size_t),
        ("fordblks", ctypes.c_size_t),
        ("keepcost", ctypes.c_size_t),
    )


def malloc_bytes() -> int:
    """What malloc has given out and not got back."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return 0
    ask.restype = _Mallinfo
    told = ask()
    return int(told.uordblks + told.hblkhd)


def counted(file: Path, after_s: float, deadline_s: float = 30.0) -> Census:
    """The first census after an instant.

    Raises:
        TimeoutError: there was none in time.
    """
    ends_s = time.monotonic() + deadline_s
    while time.monotonic() < ends_s:
        for line in file.read_bytes().splitlines():
            if line.startswith(b'{"counted_s"') and line.endswith(b"}"):
                found = msgspec.json.decode(line, type=Census)
                if found.counted_s > after_s:
                    return found
        time.sleep(0.05)
    raise TimeoutError("the probe did not count")


def read(file: Path, begin_s: float = 0.0, end_s: float = float("inf")) -> list[Step]:
    """Steps that were noted, those that ended between two instants; the dearest first."""
    lines = file.read_bytes().splitlines() if file.exists() else []
    # The last line may be half written.
    whole = [line for line in lines if line.startswith(b'{"ended_s"') and line.endswith(b"}")]
    steps = [msgspec.json.decode(line, type=Step) for line in whole]
    found = [step for step in steps if begin_s <= step.ended_s <= end_s]
    return sorted(found, key=lambda step: -step.cpu_ms)


class Probe:
    """Notes what costs much."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._collected_ms = self._collection_s = 0.0
        self.timers: weakref.WeakSet[asyncio.TimerHandle] = weakref.WeakSet()

    def collect(self, phase: str, _: object) -> None:
        """Notes what garbage collection costs (`gc.callbacks`)."""
        if phase == "start":
            self._collection_s = time.thread_time()
        else:
            self._collected_ms += (time.thread_time() - self._collection_s) * 1e3

    def timed(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Calls it, and notes it where it was long."""
        began_s, cpu_s, collected_ms = time.monotonic(), time.thread_time(), self._collected_ms
        try:
            return callback(*args)
        finally:
            cpu_ms = (time.thread_time() - cpu_s) * 1e3
            if cpu_ms >= NOTED_MS:
                ended_s = time.monotonic()
                what, collected_ms = named(callback), self._collected_ms - collected_ms
                if collected_ms >= 1:
                    what += f", {collected_ms:.0f} ms of it garbage collection"
                self._note(Step(ended_s, round(cpu_ms, 2), round((ended_s - began_s) * 1e3, 2), what))

    def _note(self, line: Step | Census) -> None:
        self._file.write(msgspec.json.encode(line).decode() + "\n")
        self._file.flush()

    def census(self) -> None:
        """Counts, and notes it."""
        gc.collect()
        there = gc.get_objects()
        channels = [each for each in there if type(each) is Channel]
        self._note(
            Census(
                time.monotonic(),
                Counter(map(_task_named, asyncio.all_tasks())),
                sum(not timer.cancelled() and timer.when() > time.monotonic() for timer in self.timers),
                len(channels),
                sum(len(channel.rows) for channel in channels),
                sum(type(each) is Subscriber for each in there),
                sys.getallocatedblocks(),
                round(malloc_bytes() / 2**20, 1),
            )
        )

    def watch(self, kind: type) -> None:
        """Times what transports call of a class of protocols."""
        for name in RECEIVING:
            method = vars(kind).get(name)
            if method is None or hasattr(method, "__wrapped__"):
                continue

            @functools.wraps(method)
            def timed(own: Any, *args: Any, method: Callable[..., Any] = method) -> Any:
                return self.timed(method, own, *args)

            setattr(kind, name, timed)


def _task_named(task: asyncio.Task[Any]) -> str:
    name, work = task.get_name(), task.get_coro()
    return getattr(work, "__qualname__", name) if name.startswith("Task-") else name


def named(callback: Callable[..., Any]) -> str:
    """What a step was: of a task, where it waits now."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        coroutine: Any = owner.get_coro()
        names = [coroutine.__qualname__]
        while (inner := getattr(coroutine, "cr_await", None)) is not None:
            coroutine = inner
            if hasattr(inner, "__qualname__"):
                names.append(inner.__qualname__)
        frame = getattr(coroutine, "cr_frame", None)
        at = "" if frame is None else f":{frame.f_lineno}"
        return " > ".join([names[0], *names[1:][-3:]]) + at
    return str(getattr(callback, "__qualname__", callback))


def probed(probe: Probe) -> type[asyncio.AbstractEventLoop]:
    """The loop of uvloop, with a probe."""

    class Probed(uvloop.Loop):
        def call_soon(  # type: ignore[override]
            self, callback: Any, *args: Any, context: Any = None
        ) -> Any:
            return super().call_soon(probe.timed, callback, *args, context=context)

        def call_soon_threadsafe(  # type: ignore[override]
            self, callback: Any, *args: Any, context: Any = None
        ) -> Any:
            return super().call_soon_threadsafe(probe.timed, callback, *args, context=context)

        def call_later(  # type: ignore[override]
            self, delay: float, callback: Any, *args: Any, context: Any = None
        ) -> Any:
            timer = super().call_later(delay, probe.timed, callback, *args, context=context)
            probe.timers.add(timer)
            return timer

        def call_at(  # type: ignore[override]
            self, when: float, callback: Any, *args: Any, context: Any = None
        ) -> Any:
            timer = super().call_at(when, probe.timed, callback, *args, context=context)
            probe.timers.add(timer)
            return timer

        async def create_server(self, *args: Any, **named: Any) -> Any:
            for kind in _below(asyncio.BaseProtocol):
                probe.watch(kind)
            self.add_signal_handler(signal.SIGUSR2, probe.census)
            return await super().create_server(*args, **named)

    return Probed


def _below(kind: type) -> Iterator[type]:
    each: type
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def command(file: Path) -> Sequence[str]:
    """What runs ladestrom with the probe, instead of `ladestrom`."""
    return (sys.executable, str(Path(__file__).resolve()), str(file))


def main() -> None:
    file = Path(sys.argv[1]).open("a")  # noqa: SIM115 - until the process ends
    probe = Probe(file)
    gc.callbacks.append(probe.collect)
    uvloop.new_event_loop = probed(probe)  # type: ignore[assignment]
    sys.argv = ["ladestrom", *sys.argv[2:]]
    from ladestrom.cli import main as run  # noqa: PLC0415 - after the loop has its probe

    run()


if __name__ == "__main__":
    main()
