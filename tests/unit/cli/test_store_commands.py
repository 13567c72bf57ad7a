"""`ladestrom keys`, `operators` and `import`, called in this process: what they take, print and end with."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from tests.importing import counts, irve, ocpi
from tests.unit.cli.conftest import Run

from ladestrom.backends.sql import SqlStore, open_store
from ladestrom.cli.store import duration_s, now, shown_duration
from ladestrom.core.key_making import asked, self_made
from ladestrom.errors import BadRequest
from ladestrom.model import Evse
from ladestrom.ports.keys import KeyRecord
from ladestrom.ports.registry import RegistryDelta

T = TypeVar("T")


def keys(data: Path) -> list[KeyRecord]:
    async def read(store: SqlStore) -> list[KeyRecord]:
        return list(await store.keys())

    return asyncio.run(_with_store(data, read))


def registry(data: Path) -> RegistryDelta:
    return asyncio.run(_with_store(data, lambda store: store.registry_since(0)))


async def _with_store(data: Path, read: Callable[[SqlStore], Awaitable[T]]) -> T:
    store = await open_store(data)
    try:
        return await read(store)
    finally:
        await store.close()


def evses(data: Path) -> list[Evse]:
    return [evse for each in registry(data).stations if each.vanished_at is None for evse in each.evses]


def test_a_reporting_key_needs_an_operator_that_exists(run: Run, data: Path) -> None:
    told = run("keys", "create", "--name", "x", "--scope", "report", code=2)
    assert "needs an operator" in told.stderr
    assert told.stdout == ""
    assert not data.exists()
    told = run("keys", "create", "--name", "x", "--scope", "report", "--operator", "Acme", code=2)
    assert 'there is no operator "Acme"' in told.stderr
    run("operators", "add", "Acme", "--all")
    run("keys", "create", "--name", "x", "--scope", "report", "stream", "--operator", "Acme")
    run("keys", "create", "--name", "y", "--scope", "report", "--scope", "stream", "--operator", "Acme")
    assert [(each.scopes, each.operator) for each in keys(data)] == [(("stream", "report"), "Acme")] * 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scope", "stream"], "--name"),
        (["--name", "x"], "--scope"),
        (["--name", "x", "--scope", "write"], "write"),
        (["--name", "x", "--scope", "stream", "--expires", "soon"], '"soon" is not a duration'),
        (["--name", "x", "--scope", "stream", "--expires", "0d"], "expire after it was created"),
        (["--name", "x", "--scope", "stream", "--expires", "99999d"], "longer than 36500 days"),
    ],
)
def test_a_key_that_cannot_be_so_is_refused_and_says_why(
    run: Run, data: Path, arguments: Sequence[str], words: str
) -> None:
    told = run("keys", "create", *arguments, code=2)
    assert words in told.stderr
    assert told.stdout == ""
    assert not data.exists()


def test_a_revoked_key_is_listed_so_and_cannot_be_rotated(run: Run, data: Path) -> None:
    key_id = run("keys", "create", "--name", "x", "--scope", "stream").stdout.split("_")[1]
    assert f"{key_id} is revoked" in run("keys", "revoke", key_id).stderr
    assert run("keys", "list").stdout.splitlines()[1].endswith("revoked")
    (row,) = json.loads(run("keys", "list", "--json").stdout)
    assert (row["id"], row["state"]) == (key_id, "revoked")
    assert "is revoked" in run("keys", "rotate", key_id, code=2).stderr
    assert 'there is no key "nobody"' in run("keys", "revoke", "nobody", code=2).stderr


def test_a_key_that_waits_is_listed_with_its_holder_and_is_approved(run: Run, data: Path) -> None:
    def make(store: SqlStore) -> Awaitable[None]:
        wanted = asked("A map", "name@example.org", "shows what is free")
        _, record = self_made(bytes(32), bytes(8), wanted, now(), days=1, approved=False)
        return store.put_key(record, self_made_max=1)

    asyncio.run(_with_store(data, make))
    (key_id,) = (each.id for each in keys(data))
    line = run("keys", "list").stdout.splitlines()[1]
    assert "A map" in line
    assert "name@example.org" in line
    assert "shows what is free" in line
    assert line.endswith("pending")
    assert "approve" in run("keys", "rotate", key_id, code=2).stderr
    assert key_id in run("keys", "approve", key_id).stderr
    (row,) = json.loads(run("keys", "list", "--json").stdout)
    assert (row["state"], row["self_made"], row["email"]) == ("live", True, "name@example.org")
    run("keys", "approve", key_id)
    run("keys", "rotate", key_id)
    assert [(each.self_made, each.email) for each in keys(data)] == [(True, "name@example.org")] * 2
    run("keys", "revoke", key_id)
    assert "cannot be approved" in run("keys", "approve", key_id, code=2).stderr
    assert 'there is no key "nobody"' in run("keys", "approve", "nobody", code=2).stderr


def test_a_list_makes_no_store_where_there_is_none(run: Run, data: Path) -> None:
    for command in (
        ("keys", "list"),
        ("operators", "list"),
        ("keys", "approve", "x"),
        ("keys", "revoke", "x"),
        ("keys", "erase", "x"),
        ("keys", "rotate", "x"),
    ):
        assert "there is no store in" in run(*command, code=2).stderr
    assert not data.exists()


def test_an_operator_is_added_then_replaced_and_it_is_said_which(run: Run) -> None:
    told = run(
        "operators", "add", "Acme", "--party", "FR*ABC", "fr-abd", "--prefix", "fr*x", "--stale-after", "1h"
    )
    assert told.stdout == (
        "added Acme: it may report on FRABC, FRABD, FRX...\nthis covers no EVSE in the registry\n"
    )
    told = run("operators", "add", "Acme", "--all")
    assert told.stdout.startswith("replaced Acme")
    run("operators", "add", "Zeta", "--party", "NO*ABC", "--party", "SE*ABC", "--stale-after", "90m")
    listed = [re.split(r"\s{2,}", line) for line in run("operators", "list").stdout.splitlines()]
    assert listed == [
        ["NAME", "MAY REPORT ON", "STALE AFTER"],
        ["Acme", "all EVSEs", "as set"],
        ["Zeta", "NOABC, SEABC", "90m"],
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "needs a party, a prefix or the right"),
        (["--party", "FRANCE"], '"FRANCE" is no party'),
        (["--prefix", "F"], 'the prefix "F" has 1 characters'),
        (["--all", "--stale-after", "1"], '"1" is not a duration'),
        (["--all", "--stale-after", "0s"], "stale_after_s is 0"),
    ],
)
def test_an_operator_that_cannot_be_so_is_refused_and_says_why(
    run: Run, data: Path, arguments: Sequence[str], words: str
) -> None:
    assert words in run("operators", "add", "Acme", *arguments, code=2).stderr
    assert not data.exists()


def test_the_list_of_operators_shows_how_fresh_each_is_where_a_server_noted_it(run: Run, data: Path) -> None:
    run("operators", "add", "Acme", "--all")
    run("operators", "add", "Silent", "--all")
    noted = {
        "Acme": {"last_report_at": 1_700_000_000_000, "reports": 12, "changes": 3, "refused": 1, "new": 0}
    }
    (data / "freshness.json").write_text(json.dumps(noted))
    lines = [re.split(r"\s{2,}", line) for line in run("operators", "list").stdout.splitlines()]
    assert lines[0][3:] == ["LAST REPORT", "REPORTS", "CHANGES", "REFUSED", "SOURCES"]
    assert lines[1][3:] == ["2023-11-14 22:13:20Z", "12", "3", "1", "-"]
    assert lines[2][3:] == ["never", "0", "0", "0", "-"]
    rows = json.loads(run("operators", "list", "--json").stdout)
    assert rows[0]["freshness"]["last_report_at"] == 1_700_000_000_000
    (data / "freshness.json").write_text('{"Acme": {"last_rep')
    told = run("operators", "list")
    assert told.stdout.splitlines()[0].split() == ["NAME", "MAY", "REPORT", "ON", "STALE", "AFTER"]
    assert "freshness.json cannot be read" in told.stderr


def test_stations_vanish_and_return_and_a_part_makes_none_vanish(run: Run, data: Path) -> None:
    whole = irve(data.parent / "whole", 20)
    part = irve(data.parent / "part", 5)
    run("import", "irve", whole)
    assert counts(run("import", "irve", part, "--partial").stdout)["removed"] == 0
    assert counts(run("import", "irve", part).stdout)["removed"] == 15
    assert len(evses(data)) == 10
    told = counts(run("import", "irve", whole).stdout)
    assert (told["returned"], told["unchanged"]) == (15, 5)


def test_most_of_a_register_vanishes_only_when_forced(run: Run, data: Path) -> None:
    run("import", "irve", irve(data.parent / "whole", 210))
    part = irve(data.parent / "part", 5)
    told = run("import", "irve", part, code=2)
    assert "205 of the 210 stations" in told.stderr
    assert "--force-removal" in told.stderr
    assert len(evses(data)) == 420
    assert counts(run("import", "irve", part, "--force-removal").stdout)["removed"] == 205


def test_refused_records_are_counted_by_reason_and_cost_the_others_nothing(run: Run, data: Path) -> None:
    run("import", "irve", irve(data.parent / "first", 30))
    # The same charge points in another register, and ten new stations.
    told = run("import", "ocpi", ocpi(data.parent / "other", 40), "--partial")
    assert (counts(told.stdout)["refused"], counts(told.stdout)["added"]) == (30, 10)
    kind, example, *_ = told.stdout.split("refused, by reason:\n")[1].splitlines()
    assert kind.split()[0] == "30"
    assert "for example FR*ABC*LOC00000: its EVSE FRABCE000001 belongs to FRA_00001" in example


def test_an_import_of_which_everything_was_refused_ends_with_1(run: Run, data: Path) -> None:
    run("import", "irve", irve(data.parent / "first", 3))
    other = ocpi(data.parent / "other", 3)
    assert counts(run("import", "ocpi", other, "--partial", code=1).stdout)["refused"] == 3


def test_the_nobil_sample_brings_readings_and_changes_nothing_the_second_time(
    run: Run, data: Path, shared_file: Callable[[str], Path]
) -> None:
    sample = shared_file("data/nobil/nobil-v3-sample.json")
    assert counts(run("import", "nobil", sample).stdout)["added"] == 27
    delta = registry(data)
    held = {evse.key for each in delta.stations for evse in each.evses}
    assert delta.readings
    assert {each.evse for each in delta.readings} <= held
    assert counts(run("import", "nobil", sample).stdout)["unchanged"] == 27
    assert registry(data) == delta


def test_a_file_that_is_missing_is_said_to_be(run: Run, data: Path) -> None:
    told = run("import", "irve", data.parent / "none", code=2)
    assert told.stderr == f"ladestrom: {data.parent}/none cannot be read: No such file or directory\n"


def test_a_directory_is_no_register(run: Run, data: Path) -> None:
    told = run("import", "irve", data.parent, code=2)
    assert told.stderr == f"ladestrom: {data.parent} cannot be read: Is a directory\n"
    assert not data.exists()


def test_what_is_no_register_changes_nothing(run: Run, data: Path) -> None:
    path = data.parent / "text"
    path.write_bytes(b"once upon a time")
    assert run("import", "nobil", path, code=2).stdout == ""
    assert registry(data).revision == 0


@pytest.mark.parametrize(
    ("written", "seconds", "shown"),
    [
        ("90d", 7_776_000, "90d"),
        ("120m", 7_200, "2h"),
        ("14 D", 1_209_600, "2w"),
        ("0s", 0, "0w"),
        ("61s", 61, "61s"),
    ],
)
def test_a_duration_is_a_whole_number_and_a_unit(written: str, seconds: int, shown: str) -> None:
    assert duration_s(written, "--expires") == seconds
    assert shown_duration(seconds) == shown


@pytest.mark.parametrize("written", ["", "90", "d", "-1d", "1.5h", "1y", "1d2h", "9" * 13 + "d"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(BadRequest, match="is not a duration; write 30s, 15m, 12h, 90d or 2w"):
        duration_s(written, "--expires")
