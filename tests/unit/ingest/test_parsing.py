"""The process that reads large messages: when there is one, what its death costs, and when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.building import make_operator
from tests.patience import come_true
from tests.programs import PIPE, program

from ladestrom.errors import LadestromError, MalformedBody, Overloaded, TooManyRequests
from ladestrom.ingest import parsing
from ladestrom.ingest.parsing import WAITING_PER_OPERATOR_MAX, ParsingProcess
from ladestrom.model import Operator
from ladestrom.protocols import PUSHES
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import Request

PLAIN = PUSHES["plain"].target


class Dangerous:
    """A protocol whose messages do what they say to the process that reads them."""

    def receive(self, request: Request, operator: Operator, limits: ParseLimits) -> Delivery:
        match request.body:
            case b"die":
                os.kill(os.getpid(), signal.SIGKILL)
            case b"sleep":
                time.sleep(3600)
            case b"mistake":
                raise KeyError("mistake")
        return Delivery(reports=[])


DANGEROUS = f"{__name__}:{Dangerous.__name__}"
PARENT = """
import asyncio
from ladestrom.ingest.parsing import ParsingProcess
from ladestrom.model import Operator
from ladestrom.protocols import PUSHES
from ladestrom.protocols.interfaces import Request
from ladestrom.protocols.delivery import ParseLimits

async def main():
    own = ParsingProcess()
    request = Request("POST", "", {}, {}, b"[]")
    await own.receive(PUSHES["plain"].target, request, Operator("abc"), ParseLimits())
    print(own.pid, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


def is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended; one that nobody has waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


@asynccontextmanager
async def reading() -> AsyncIterator[ParsingProcess]:
    own = ParsingProcess()
    try:
        yield own
    finally:
        await own.stop()


async def read(own: ParsingProcess, body: bytes, target: str = DANGEROUS, operator: str = "abc") -> Delivery:
    request = Request("POST", "", {}, {}, body)
    return await own.receive(target, request, make_operator(operator), ParseLimits())


async def test_it_reads_what_the_protocol_would_and_its_errors_come_through() -> None:
    body = b'[{"evse": "NO*ABC*E1", "status": "CHARGING"}, {"evse": "NO*ABC*E2", "status": "?"}]'
    async with reading() as own:
        pids = [own.pid]
        delivery = await read(own, body, PLAIN)
        assert pids == [None]
        assert own.pid not in {None, os.getpid()}
        assert [report.evse for report in delivery.reports] == ["NO*ABC*E1"]
        assert [refusal.index for refusal in delivery.refused] == [1]
        with pytest.raises(MalformedBody):
            await read(own, b"{", PLAIN)
        with pytest.raises(KeyError):
            await read(own, b"mistake")


async def test_its_death_costs_the_message_that_it_read_and_no_other() -> None:
    async with reading() as own:
        await read(own, b"")
        first = own.pid
        killing, waiting = asyncio.create_task(read(own, b"die")), asyncio.create_task(read(own, b""))
        with pytest.raises(LadestromError, match="ended while it read this one"):
            await killing
        assert (await waiting).reports == []
        assert own.pid not in {None, first}


async def test_one_that_died_with_nothing_to_do_costs_no_message() -> None:
    async with reading() as own:
        await read(own, b"")
        assert own.pid is not None
        first = own.pid
        os.kill(first, signal.SIGKILL)
        # Until it was waited for: only then is its death noticed here.
        await come_true(lambda: not Path(f"/proc/{first}").exists())
        assert (await read(own, b"")).reports == []


async def test_a_message_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with reading() as own:
        await read(own, b"")
        assert own.pid is not None
        first = own.pid
        monkeypatch.setattr(parsing, "PARSE_S_MAX", 0.01)
        with pytest.raises(LadestromError, match="took longer than"):
            await read(own, b"sleep")
        monkeypatch.undo()
        await come_true(lambda: not is_running(first))
        assert (await read(own, b"")).reports == []


async def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "WAITING_MAX", 2)
    async with reading() as own:
        waiting = [asyncio.create_task(read(own, b"")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="2 messages larger than 256 KiB are waiting"):
            await read(own, b"")
        await asyncio.gather(*waiting)
        await read(own, b"")


async def test_an_operator_has_so_many_waiting_and_others_are_read() -> None:
    async with reading() as own:
        waiting = [asyncio.create_task(read(own, b"")) for _ in range(WAITING_PER_OPERATOR_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests, match='16 messages of "abc" larger than 256 KiB are waiting'):
            await read(own, b"")
        assert (await read(own, b"", operator="xyz")).reports == []
        await asyncio.gather(*waiting)
        await read(own, b"")


async def test_one_that_cannot_be_started_is_tried_again_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> None:
        raise OSError(24, "Too many open files")

    async with reading() as own:
        with monkeypatch.context() as patched:
            patched.setattr(parsing, "ProcessPoolExecutor", fails)
            with pytest.raises(Overloaded, match="Too many open files"):
                await read(own, b"")
        assert (await read(own, b"")).reports == []


async def test_it_ends_when_its_parent_is_killed() -> None:
    with program([sys.executable, "-c", PARENT], stdout=PIPE) as parent:
        assert parent.stdout is not None
        pid = int(await asyncio.to_thread(parent.stdout.readline))
        assert is_running(pid)
        # The parent alone: the other one is told by nobody.
        os.kill(parent.pid, signal.SIGKILL)
        await come_true(lambda: not is_running(pid))
