"""`ladestrom backup` and `ladestrom restore`. `bench/backup.py` makes many more copies under writes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bench.backup import campaign
from tests.e2e.running import LADESTROM, Running, environment
from tests.e2e.serving import STATIONS, Fold, Serving, furnish, tick
from tests.patience import DEADLINE_S, until
from tests.programs import DEVNULL, Done, program, run

from ladestrom.backends import backup as backups
from ladestrom.backends.backup import MANIFEST_FILE, Manifest, make, restore
from ladestrom.backends.data_directory import RESTORING_FOLDER, DataDirectory
from ladestrom.errors import Conflict, InvalidBackup, LogDamaged, NotFound, NotReady

E1 = "NO*ALF*E1333*1"


def test_a_copy_that_is_made_under_reports_and_registry_writes_is_what_was_at_its_position(
    tmp_path: Path,
) -> None:
    result = campaign(tmp_path, rounds=2, seed=1, each=1, evses=400, lanes=2, batch=20)
    assert result.wrongs == ()
    assert (result.rounds, result.served) == (2, 2)
    assert result.acknowledged > 500
    assert result.registry_writes > 2


def command(*arguments: str) -> Done:
    """A command in a process of its own: SQLite's locks are the process's, and the server's is this one."""
    return run([*LADESTROM, *arguments], env=environment({}))


def test_a_restored_server_has_everything_and_tells_consumers_to_begin_anew(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        server.report({"evse": E1, "status": "CHARGING", "observed_at": tick()})
        server.keep_unread(b"what could not be read")
        before, seq = server.settled()
        epoch = server.app.reader.view.epoch
        done = command("backup", str(tmp_path / "copy"), "--data", str(server.data))
        assert done.returncode == 0, done.stderr
        assert f"position {epoch}-{seq}, 7 EVSEs" in done.stdout
        assert "1 unreadable deliveries" in done.stdout
        keys = dict(server.keys)
        server.report({"evse": E1, "status": "OUTOFORDER", "observed_at": tick()})
    restored = Serving(tmp_path / "elsewhere")
    done = command("restore", str(tmp_path / "copy"), "--data", str(restored.data))
    assert done.returncode == 0, done.stderr
    assert f"continues after {seq} in the new epoch" in done.stdout
    restored.keys.update(keys)
    restored.start()
    try:
        assert restored.settled() == (before, seq)
        assert restored.app.reader.view.epoch != epoch
        assert restored.app.reader.view.epoch in done.stdout
        assert restored.get(f"/api/v2/evses/{E1}").json()["status"] == "CHARGING"
        assert [path.name for path in (restored.data / "quarantine").glob("*/*")]
        with restored.stream(f"since={epoch}-{seq + 1}") as wire:
            fold = Fold()
            fold.take(wire.message())
        assert fold.board == before, "who was told what is not in the backup begins with a snapshot"
        receipt = restored.report({"evse": E1, "status": "BLOCKED", "observed_at": tick()})
        assert receipt["position"] == f"{restored.app.reader.view.epoch}-{seq + 1}"
    finally:
        restored.stop()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory whose server has stopped."""
    with Serving(tmp_path) as server:
        server.report({"evse": E1, "status": "CHARGING", "observed_at": tick()})
        server.keep_unread(b"what could not be read")
    return server.data


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    make(data, tmp_path / "copy")
    return tmp_path / "copy"


def listing(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


class TestBackup:
    def test_a_directory_whose_server_was_killed_is_copied_with_what_is_in_its_write_ahead_log(
        self, tmp_path: Path
    ) -> None:
        furnish(tmp_path / "data")
        with Running(tmp_path) as running:
            running.start()
            running.kill9()
            assert (running.data / "log.db-wal").stat().st_size
            left = listing(running.data)
            manifest = make(running.data, tmp_path / "copy")
            assert manifest.log.evses == 7
            assert manifest.log.last == len(STATIONS) + manifest.log.evses
            after = listing(running.data)
            assert {name: after[name] for name in ("log.db", "log.db-wal", "store.db")} == {
                name: left[name] for name in ("log.db", "log.db-wal", "store.db")
            }, "the original is left as it is"

    def test_its_files_are_for_their_owner_alone(self, copy: Path) -> None:
        found = {
            path.relative_to(copy).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in copy.rglob("*")
        }
        assert {"log.db", "store.db", MANIFEST_FILE, "quarantine"} <= found.keys()
        assert {mode for name, mode in found.items() if (copy / name).is_file()} == {0o600}
        assert {mode for name, mode in found.items() if (copy / name).is_dir()} == {0o700}
        assert stat.S_IMODE(copy.stat().st_mode) == 0o700
        assert not [name for name in found if name.endswith(("-wal", "-shm", "-journal", ".part"))]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_made_by_root_they_belong_to_the_owner_of_the_data(self, data: Path, tmp_path: Path) -> None:
        for path in (data, *data.rglob("*")):
            os.chown(path, 12_345, 12_346)
        make(data, tmp_path / "copy")
        restore(tmp_path / "copy", tmp_path / "restored")
        for place in (tmp_path / "copy", tmp_path / "restored"):
            for path in (place, *place.rglob("*")):
                found = path.stat()
                assert (found.st_uid, found.st_gid) == (12_345, 12_346), path

    def test_a_target_that_is_not_empty_is_refused_and_left_as_it_is(
        self, data: Path, tmp_path: Path
    ) -> None:
        target = tmp_path / "copy"
        target.mkdir()
        (target / "letter").write_text("somebody's")
        with pytest.raises(Conflict, match="not empty"):
            make(data, target)
        assert listing(target) == {"letter": b"somebody's"}

    def test_an_empty_target_is_taken(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "copy").mkdir()
        make(data, tmp_path / "copy")
        assert (tmp_path / "copy" / MANIFEST_FILE).exists()

    def test_a_target_within_the_data_directory_is_refused(self, data: Path) -> None:
        with pytest.raises(Conflict, match="inside the data directory"):
            make(data, data / "quarantine" / "copy")

    @pytest.mark.parametrize("name", ["log.db", "store.db"])
    def test_a_directory_without_a_log_or_a_store_is_none_to_back_up(
        self, data: Path, tmp_path: Path, name: str
    ) -> None:
        (data / name).unlink()
        with pytest.raises(NotFound, match=name):
            make(data, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()

    @pytest.mark.parametrize("name", ["log.db", "store.db"])
    def test_what_is_damaged_is_not_backed_up_as_if_it_were_whole(
        self, data: Path, tmp_path: Path, name: str
    ) -> None:
        with (data / name).open("r+b") as file:
            file.seek(4_096 + 8)
            file.write(b"\xff" * 4_000)
        with pytest.raises(LogDamaged):
            make(data, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()

    def test_a_disk_without_room_leaves_nothing(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tmp_path / "disk"
        place.mkdir()
        options = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(place)]
        if shutil.which("mount") is None or run(options).returncode:
            pytest.skip("this user may not mount a disk")
        try:
            with pytest.raises(NotReady, match=r"MiB are needed .* 0 MiB are free"):
                make(data, place / "copy")
            monkeypatch.setattr(backups, "_require_room", lambda *_: None)
            with pytest.raises(NotReady, match="there is no room left"):
                make(data, place / "copy")
            assert list(place.iterdir()) == []
        finally:
            run(["umount", str(place)], check=True)

    def test_two_into_the_same_directory_do_not_mix(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "copy"
        require, others = backups._require_empty, iter([True])

        def late(folder: Path) -> None:
            require(folder)
            if next(others, False):
                make(data, target)

        target.mkdir()
        monkeypatch.setattr(backups, "_require_empty", late)
        with pytest.raises(Conflict, match="another backup was made"):
            make(data, target)
        restore(target, tmp_path / "restored")

    def test_one_that_was_killed_half_way_is_not_taken_for_a_whole_one(
        self, data: Path, tmp_path: Path
    ) -> None:
        target = tmp_path / "copy"
        code = (
            "import time; from pathlib import Path; from ladestrom.backends import backup\n"
            "backup._store_extent = lambda path: time.sleep(600)\n"
            f"backup.make(Path({str(data)!r}), Path({str(target)!r}))"
        )
        with program([sys.executable, "-c", code]):
            until(
                lambda: (target / "store.db").exists() and (target / "log.db").exists(), "it has copied both"
            )
        with pytest.raises(
            InvalidBackup, match=r"no manifest.json: it is not a backup, or an incomplete one"
        ):
            restore(target, tmp_path / "restored")
        assert not (tmp_path / "restored").exists()

    def test_one_that_is_interrupted_leaves_nothing(self, data: Path, tmp_path: Path) -> None:
        target = tmp_path / "copy"
        code = (
            "import signal, time; from pathlib import Path; from ladestrom.backends import backup\n"
            "backup._store_extent = lambda path: time.sleep(600)\n"
            f"backup.make(Path({str(data)!r}), Path({str(target)!r}))"
        )
        with program([sys.executable, "-c", code], stderr=DEVNULL) as process:
            until((target / "log.db").exists, "it has begun")
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE_S)
        assert not target.exists()


def rewrite(copy: Path, change: Callable[[dict[str, Any]], object], *, signed: bool = True) -> None:
    """Changes a manifest; `signed` as the program would have written it."""
    path = copy / MANIFEST_FILE
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_text(json.dumps(manifest))
    if signed:
        decoded = msgspec.json.decode(path.read_bytes(), type=Manifest)
        manifest["sha256"] = backups._checksum(decoded)
        path.write_text(json.dumps(manifest))


class TestRestore:
    def refused(self, copy: Path, match: str) -> None:
        target = copy.parent / "restored"
        before = listing(copy)
        with pytest.raises(InvalidBackup, match=match):
            restore(copy, target)
        assert not target.exists()
        assert listing(copy) == before

    def test_every_restore_has_an_epoch_of_its_own(self, copy: Path, tmp_path: Path) -> None:
        epochs = {restore(copy, tmp_path / f"restored-{number}")[1] for number in range(5)}
        manifest, epoch = restore(copy, tmp_path / "restored")
        assert len({*epochs, epoch, manifest.log.epoch}) == 7

    def test_its_files_are_for_their_owner_alone(self, copy: Path, tmp_path: Path) -> None:
        target = tmp_path / "restored"
        restore(copy, target)
        assert {path.name for path in target.iterdir()} == {"lock", "log.db", "store.db", "quarantine"}
        for path in target.rglob("*"):
            expected = 0o700 if path.is_dir() else 0o600
            assert path.name == "lock" or stat.S_IMODE(path.stat().st_mode) == expected

    @pytest.mark.parametrize("name", ["log.db", "store.db", MANIFEST_FILE])
    def test_one_with_a_changed_byte_is_refused(self, copy: Path, name: str) -> None:
        content = bytearray((copy / name).read_bytes())
        place = content.index(b'"version": "') + 13 if name == MANIFEST_FILE else len(content) // 2
        content[place] ^= 1
        (copy / name).write_bytes(content)
        self.refused(copy, "is damaged: its checksum does not match")

    @pytest.mark.parametrize("name", ["log.db", "store.db", MANIFEST_FILE])
    def test_one_that_was_truncated_is_refused(self, copy: Path, name: str) -> None:
        with (copy / name).open("r+b") as file:
            file.truncate((copy / name).stat().st_size - 100)
        self.refused(copy, "is damaged" if name == MANIFEST_FILE else "bytes instead of")

    @pytest.mark.parametrize("name", ["log.db", "store.db", MANIFEST_FILE, "quarantine"])
    def test_one_that_lacks_a_file_is_refused(self, copy: Path, name: str) -> None:
        path = copy / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        self.refused(
            copy, "no manifest.json" if name == MANIFEST_FILE else "is missing: the backup is incomplete"
        )

    def test_one_whose_rows_are_others_than_it_says_is_refused(self, copy: Path) -> None:
        rewrite(copy, lambda manifest: manifest["store"]["tables"].update(stations=5))
        self.refused(copy, "another number of rows")

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda manifest: manifest.update(form=2), "has form 2, .* use a newer program"),
            (lambda manifest: manifest["log"].update(format=99), "whose files this program does not know"),
            (
                lambda manifest: manifest["store"].update(schema="9999"),
                "whose files this program does not know",
            ),
            (
                lambda manifest: manifest["files"][0].update(name="../../etc/passwd"),
                "does not name the files",
            ),
            (lambda manifest: manifest["files"][0].update(name="/etc/passwd"), "does not name the files"),
            (lambda manifest: manifest["files"].clear(), "does not name the files"),
        ],
    )
    def test_one_of_a_newer_program_or_with_other_files_is_refused(
        self, copy: Path, change: Callable[[dict[str, Any]], object], match: str
    ) -> None:
        rewrite(copy, change)
        self.refused(copy, match)

    def test_what_is_no_backup_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "copy").mkdir()
        self.refused(tmp_path / "copy", "no manifest.json")

    def test_a_directory_in_use_is_refused(self, copy: Path, tmp_path: Path) -> None:
        target = tmp_path / "restored"
        with DataDirectory(target), pytest.raises(Conflict, match="another ladestrom runs on"):
            restore(copy, target)
        assert [path.name for path in target.iterdir()] == ["lock"]

    def test_a_directory_that_is_not_empty_is_refused_and_left_as_it_is(self, copy: Path, data: Path) -> None:
        before = listing(data)
        with pytest.raises(Conflict, match="not empty"):
            restore(copy, data)
        assert listing(data) == before

    @pytest.mark.parametrize("moves", [0, 1, 2, 3])
    def test_one_that_was_killed_half_way_is_not_started_from(
        self, copy: Path, tmp_path: Path, moves: int
    ) -> None:
        target = tmp_path / "data"
        shutil.rmtree(target)
        code = (
            "import os, signal; from pathlib import Path; from ladestrom.backends import backup\n"
            "left, rename = [int(sys.argv[1])], Path.rename\n"
            "def renamed(self, to):\n"
            "    if not left[0]: os.kill(os.getpid(), signal.SIGKILL)\n"
            "    left[0] -= 1\n"
            "    return rename(self, to)\n"
            "Path.rename, Path.rmdir = renamed, lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
            f"backup.restore(Path({str(copy)!r}), Path({str(target)!r}))"
        )
        killed = run([sys.executable, "-c", f"import sys; {code}", str(moves)])
        assert killed.returncode == -signal.SIGKILL
        assert (target / RESTORING_FOLDER).exists()
        with pytest.raises(Conflict, match="was interrupted: remove the directory"), DataDirectory(target):
            pytest.fail("a server would start on it")
        with pytest.raises(Conflict, match="was interrupted: remove the directory first"):
            restore(copy, target)


def test_the_commands_say_what_is_wrong_and_end_with_2(data: Path, tmp_path: Path) -> None:
    for arguments, expected in (
        (("backup", str(data / "copy"), "--data", str(data)), "inside the data directory"),
        (("backup", str(tmp_path / "copy"), "--data", str(tmp_path / "nowhere")), "nothing to back up"),
        (("restore", str(tmp_path / "nowhere"), "--data", str(tmp_path / "new")), "no manifest.json"),
    ):
        done = command(*arguments)
        assert done.returncode == 2, done.stdout
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()
