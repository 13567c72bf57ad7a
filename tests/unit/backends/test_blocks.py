"""Blocks: what is read is what was made, and whatever is lost, replaced or edited is noticed and named."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import pytest
from tests.building import make_changes, make_record, make_station

from ladestrom.backends import blocks
from ladestrom.backends.blocks import BLOCK_BYTES_MAX, Block, End
from ladestrom.backends.postgres.durability import Before, Facts, renewal, require, session, survives
from ladestrom.core.records import entry_of
from ladestrom.errors import InvalidSetting, LogDamaged
from ladestrom.model import AnyChange, Entry

START = End("epoch", 3)


def chain(*groups: Sequence[AnyChange]) -> list[Block]:
    end, found = START, []
    for changes in groups:
        made = blocks.made(end, "me", changes)
        end = blocks.end_of(made[-1])
        found += made
    return found


def test_entries_come_back_as_they_were_and_a_large_group_is_several_blocks() -> None:
    changes: list[AnyChange] = [*make_changes(4_000), make_record(make_station())]
    made = [blocks.opening(START, "me")]
    made += blocks.made(blocks.end_of(made[0]), "me", changes)
    assert len(made) > 2
    assert all(len(block.body) <= BLOCK_BYTES_MAX for block in made)
    entries: list[Entry] = []
    before: Block | None = None
    for block in made:
        read = blocks.read(block.header.number, block.whole, block.crc)
        if before is not None:
            blocks.follows(before, read)
        before, entries = read, entries + read.entries()
    assert entries == [entry_of(seq, change) for seq, change in enumerate(changes, 1)]


def test_a_block_that_was_edited_is_named_whether_or_not_its_checksum_was_edited_too() -> None:
    first, second, third = chain(make_changes(2), make_changes(2, 2), make_changes(1, 4))
    edited = second.whole.replace(b"abc", b"xyz")
    with pytest.raises(LogDamaged, match="block 2 is not as it was written") as caught:
        blocks.read(2, edited, second.crc)
    assert caught.value.seq == 3
    again = blocks.read(2, edited, crc32(edited))
    blocks.follows(first, again)
    with pytest.raises(LogDamaged, match="block 2 is not the one that block 3 was written after"):
        blocks.follows(again, third)


def test_a_block_that_is_missing_is_named() -> None:
    first, _, third = chain(make_changes(2), make_changes(2, 2), make_changes(1, 4))
    with pytest.raises(LogDamaged, match="block 2 is missing") as caught:
        blocks.follows(first, third)
    assert caught.value.seq == 3


# -- durability --------------------------------------------------------------------------------------------


def facts(**members: str) -> Facts:
    given = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "standbys": "",
        "started": "noon",
        "timeline": "00000001",
        "source": "1/2",
        **members,
    }
    return Facts(is_standby=False, schema="public", **given)


@pytest.mark.parametrize(
    ("members", "word"),
    [({"fsync": "off"}, "fsync"), *(({"synchronous_commit": each}, each) for each in ("off", "local"))],
)
def test_full_durability_is_refused_without_proof(members: dict[str, str], word: str) -> None:
    with pytest.raises(InvalidSetting, match=word):
        require(facts(**members), "full")
    require(facts(**members), "relaxed")


def test_what_an_acknowledgement_survives_is_said() -> None:
    assert "not the loss of the primary" in survives(facts(), "full")
    assert "and the loss of the primary" in survives(facts(standbys="*"), "full")
    assert "lose up to a second" in survives(facts(), "relaxed")


@pytest.mark.parametrize(
    ("before", "now", "durability", "renews"),
    [
        ({}, {}, "full", False),
        ({}, {"started": "later"}, "full", False),
        ({}, {"timeline": "00000002"}, "full", True),
        ({"standbys": "*"}, {"timeline": "00000002"}, "full", False),
        ({}, {"source": "1/3"}, "full", True),
        ({}, {}, "relaxed", False),
        ({}, {"started": "later"}, "relaxed", True),
    ],
)
def test_a_new_epoch_begins_where_numbers_may_have_been_lost_that_were_given_out(
    before: dict[str, str], now: dict[str, str], durability: str, renews: bool
) -> None:
    was = facts(**before)
    noted = Before(session(was, durability), was.source, was.timeline, "")
    assert bool(renewal(noted, facts(**now), End("epoch", 1, 5, 9))) is renews
    assert renewal(noted, facts(**now), End("epoch", 1)) == ""
