"""`ladestrom tail` as people and scripts use it."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from tests.contracts.frames import checked
from tests.e2e.running import LADESTROM, REGISTER_PREFIX, Running, environment, irve_register, made_up_evse
from tests.patience import DEADLINE_S
from tests.programs import PIPE, program_beside, run

from ladestrom.client.reports import Observation, Reporter
from ladestrom.model import Status

BEGINS_AT = 1_700_000_000_000


class World:
    """A server, and a clock for reports."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.report_key = running.key("report", operator="acme")
        self.stream_key = running.key("stream")
        self._at = BEGINS_AT

    async def report(self, *statuses: Status, station: int = 0) -> None:
        async with Reporter(self.running.url, self.report_key) as reporter:
            for status in statuses:
                self._at += 1_000
                receipt = await reporter.report([Observation(made_up_evse(station, 0), status, self._at)])
                assert receipt.accepted == 1

    @asynccontextmanager
    async def tail(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """`ladestrom tail`, connected."""
        named = {"LADESTROM_KEY": self.stream_key, "LADESTROM_URL": self.running.url, "TZ": "UTC"}
        async with program_beside(
            [*LADESTROM, "tail", *arguments], env=environment({}) | named, stdout=PIPE, stderr=PIPE
        ) as process:
            await said(process.stderr, "connected to")
            yield process


async def said(stream: asyncio.StreamReader | None, words: str) -> str:
    """The first line with these words."""
    assert stream is not None
    async with asyncio.timeout(DEADLINE_S):
        while line := (await stream.readline()).decode():
            if words in line:
                return line
    raise AssertionError(f"ended without {words!r}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("tail")
    with Running(directory) as running:
        running.import_register("irve", irve_register(directory / "register.jsonl", stations=2, evses=2))
        running.operator("acme", prefixes=[REGISTER_PREFIX])
        made = World(running)
        running.start()
        yield made


async def test_each_change_is_one_line_with_time_station_and_connectors(world: World) -> None:
    async with world.tail() as process:
        await said(process.stderr, "2 stations")
        await world.report(Status.CHARGING, Status.OUTOFORDER)
        first = await said(process.stdout, "FRA_00001")
        second = await said(process.stdout, "FRA_00001")
    assert re.fullmatch(r"2023-11-14 \d\d:\d\d:\d\d  FRA_00001   busy  unknown\n", first)
    assert second.split()[2:] == ["FRA_00001", "error", "unknown"]


async def test_json_is_the_frames_one_a_line(world: World) -> None:
    async with world.tail("--json") as process:
        frames = [checked(await said(process.stdout, '"snapshot:init"'))]
        await world.report(Status.RESERVED)
        frames.append(checked(await said(process.stdout, '"status:update"')))
    assert len(frames[0]["data"]) == 2
    assert frames[1]["seq"] > frames[0]["seq"]
    assert frames[1]["data"]["connectors"][0]["status"] == 1


async def test_only_what_was_asked_for_is_printed(world: World) -> None:
    async with world.tail("--station", "FRA_00002", "--country", "FRA") as process:
        await said(process.stderr, "1 stations")
        await world.report(Status.AVAILABLE)
        await world.report(Status.CHARGING, station=1)
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            line = (await process.stdout.readline()).decode()
    assert "FRA_00002" in line


async def test_it_resumes_by_itself_and_prints_what_changed_meanwhile(world: World) -> None:
    async with world.tail() as process:
        await world.report(Status.BLOCKED)
        await said(process.stdout, "busy")
        await asyncio.to_thread(world.running.kill9)
        await said(process.stderr, "reconnecting in")
        await asyncio.to_thread(world.running.start)
        await world.report(Status.OUTOFORDER)
        await said(process.stderr, "resuming after")
        await said(process.stdout, "error")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_ends_cleanly_when_it_is_told_to(world: World, number: signal.Signals) -> None:
    async with world.tail() as process:
        await said(process.stderr, "2 stations")
        process.send_signal(number)
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_it_ends_cleanly_when_nobody_reads_it(world: World) -> None:
    command = " ".join(LADESTROM)
    async with program_beside(
        ["sh", "-c", f"({command} tail --json; echo ended with $? >&2) | head -n 1"],
        env=environment({}) | {"LADESTROM_KEY": world.stream_key, "LADESTROM_URL": world.running.url},
        stdout=PIPE,
        stderr=PIPE,
    ) as process:
        await said(process.stdout, "snapshot:init")
        reporting = asyncio.create_task(toggle(world))
        try:
            ended = await said(process.stderr, "ended with")
        finally:
            reporting.cancel()
        assert ended == "ended with 0\n"
        assert process.stderr is not None
        assert await process.stderr.read() == b""


async def toggle(world: World) -> None:
    """Changes one status again and again: something for the tail to write into the closed pipe."""
    while True:
        await world.report(Status.AVAILABLE, Status.CHARGING)


async def test_a_wrong_key_is_said_and_ends_it(world: World) -> None:
    command = [*LADESTROM, "tail", "--server", world.running.url, "--key", "lst_nonsense"]
    done = await asyncio.to_thread(run, command, env=environment({}))
    assert done.returncode == 2
    assert done.stderr.startswith("ladestrom: ")
