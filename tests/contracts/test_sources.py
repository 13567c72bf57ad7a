"""What every store of the table of backends does with sources."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.contracts.test_store import NOW, Open, opened, opening  # noqa: F401 - fixtures

from ladestrom.errors import NotFound
from ladestrom.model import Operator
from ladestrom.ports.sources import SourceRecord
from ladestrom.ports.stores import Stores


@pytest.fixture
async def store(opened: Open) -> Stores:  # noqa: F811 - the fixture of that name
    """An empty store with the operator `Acme`."""
    store = await opened()
    await store.put_operator(Operator("Acme", all=True), NOW)
    return store


def source(name: str = "acme", **changes: Any) -> SourceRecord:
    made = SourceRecord(
        name=name,
        operator="Acme",
        protocol="oicp",
        address="https://example.org/status",
        added_at=NOW,
        changed_at=NOW,
    )
    return msgspec.structs.replace(made, **changes)


FULL = source(
    options={"provider_id": "DE-ÄÖÜ", "ca": "/etc/ca.pem"},
    secret="s3cret 'with quotes\"",
    certificate="/etc/us.pem",
    certificate_key="/etc/us.key",
    poll_s=30,
    paused_at=NOW + 1,
    memory={"etag": '"abc"'},
)


@pytest.mark.parametrize("given", [source(), FULL], ids=["bare", "full"])
async def test_a_source_comes_back_as_it_was_put(store: Stores, given: SourceRecord) -> None:
    assert await store.put_source(given)
    assert await store.sources() == [given]


async def test_sources_come_by_name(store: Stores) -> None:
    for name in ("b", "c", "a"):
        await store.put_source(source(name))
    assert [each.name for each in await store.sources()] == ["a", "b", "c"]


async def test_a_source_needs_its_operator(store: Stores) -> None:
    with pytest.raises(NotFound, match="nobody"):
        await store.put_source(source(operator="nobody"))
    assert await store.sources() == []


async def test_one_that_is_replaced_keeps_its_memory_while_the_same_is_asked(store: Stores) -> None:
    await store.put_source(source(memory={"etag": "1"}))
    assert not await store.put_source(source(secret="new", added_at=NOW + 5, changed_at=NOW + 5))
    (kept,) = await store.sources()
    assert (kept.memory, kept.secret, kept.added_at, kept.changed_at) == ({"etag": "1"}, "new", NOW, NOW + 5)


@pytest.mark.parametrize(
    "changes", [{"address": "https://example.org/other"}, {"protocol": "datex"}, {"options": {"a": "b"}}]
)
async def test_one_that_asks_for_something_else_forgets(store: Stores, changes: dict[str, Any]) -> None:
    await store.put_source(source(memory={"etag": "1"}))
    await store.put_source(source(**changes))
    assert [each.memory for each in await store.sources()] == [{}]


async def test_pausing_going_on_and_removing_are_revisions(store: Stores) -> None:
    revision = await store.revision()
    await store.put_source(source(memory={"etag": "1"}))
    await store.pause_source("acme", NOW + 1, NOW + 1)
    assert [(each.paused_at, each.memory) for each in await store.sources()] == [(NOW + 1, {})]
    await store.pause_source("acme", None, NOW + 2)
    assert [(each.paused_at, each.changed_at) for each in await store.sources()] == [(None, NOW + 2)]
    await store.remove_source("acme")
    assert await store.sources() == []
    assert await store.revision() == revision + 4


async def test_what_is_not_there_cannot_be_paused_nor_removed(store: Stores) -> None:
    with pytest.raises(NotFound, match="nothing"):
        await store.pause_source("nothing", None, NOW)
    with pytest.raises(NotFound, match="nothing"):
        await store.remove_source("nothing")


async def test_memory_is_kept_unless_the_source_was_changed_meanwhile_and_is_no_revision(
    store: Stores,
) -> None:
    await store.put_source(source())
    revision = await store.revision()
    assert await store.remember_source("acme", {"etag": "2"}, NOW)
    assert not await store.remember_source("acme", {"etag": "old"}, NOW - 1)
    assert not await store.remember_source("gone", {}, NOW)
    assert [each.memory for each in await store.sources()] == [{"etag": "2"}]
    assert await store.revision() == revision


async def test_the_file_with_the_secrets_is_its_owners_only(store: Stores, tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    if not file.exists():
        pytest.skip("PostgreSQL has no file here")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_is_not_in_what_is_printed_of_a_source() -> None:
    assert "s3cret" not in repr(FULL)
    assert "s3cret" not in f"{FULL}"
