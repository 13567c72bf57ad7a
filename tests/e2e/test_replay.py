"""`ladestrom replay` against a real server: what it sends is what consumers and REST show."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import random
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.fold import Fold, Places, Seen, calibration, differences, disagreements, places, sessions
from tests.contracts.frames import checked
from tests.e2e.consuming import Consumer, plain, rest
from tests.e2e.running import (
    LADESTROM,
    REGISTER_PREFIX,
    Running,
    environment,
    irve_register,
    made_up_evses,
)
from tests.patience import DEADLINE_S, FACTOR
from tests.programs import PIPE, program_beside
from websockets.asyncio.client import connect

from ladestrom.client.aio import stream_address
from ladestrom.client.reports import Observation, Reporter
from ladestrom.client.session import Fault, Session
from ladestrom.model import Status

STATIONS, EVSES = 25, 4
CALIBRATED_AT = 1_600_000_000_000
HOUR_MS = 3_600_000
SLICE = 2_000
"""Of the real sessions' observations; `bench/replay.py` sends them all."""
SHARED = Path(os.environ.get("LADESTROM_SHARED", "../shared"))


class World:
    """A server for all tests of this module, and the fold of everything they sent."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.evses = made_up_evses(STATIONS, EVSES)
        self.fold = Fold()
        self.where: Places = {}
        self.report_key = running.key("report", operator="replayer")
        self.stream_key = running.key("stream")
        self._next_at = 1_700_000_000_000

    async def calibrate(self) -> None:
        seen = calibration(self.evses, CALIBRATED_AT)
        async with Reporter(self.running.url, self.report_key) as reporter:
            await reporter.report([Observation(each.evse, Status.AVAILABLE, each.at) for each in seen])
        self.expect(seen)
        self.where = places(seen, await self.settled())

    def expect(self, seen: list[Seen]) -> None:
        for each in seen:
            self.fold.observe(each)

    async def settled(self) -> dict[str, Any]:
        """REST, after everything that has its receipt was told to a consumer, too."""
        async with Consumer(self.running.url, self.stream_key) as consumer:
            board, position = await rest(self.running.url, self.stream_key, self.report_key)
            await consumer.caught_up(position)
        return board

    def window(self) -> int:
        """A day that no other test reports on, after all that came before."""
        self._next_at += 24 * HOUR_MS
        return self._next_at

    def recording(self, file: Path, seed: int, count: int) -> Path:
        """Sessions of a day, in no order; some begin when the one before them ends."""
        chance, begins_at = random.Random(seed), self.window()
        rows = []
        for _ in range(count):
            start = begins_at + chance.randrange(20 * HOUR_MS)
            end = start + chance.randrange(1, 2 * HOUR_MS)
            evse = chance.choice(self.evses)
            rows.append({"start": start, "end": end, "id_pdc_itinerance": evse})
            if chance.random() < 0.2:
                rows.append({"start": end, "end": end + 60_000, "id_pdc_itinerance": evse})
        chance.shuffle(rows)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    async def replay(
        self, *arguments: str, key: str | None = None, given: bytes = b""
    ) -> tuple[int, str, str]:
        """Runs `ladestrom replay`; exit code, standard output, standard error."""
        async with self.begun(*arguments, key=key) as process, asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate(given)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    def begun(
        self, *arguments: str, key: str | None = None
    ) -> contextlib.AbstractAsyncContextManager[asyncio.subprocess.Process]:
        return program_beside(
            [*LADESTROM, "replay", *arguments, "--server", self.running.url],
            env=environment({}) | {"LADESTROM_KEY": key or self.report_key},
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("replay")
    with Running(directory) as running:
        register = irve_register(directory / "register.jsonl", stations=STATIONS, evses=EVSES)
        running.import_register("irve", register)
        running.operator("replayer", prefixes=[REGISTER_PREFIX])
        made = World(running)
        running.start()
        asyncio.run(made.calibrate())
        yield made


async def test_whoever_joins_late_or_comes_and_goes_ends_with_the_fold_that_rest_shows(
    world: World, tmp_path: Path
) -> None:
    file = world.recording(tmp_path / "sessions.jsonl", seed=1, count=2_000)
    url, key = world.running.url, world.stream_key
    async with Consumer(url, key, every_s=0.15) as restless:
        # The recorded day passes in some eight seconds of a quiet machine, so that there is a middle to join in;
        # who comes back on a busy one is told the newest states only, so that few updates must do.
        speed = f"{10_000 / FACTOR:g}"
        replaying = asyncio.create_task(world.replay(str(file), "--speed", speed, "--json"))
        await restless.until(lambda seen: seen.updates > STATIONS, what="in the middle of the replay")
        async with Consumer(url, key) as late:
            assert not replaying.done()
            code, out, err = await replaying
            board, position = await rest(url, key, world.report_key)
            await late.caught_up(position)
            await restless.caught_up(position)
            assert disagreements(board, late.board) == []
            assert disagreements(board, restless.board) == []
            assert late.wrongs == restless.wrongs == []
            assert late.snapshots == 1
    assert restless.snapshots == 1
    assert restless.resumed > 1
    assert code == 0, err
    before = world.fold.counts.copy()
    world.expect(sessions(file))
    counts = world.fold.counts - before
    summary = json.loads(out)
    assert summary["accepted"] == counts["accepted"]
    assert summary["unchanged"] == counts["unchanged"] + counts["stale"]
    assert summary["stale"] == counts["stale"]
    assert summary["sent"] == summary["observations"] == counts.total()
    assert differences(world.fold, world.where, board) == []


async def test_a_server_that_is_killed_during_a_replay_loses_and_doubles_nothing(
    world: World, tmp_path: Path
) -> None:
    file = world.recording(tmp_path / "sessions.jsonl", seed=2, count=2_000)
    url, key = world.running.url, world.stream_key
    async with Consumer(url, key) as consumer:
        replaying = asyncio.create_task(world.replay(str(file), "--batch", "10", "--json"))
        await consumer.until(lambda seen: seen.updates > 200, what="in the middle of the replay")
        await asyncio.to_thread(world.running.kill9)
        await asyncio.to_thread(world.running.start)
        code, out, err = await replaying
        board, position = await rest(url, key, world.report_key)
        await consumer.caught_up(position)
        assert disagreements(board, consumer.board) == []
        assert consumer.wrongs == []
        assert consumer.resumed >= 1
    assert code == 0, err
    assert json.loads(out)["retries"] >= 1
    world.expect(sessions(file))
    assert differences(world.fold, world.where, board) == []


async def test_csv_comes_through_a_pipe_compressed_or_not(world: World) -> None:
    at = world.window()
    for shift, packed in ((0, False), (2 * HOUR_MS, True)):
        rows = [f"{at + shift + number},{evse},{number % 2}" for number, evse in enumerate(world.evses)]
        given = "\n".join(["ts_ms,id,occupied", *rows]).encode()
        code, out, err = await world.replay("-", "--json", given=gzip.compress(given) if packed else given)
        assert code == 0, err
        assert json.loads(out)["sent"] == len(world.evses)
        world.expect(
            [
                Seen(at + shift + number, evse, ("AVAILABLE", "CHARGING")[number % 2])
                for number, evse in enumerate(world.evses)
            ]
        )
    assert differences(world.fold, world.where, await world.settled()) == []


async def test_bad_lines_are_named_and_the_rest_is_sent(world: World) -> None:
    at = world.window()
    given = f"{at},{world.evses[0]},1\nnonsense\n{at + 1},{world.evses[1]},2\n{at + 2},{world.evses[2]},1\n"
    code, out, err = await world.replay("-", given=given.encode())
    assert code == 0
    assert "line 2 skipped: 1 fields" in err
    assert 'line 3 skipped: occupied is "2"' in err
    assert "sent      2 of 2" in out
    assert "4, 2 bad" in out
    world.expect([Seen(at, world.evses[0], "CHARGING"), Seen(at + 2, world.evses[2], "CHARGING")])


async def test_what_the_server_refuses_is_counted_by_its_reason(world: World) -> None:
    at = world.window()
    given = f"{at},{world.evses[0]},1\n{at},FR*NOT*E1,1\n{at},FR*NOT*E2,1\n"
    code, out, err = await world.replay("-", "--json", given=given.encode())
    assert code == 0, err
    assert json.loads(out)["refused"] == {"unknown_evse": 2}
    world.expect([Seen(at, world.evses[0], "CHARGING")])


async def test_only_so_many_are_sent_and_in_order_of_time(world: World) -> None:
    at = world.window()
    given = f"{at + 9},{world.evses[0]},1\n{at},{world.evses[1]},1\n{at + 1},{world.evses[2]},1\n"
    code, out, _ = await world.replay("-", "--limit", "2", "--json", given=given.encode())
    assert (code, json.loads(out)["sent"]) == (0, 2)
    world.expect([Seen(at, world.evses[1], "CHARGING"), Seen(at + 1, world.evses[2], "CHARGING")])
    assert differences(world.fold, world.where, await world.settled()) == []


async def test_a_replay_that_is_interrupted_says_so(world: World, tmp_path: Path) -> None:
    at = world.window()
    file = tmp_path / "slow.csv"
    evse = world.evses[0]
    word = "AVAILABLE" if world.fold.known[evse].status == "CHARGING" else "CHARGING"
    file.write_text(f"{at},{evse},{int(word == 'CHARGING')}\n{at + HOUR_MS},{evse},0\n")
    async with Consumer(world.running.url, world.stream_key) as consumer:
        await consumer.until(lambda seen: seen.snapshots > 0, what="the snapshot")
        async with world.begun(str(file), "--speed", "1") as process:
            await consumer.until(lambda seen: seen.updates > 0, what="the first observation")
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(DEADLINE_S):
                _, err = await process.communicate()
    assert process.returncode == 130
    assert b"stopped" in err
    world.expect([Seen(at, evse, word)])


async def test_a_key_that_is_no_good_ends_the_replay_with_what_the_server_says(world: World) -> None:
    line = f"{world.window()},{world.evses[0]},1\n".encode()
    code, out, err = await world.replay("-", "--json", key="lst_nonsense", given=line)
    assert code == 1
    assert "401" in err
    assert json.loads(out)["complete"] is False
    code, _, err = await world.replay("-", key=world.stream_key, given=line)
    assert code == 1
    assert "403" in err
    assert world.stream_key not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-file",),
        ("-", "--speed", "0"),
        ("-", "--speed", "quick"),
        ("-", "--batch", "0"),
        ("-", "--connections", "65"),
    ],
)
async def test_what_cannot_be_done_is_an_error_in_one_line(world: World, arguments: tuple[str, ...]) -> None:
    code, out, err = await world.replay(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


async def test_a_file_that_only_begins_as_gzip_is_refused(world: World) -> None:
    code, _, err = await world.replay("-", given=gzip.compress(b"1,A,1\n" * 1000)[:-20])
    assert code == 2
    assert "cannot be read" in err


async def test_a_consumer_that_stops_reading_gets_the_newest_states_in_order_and_nothing_twice(
    world: World,
) -> None:
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024)
    small.connect(("127.0.0.1", world.running.port))
    small.setblocking(False)
    at, session = world.window(), Session()
    # One station changes while the consumer reads and never again; the others change while it does not.
    quiet, busy = world.evses[:EVSES], world.evses[EVSES:]
    seen = [Seen(at + number, evse, "OUTOFORDER", 1) for number, evse in enumerate(quiet)]
    rounds = [
        [Seen(at + 1_000 + turn * 100 + number, evse, ("BLOCKED", "RESERVED")[turn % 2])]
        for turn in range(450)
        for number, evse in enumerate(busy)
    ]
    later = [each for pair in rounds for each in pair]
    async with (
        connect(
            stream_address(world.running.url, {"types": "snapshot,update"}),
            sock=small,
            compression=None,
            max_size=None,
            open_timeout=DEADLINE_S,
            ping_timeout=DEADLINE_S,
            additional_headers={"Authorization": f"Bearer {world.stream_key}"},
        ) as connection,
        Reporter(world.running.url, world.report_key) as reporter,
        asyncio.timeout(DEADLINE_S),
    ):
        session.open()
        session.receive(heard(await connection.recv(decode=False)))
        await send(reporter, seen)
        for _ in quiet:
            assert not isinstance(session.receive(heard(await connection.recv(decode=False))), Fault)
        connection.transport.pause_reading()
        await send(reporter, later)
        board, position = await rest(world.running.url, world.stream_key, world.report_key)
        connection.transport.resume_reading()
        frames = 0
        while session.since != position:
            event = session.receive(heard(await connection.recv(decode=False)))
            assert not isinstance(event, Fault), event
            frames += 1
    world.expect([*seen, *later])
    assert disagreements(board, plain(session.board)) == []
    assert frames < len(later), "the server's window held everything: the consumer was never behind"
    assert differences(world.fold, world.where, board) == []


def heard(frame: bytes) -> bytes:
    """A frame that is as the document says."""
    checked(frame)
    return frame


async def send(reporter: Reporter, seen: list[Seen]) -> None:
    for start in range(0, len(seen), 5_000):
        batch = seen[start : start + 5_000]
        receipt = await reporter.report(
            [Observation(each.evse, Status(each.status), each.at, each.error) for each in batch]
        )
        assert receipt.accepted == len(batch)


def part_of_register(france: Path, evses: set[str], part: Path) -> Path:
    """The register's records of these EVSEs."""
    with gzip.open(france / "irve-statique.json.gz", "rt") as whole:
        part.write_text("".join(row for row in whole if json.loads(row)["id_pdc_itinerance"] in evses))
    return part


@pytest.mark.skipif(
    not (SHARED / "data/france").is_dir(), reason="no sample data: set LADESTROM_SHARED to their folder"
)
async def test_real_sessions_at_real_stations_end_with_the_fold(tmp_path: Path) -> None:
    france = SHARED / "data" / "france"
    recorded = france / "irve-dynamique-sessions.json.gz"
    seen = sessions(recorded, limit=SLICE)
    evses = sorted({each.evse for each in seen})
    fold = Fold()
    with Running(tmp_path) as running:
        running.import_register("irve", part_of_register(france, set(evses), tmp_path / "part.jsonl"))
        running.operator("national", all_evses=True)
        report_key, stream_key = running.key("report", operator="national"), running.key("stream")
        running.start()
        async with Reporter(running.url, report_key) as reporter:
            calibrated = calibration(evses, CALIBRATED_AT)
            await send(reporter, calibrated)
        async with Consumer(running.url, stream_key, every_s=0.5) as consumer:
            board, position = await rest(running.url, stream_key, report_key)
            await consumer.caught_up(position)
            where = places(calibrated, board)
            said = await asyncio.to_thread(
                running.run,
                *("replay", str(recorded), "--limit", str(SLICE), "--json", "--server", running.url),
                *("--key", report_key),
                data=False,
            )
            board, position = await rest(running.url, stream_key, report_key)
            await consumer.caught_up(position)
            assert disagreements(board, consumer.board) == []
            assert consumer.wrongs == []
    for each in [*calibrated, *seen]:
        fold.observe(each)
    assert differences(fold, where, board) == []
    assert json.loads(said)["sent"] == SLICE
