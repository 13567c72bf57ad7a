"""The table of backends: what each row says is there, and every address that it shows is accepted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from ladestrom import targets
from ladestrom.backends.opening import Opening
from ladestrom.backends.table import LOGS, STORES, Backend, accepted, pattern, shown, store_of

TABLES: tuple[Mapping[str, Backend], ...] = (LOGS, STORES)
ROWS = [(table, scheme) for table in TABLES for scheme in table]


@pytest.mark.parametrize(("table", "scheme"), ROWS, ids=[scheme for _, scheme in ROWS])
def test_a_row_names_what_opens_it_and_how_its_address_is_written(
    table: Mapping[str, Backend], scheme: str
) -> None:
    found = table[scheme]
    assert callable(targets.load(found.open))
    assert found.address.startswith(f"{scheme}:")
    assert re.fullmatch(pattern(table), found.address)
    assert f"`{found.address}` ({found.keeps})" in accepted(table)


@pytest.mark.parametrize("scheme", STORES)
def test_a_store_that_is_no_file_says_its_version(scheme: str) -> None:
    found = STORES[scheme]
    assert bool(found.file) is not bool(found.version)
    assert not found.version or callable(targets.load(found.version))


def test_a_log_with_a_file_outlives_its_process() -> None:
    assert all(found.outlives for found in LOGS.values() if found.file)


def test_where_a_store_is_is_shown_without_its_password(tmp_path: Path) -> None:
    for url, where in (
        ("sqlite:", str(tmp_path / "store.db")),
        ("postgresql://me:canary@db.example/status", "postgresql://***@db.example/status"),
    ):
        opening = Opening(url=url, folder=tmp_path)
        assert shown(store_of(url), opening) == where
        assert "canary" not in repr(opening)
