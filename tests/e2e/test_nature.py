"""What disks, administrators and other programs do to a server that runs.

Whatever it is: the server says that it is not ready, and why; what it acknowledges is kept; consumers are
served; and it is ready again by itself once the cause is gone.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest
from tests.e2e.running import Running, irve_register, made_up_evse
from tests.e2e.serving import Serving, tick
from tests.e2e.wire import Wire, request
from tests.patience import DEADLINE_S, until
from tests.powercut import Disk
from tests.programs import PIPE, program, run

from ladestrom.errors import LogDamaged

E1, E2 = "NO*ALF*E1333*1", "NO*ALF*E1333*2"
EXPECTED = ("not ready", "append failed")

Undo = Callable[[], object]


def readiness(server: Serving) -> tuple[int, dict[str, str]]:
    answer = server.get("/readyz", key=None)
    told = answer.json()
    assert (answer.status_code == 200) is (told["status"] == "ready") is all(told["checks"].values())
    assert {name for name, holds in told["checks"].items() if not holds} == set(told["reasons"])
    return answer.status_code, told["reasons"]


def becomes_unready(server: Serving, check: str, reason: str) -> None:
    """Waits until `/readyz` says so, and that the reason tells what is wrong without saying where we are."""
    until(lambda: reason in readiness(server)[1].get(check, ""), f"{check} is {reason!r}")
    assert str(server.data) not in str(readiness(server)[1])


def becomes_ready(server: Serving) -> None:
    until(lambda: readiness(server) == (200, {}), "it is ready again by itself")


def status(server: Serving, evse: str = E1) -> str:
    answer = server.get(f"/api/v2/evses/{evse}")
    assert answer.status_code == 200
    word: str = answer.json()["status"]
    return word


def report(server: Serving, word: str, evse: str = E1) -> dict[str, Any]:
    return server.report({"evse": evse, "status": word, "observed_at": tick()})


def refuses_reports(server: Serving, code: str, text: str) -> None:
    for body in ({"evse": E1, "status": "OUTOFORDER", "observed_at": tick()},):
        answer = server.post(body)
        assert answer.status_code == 503, answer.text
        problem = answer.json()
        assert (problem["code"], problem["retry"]) == (code, True)
        assert text in problem["detail"]
        assert "othing" in problem["detail"], "it says that nothing was accepted"
        assert answer.headers["retry-after"]


def serves_consumers(server: Serving, seq: int) -> None:
    with server.stream() as wire:
        message = wire.message()
        assert (message["type"], message["seq"]) == ("snapshot:init", seq)


@contextlib.contextmanager
def disturbed(server: Serving, begin: Callable[[], Undo], check: str, reason: str) -> Iterator[None]:
    """Reports; something happens; the server is not ready while the block runs, and is ready again after it.

    What was acknowledged before, and after, is there when the server has started again.
    """
    server.expects(*EXPECTED)
    report(server, "CHARGING")
    _, seq = server.settled()
    undo = begin()
    becomes_unready(server, check, reason)
    assert server.get("/livez", key=None).status_code == 200
    assert status(server) == "CHARGING"
    serves_consumers(server, seq)
    yield
    undo()
    becomes_ready(server)
    report(server, "AVAILABLE", E2)
    epoch = server.app.reader.view.epoch
    server.stop()
    server.start()
    assert server.app.reader.view.epoch == epoch
    assert (status(server, E1), status(server, E2)) == ("CHARGING", "AVAILABLE")


def move(path: Path) -> Undo:
    elsewhere = path.with_name(f"{path.name}.elsewhere")
    path.rename(elsewhere)
    return lambda: elsewhere.replace(path)


def replace(path: Path) -> Undo:
    undo = move(path)
    path.write_bytes(b"another one")
    return undo


class TestFiles:
    @pytest.mark.parametrize("name", ["log.db", "log.db-wal", "store.db", "lock"])
    @pytest.mark.parametrize("how", [move, replace])
    def test_a_file_that_is_moved_or_replaced(
        self, tmp_path: Path, name: str, how: Callable[[Path], Undo]
    ) -> None:
        with Serving(tmp_path) as server:
            what = "is gone" if how is move else "is not the file any more that the server opened"
            with disturbed(server, lambda: how(server.data / name), "files", f"{name} {what}"):
                refuses_reports(server, "log_misplaced", name)

    def test_a_data_directory_that_is_moved(self, tmp_path: Path) -> None:
        with (
            Serving(tmp_path) as server,
            disturbed(server, lambda: move(server.data), "files", "is gone"),
        ):
            refuses_reports(server, "log_misplaced", "is gone")
            server.post(b"no JSON")
            assert not server.data.exists(), "nothing makes it again, without its lock and its log"

    def test_a_data_directory_that_is_removed_is_told_and_the_server_still_ends_in_order(
        self, tmp_path: Path
    ) -> None:
        with Serving(tmp_path) as server:
            server.expects(*EXPECTED)
            report(server, "CHARGING")
            shutil.rmtree(server.data)
            becomes_unready(server, "files", "is gone")
            refuses_reports(server, "log_misplaced", "is gone")
            assert status(server) == "CHARGING"
            server.stop()
            assert not server.data.exists()

    def test_a_report_right_after_the_log_was_replaced_is_refused_before_anybody_has_looked(
        self, tmp_path: Path
    ) -> None:
        with Serving(tmp_path) as server:
            server.expects(*EXPECTED)
            report(server, "CHARGING")
            undo = move(server.data / "log.db")
            refuses_reports(server, "log_misplaced", "log.db is gone")
            undo()
            becomes_ready(server)

    def test_a_write_ahead_log_that_was_deleted_costs_nothing_over_an_orderly_restart(
        self, tmp_path: Path
    ) -> None:
        with Serving(tmp_path) as server:
            server.expects(*EXPECTED)
            report(server, "CHARGING")
            (server.data / "log.db-wal").unlink()
            becomes_unready(server, "files", "log.db-wal is gone: restart the server")
            server.stop()
            server.start()
            assert readiness(server) == (200, {})
            assert status(server) == "CHARGING"


@contextlib.contextmanager
def on_disk(tmp_path: Path) -> Iterator[tuple[Serving, Disk]]:
    """A server whose log is on a disk that can fail. It is mounted anew over a restart."""
    disk = Disk(Random(1))
    with disk.mounted(), Serving(tmp_path) as server:
        try:
            yield server, disk
        finally:
            disk.failure = None
            disk.answer()


class TestDisk:
    @pytest.mark.parametrize(
        ("failure", "reason"),
        [
            (apsw.FullError("database or disk is full"), "disk is full"),
            (apsw.IOError("disk I/O error"), "disk I/O error"),
            (apsw.ReadOnlyError("attempt to write a readonly database"), "readonly"),
        ],
        ids=["full", "EIO", "read-only"],
    )
    def test_a_disk_that_fails_is_noticed_without_a_report(
        self, tmp_path: Path, failure: apsw.Error, reason: str
    ) -> None:
        with on_disk(tmp_path) as (server, disk):

            def fail() -> Undo:
                disk.failure = failure
                return mend

            def mend() -> None:
                disk.failure = None

            with disturbed(server, fail, "log", reason):
                refuses_reports(server, "log_failure", reason)

    def test_a_disk_that_does_not_answer(self, tmp_path: Path) -> None:
        with on_disk(tmp_path) as (server, disk):

            def hang() -> Undo:
                disk.hang()
                return disk.answer

            with disturbed(server, hang, "log", "the disk has kept the log waiting for"):
                pass

    def test_a_real_disk_that_is_full(self, tmp_path: Path) -> None:
        place = tmp_path / "disk"
        place.mkdir()
        with mounted(place, mib=6), Serving(place) as server:

            def fill() -> Undo:
                filler = place / "filler"
                with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                    while file.write(b"\0" * 4_096):
                        pass
                return filler.unlink

            with disturbed(server, fill, "log", "full"):
                refuses_reports(server, "log_failure", "full")


@contextlib.contextmanager
def mounted(place: Path, mib: int) -> Iterator[None]:
    """A small disk in memory; skips the test where this user may not mount one."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(place)]
    if shutil.which("mount") is None or run(command).returncode:
        pytest.skip("this user may not mount a disk")
    try:
        yield
    finally:
        run(["umount", "--lazy", str(place)], check=True)


HOLDER = """
import sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
store.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


class TestStore:
    def test_a_store_that_another_program_holds(self, tmp_path: Path) -> None:
        with Serving(tmp_path) as server, contextlib.ExitStack() as stack:

            def hold() -> Undo:
                holder = stack.enter_context(
                    program([sys.executable, "-c", HOLDER, server.data / "store.db"], stdin=PIPE, stdout=PIPE)
                )
                assert holder.stdout is not None
                assert holder.stdout.readline() == "held\n"
                return lambda: holder.communicate(timeout=DEADLINE_S)

            with disturbed(server, hold, "store", "the store has not answered for"):
                assert report(server, "BLOCKED", E2)["accepted"] == 1, "reports do not need the store"


class TestDamage:
    def test_a_consumer_of_each_change_that_resumes_over_a_damaged_entry_begins_anew_and_the_server_says_so(
        self, tmp_path: Path
    ) -> None:
        with Serving(tmp_path) as server:
            self.resumes(server)

    def resumes(self, server: Serving) -> None:
        server.expects(*EXPECTED, "damaged", "restarts")
        for word in ("CHARGING", "AVAILABLE", "CHARGING", "AVAILABLE"):
            report(server, word)
        _, last = server.settled()
        with contextlib.closing(apsw.Connection(str(server.data / "log.db"))) as log:
            log.execute("UPDATE entries SET body = '[1, 2' WHERE seq = ?", (last - 1,))
        since = f"{server.app.reader.view.epoch}-{last - 3}"
        with Wire(server.port) as wire:
            wire.open(f"/api/v2/stream?mode=every&batch_ms=0&since={since}", server.bearer())
            told = [wire.message() for _ in range(3)]
            assert [message["type"] for message in told] == ["hello", "reset", "snapshot"]
            assert (told[1]["reason"], told[2]["seq"]) == ("expired", last)
            becomes_unready(server, "log", f"entry {last - 1}")
            report(server, "OUTOFORDER")
            message = wire.message()
            assert (message["type"], message["prev"], message["seq"]) == ("changes", last, last + 1)


class TestDescriptors:
    def test_a_server_without_a_free_descriptor_says_so_to_whoever_is_connected(self, tmp_path: Path) -> None:
        with Running(tmp_path, before_exec=few_descriptors) as running:
            running.import_register("irve", irve_register(tmp_path / "register", stations=1, evses=1))
            running.operator("all", all_evses=True)
            key = running.key("report", operator="all")
            running.start()
            asking, reporting = Wire(running.port), Wire(running.port)
            with asking, reporting, contextlib.ExitStack() as stack:
                assert ask(asking)[0] == 200
                assert tell(reporting, key, "AVAILABLE") == 1

                def crowded() -> bool:
                    with contextlib.suppress(OSError):
                        crowd = stack.enter_context(socket.create_connection(("127.0.0.1", running.port)))
                        crowd.sendall(b"GET /livez HTT")
                    return ask(asking)[0] == 503

                until(crowded, "there are no descriptors left")
                assert "no file can be opened any more" in ask(asking)[1]["reasons"]["files"]
                assert tell(reporting, key, "CHARGING") == 1, "who is connected is served"
                stack.close()
                until(lambda: ask(asking)[0] == 200, "it is ready again by itself")
                with Wire(running.port) as another:
                    assert ask(another)[0] == 200
            running.kill9()
            running.start()
            with Wire(running.port) as again:
                assert tell(again, key, "CHARGING") == 0, "what was acknowledged is kept"
            assert running.stop() == 0


def few_descriptors() -> None:
    import resource  # noqa: PLC0415 - in the server's process

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def ask(wire: Wire) -> tuple[int, dict[str, Any]]:
    """The status and the body of `/readyz`."""
    wire.send(request("/readyz", {"Host": "here"}))
    head, body = wire.answer()
    return head.status, json.loads(body)


def tell(wire: Wire, key: str, word: str) -> int:
    """Reports on the only EVSE; how many changes that was."""
    body = json.dumps({"evse": made_up_evse(0, 0), "status": word, "observed_at": tick()}).encode()
    headers = {"Host": "here", "X-Api-Key": key, "Content-Length": str(len(body))}
    wire.send(request("/api/v2/reports", headers, "POST") + body)
    head, answer = wire.answer()
    assert head.status == 200, answer
    accepted: int = json.loads(answer)["accepted"]
    return accepted


def test_a_server_whose_board_cannot_be_recovered_does_not_start_and_says_what_to_do(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        server.expects("the log is damaged")
        server.stop()
        connection = apsw.Connection(str(server.data / "log.db"))
        connection.execute("UPDATE meta SET value = 0 WHERE name = 'checkpoint'")
        connection.execute("UPDATE entries SET body = '[1, 2' WHERE seq = 3")
        connection.close()
        with pytest.raises(LogDamaged, match=r"entry 3 cannot be read.*ladestrom restore.*start a new log"):
            server.start()
