"""What every store of the table of backends does with peers of OCPI."""

from __future__ import annotations

import msgspec
import pytest
from tests.contracts.test_store import NOW, Open, opened, opening  # noqa: F401 - fixtures

from ladestrom.errors import Conflict, NotFound
from ladestrom.model import Operator
from ladestrom.ports.peers import Peer
from ladestrom.ports.stores import Stores


def peer(name: str = "p1", digest: bytes = b"1", **changes: object) -> Peer:
    made = Peer(id=name, operator="abc", state="invited", token_sha256=digest, made_at=NOW)
    return msgspec.structs.replace(made, **changes)


@pytest.fixture
async def store(opened: Open) -> Stores:  # noqa: F811 - the fixture of that name
    store = await opened()
    await store.put_operator(Operator("abc", parties=("NOABC",), may_register=True), NOW)
    return store


async def test_a_peer_is_kept_as_it_was_put_and_counts_as_a_revision(store: Stores) -> None:
    before = await store.revision()
    full = peer(
        state="registered",
        their_token="t",
        their_url="https://p.example/v",
        version="2.2.1",
        endpoints=(("locations", "SENDER", "https://p.example/l"),),
        roles=(("CPO", "NOABC", "ABC"),),
        registered_at=NOW,
    )
    await store.peers.put(full)
    assert list(await store.peers.every()) == [full]
    assert await store.revision() > before


async def test_of_two_that_replace_a_token_only_the_first_does(store: Stores) -> None:
    await store.peers.put(peer(digest=b"1"))
    await store.peers.put(peer(digest=b"2"), instead_of=b"1")
    with pytest.raises(Conflict):
        await store.peers.put(peer(digest=b"3"), instead_of=b"1")
    (kept,) = await store.peers.every()
    assert kept.token_sha256 == b"2"


async def test_a_peer_needs_its_operator_and_can_be_dropped_once(store: Stores) -> None:
    with pytest.raises(NotFound):
        await store.peers.put(peer(operator="nobody"))
    await store.peers.put(peer())
    await store.peers.drop("p1")
    with pytest.raises(NotFound):
        await store.peers.drop("p1")
    assert await store.peers.every() == []


async def test_locations_are_kept_by_operator_and_are_no_revision(store: Stores) -> None:
    before = await store.revision()
    await store.peers.put_locations({("abc", "NO*ABC*B"): b"{}", ("abc", "NO*ABC*A"): b"{ }"}, NOW)
    await store.peers.put_locations({("abc", "NO*ABC*A"): b"{  }"}, NOW)
    assert await store.peers.location("abc", "NO*ABC*A") == b"{  }"
    assert await store.peers.location("abc", "NO*ABC*C") is None
    assert list(await store.peers.locations("abc")) == [("NO*ABC*A", b"{  }"), ("NO*ABC*B", b"{}")]
    assert list(await store.peers.locations("abc", "", 1)) == [("NO*ABC*A", b"{  }")]
    assert list(await store.peers.locations("abc", "NO*ABC*A")) == [("NO*ABC*B", b"{}")]
    assert await store.peers.some_locations("abc", ["NO*ABC*B", "NO*ABC*C"]) == {"NO*ABC*B": b"{}"}
    assert await store.peers.some_locations("def", ["NO*ABC*B"]) == {}
    assert await store.peers.stored_bytes("abc") == 6
    assert await store.peers.stored_bytes("def") == 0
    assert await store.revision() == before


async def test_the_right_to_register_is_kept(store: Stores) -> None:
    (operator,) = await store.operators()
    assert operator.may_register
