"""What is kept of deliveries that could not be read, and what is not."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ladestrom.errors import NotFound
from ladestrom.ingest.quarantine import FOLDER, Kept, Quarantine, folder_name

NOW = 1_795_000_000_000


def kept(source: str = "acme", **changes: Any) -> Kept:
    made = Kept(
        source=source,
        operator="Acme",
        protocol="oicp",
        kind="push",
        received_at=NOW,
        code="malformed_body",
        detail="no",
    )
    return msgspec.structs.replace(made, **changes)


def bodies(quarantine: Quarantine, source: str = "acme") -> list[bytes]:
    return [found.body for found in quarantine.of(source)]


def test_a_delivery_comes_back_as_it_was(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    given = kept(media_type="application/json", path="evsepush", method="POST")
    quarantine.keep(given, b"first line\n\nsecond \xff line")
    (found,) = quarantine.of("acme")
    assert (found.kept, found.body) == (given, b"first line\n\nsecond \xff line")
    assert quarantine.count("acme") == 1


def test_it_is_its_owners_only(tmp_path: Path) -> None:
    Quarantine(tmp_path).keep(kept(), b"x")
    for path in (tmp_path / FOLDER).rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_the_newest_of_all_sources_come_first_each_with_an_id_of_its_own(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    for number, source in enumerate(("acme", "other/plain", "acme", "../odd")):
        quarantine.keep(kept(source, received_at=NOW + number // 2), b"body %d" % number)
    found = quarantine.newest(10)
    assert [each.at for each in found] == sorted((each.at for each in found), key=str, reverse=True)
    assert {each.source for each in found} == {"acme", "other/plain", "../odd"}
    assert [each.bytes for each in found] == [6] * 4
    assert len({each.id for each in found}) == 4
    assert len(quarantine.newest(3)) == 3
    told = {quarantine.find(each.id).body: each.source for each in found}
    assert told == {b"body 0": "acme", b"body 1": "other/plain", b"body 2": "acme", b"body 3": "../odd"}


@pytest.mark.parametrize(
    "unread_id",
    [
        "",
        "x",
        "../../store",
        f"{NOW}-000-00000000",
        f"{NOW}-000-*",
        "*-*-*",
        f"{NOW}-000",
        f"{NOW}-000-0000000G",
    ],
)
def test_only_an_id_that_was_given_out_finds_something(tmp_path: Path, unread_id: str) -> None:
    quarantine = Quarantine(tmp_path)
    quarantine.keep(kept(), b"x")
    with pytest.raises(NotFound):
        quarantine.find(unread_id)


def test_where_nothing_was_kept_nothing_is_found(tmp_path: Path) -> None:
    assert Quarantine(tmp_path).newest(10) == []
    with pytest.raises(NotFound):
        Quarantine(tmp_path).find(f"{NOW}-000-00000000")


def test_what_is_no_delivery_is_left_out(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    quarantine.keep(kept(), b"x")
    (good,) = quarantine.newest(10)
    (folder,) = (tmp_path / FOLDER).iterdir()
    (folder / f"{NOW + 1}-000.kept").write_bytes(b"no head\nbody")
    assert quarantine.newest(10) == [good]


def test_keys_of_ours_are_not_kept(tmp_path: Path) -> None:
    Quarantine(tmp_path).keep(kept(), b'{"key": "lst_0123456789_ABCDEF"}')
    assert bodies(Quarantine(tmp_path)) == [b'{"key": "lst_***"}']


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, files_max=3)
    for number in range(6):
        quarantine.keep(kept(received_at=NOW + number // 2), b"%d" % number)
    assert bodies(quarantine) == [b"3", b"4", b"5"]


def test_the_oldest_go_when_they_are_too_large_and_what_is_larger_than_all_is_not_kept(
    tmp_path: Path,
) -> None:
    quarantine = Quarantine(tmp_path, bytes_max=10_000)
    for number in range(5):
        quarantine.keep(kept(received_at=NOW + number), b"%d" % number * 4_000)
    assert [body[:1] for body in bodies(quarantine)] == [b"3", b"4"]
    quarantine.keep(kept(received_at=NOW + 9), b"x" * 10_001)
    assert [body[:1] for body in bodies(quarantine)] == [b"3", b"4"]


def test_nothing_is_kept_where_nothing_is_to_be(tmp_path: Path) -> None:
    Quarantine(tmp_path, files_max=0).keep(kept(), b"x")
    assert not (tmp_path / FOLDER).exists()


def test_one_source_does_not_use_up_what_another_has(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, files_max=1)
    quarantine.keep(kept("acme"), b"a")
    quarantine.keep(kept("beta"), b"b")
    assert (bodies(quarantine, "acme"), bodies(quarantine, "beta")) == ([b"a"], [b"b"])
    quarantine.forget("acme")
    assert (bodies(quarantine, "acme"), bodies(quarantine, "beta")) == ([], [b"b"])
    quarantine.forget("never was")


def test_a_flood_is_kept_a_few_a_minute(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, per_minute_max=2)
    assert [quarantine.admits("acme", NOW + at) for at in (0, 1, 2, 59_999)] == [True, True, False, False]
    assert quarantine.admits("beta", NOW)
    assert [quarantine.admits("acme", NOW + at) for at in (60_000, 60_001, 60_002)] == [True, True, False]


def test_files_of_another_form_are_left_out(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    quarantine.keep(kept(), b"x")
    folder = tmp_path / FOLDER / "acme"
    (folder / "0-000.kept").write_bytes(b"nonsense")
    (folder / "1-000.kept").write_bytes(b"{}\n")
    (folder / "2-000.again").write_bytes(b"nonsense")
    assert bodies(quarantine) == [b"x"]
    assert quarantine.sources_again() == []


def test_what_is_handed_over_is_the_servers_until_it_is_dropped_or_put_back(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    quarantine.keep(kept(), b"x")
    (found,) = quarantine.of("acme")
    quarantine.hand_over(found)
    assert (bodies(quarantine), quarantine.sources_again()) == ([], ["acme"])
    (taken,) = quarantine.handed_over("acme")
    quarantine.put_back(taken)
    assert (bodies(quarantine), quarantine.handed_over("acme")) == ([b"x"], [])
    (found,) = quarantine.of("acme")
    quarantine.hand_over(found)
    quarantine.drop(quarantine.handed_over("acme")[0])
    assert (bodies(quarantine), quarantine.sources_again()) == ([], [])


@pytest.mark.parametrize("source", ["../../etc", "a/b", ".", "..", "ÄÖÜ" * 100, "nul\x00", "x" * 300])
def test_no_name_of_a_source_leaves_the_folder(tmp_path: Path, source: str) -> None:
    quarantine = Quarantine(tmp_path)
    quarantine.keep(kept(source), b"x")
    assert bodies(quarantine, source) == [b"x"]
    (folder,) = (tmp_path / FOLDER).iterdir()
    assert folder.name == folder_name(source)
    assert [path.parent for path in tmp_path.rglob("*.kept")] == [folder]
