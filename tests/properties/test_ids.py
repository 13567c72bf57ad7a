"""Ids that somebody writes: two that differ are one only where the model's rules say so."""

from __future__ import annotations

import unicodedata
from typing import Final

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tests.building import make_evse, make_station

from ladestrom.core.digests import wire_key
from ladestrom.core.directory import Directory
from ladestrom.core.fields import identifier
from ladestrom.core.locations import party_of
from ladestrom.core.selection import EVSE_FILTERS, selection
from ladestrom.errors import InvalidSelection
from ladestrom.model import Evse, evse_key, local_key, placed_connector, registry_key

CONFUSING: Final = (
    "\u00ad\u200b\u200d\u2060\ufeff\u034f\u3164\ufe0f\u202e"  # not seen, or turning what follows
    "\u017f\u0131\u00df\ufb01\u212a\u0130\u1e9e"  # capitals or small letters of these are ASCII
    "\uff21\uff11\u0661\u0967\u00b2\u2160\u0410\u0392"  # letters and digits of other scripts
    "\u2010\u2011\u2212\u00a0\u3000\uff0d\u204e\u2217"  # like the separators
    "\x00\x1f\x7f\t\n\r/\\%.#?&;'\"<>"
)
IDS: Final = st.text("NOABCEabce019*- +_" + CONFUSING, max_size=20)
ASCII_LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
ASCII_DIGITS: Final = frozenset("0123456789")


def rule_13(written: str) -> str | None:
    """An EVSE id by the rule, written again letter by letter; None for what is none."""
    kept = [each for each in written if each not in "*- "]
    if kept[:1] == ["+"] and kept[1:] and ASCII_DIGITS.issuperset(kept[1:]):
        kept = kept[1:]
    capitals = [chr(ord(each) - 32) if "a" <= each <= "z" else each for each in kept]
    return "".join(capitals) if capitals and (ASCII_LETTERS | ASCII_DIGITS).issuperset(capitals) else None


@given(IDS)
@example("+49*810*000*438")
@example("49*810*000*438")
@example("+NO*ABC*E1")
@example("\ufb01*ABC*E1")
@example("NO*ABC*E1\u00ad")
def test_an_evse_id_compares_as_the_rule_says_and_anything_else_is_none(written: str) -> None:
    assert evse_key(written) == (rule_13(written) or "")


@given(IDS, IDS)
def test_two_written_ids_are_one_only_where_the_rule_says_so(one: str, other: str) -> None:
    if evse_key(one) and evse_key(one) == evse_key(other):
        assert rule_13(one) == rule_13(other)


@given(IDS, IDS)
def test_two_uids_are_one_only_where_they_differ_in_the_case_of_ascii_letters(one: str, other: str) -> None:
    if local_key(one) == local_key(other):
        pairs = zip(one.strip(" "), other.strip(" "), strict=True)
        assert all(a == b or (a.isascii() and b.isascii() and a.lower() == b.lower()) for a, b in pairs)


@given(st.text("NOR_01234567890nor" + CONFUSING, max_size=16))
def test_a_registry_key_is_never_an_evse_id_and_has_ascii_only(written: str) -> None:
    if registry_key(written):
        assert written.isascii()
        assert not evse_key(written)


@given(st.text(max_size=8), st.text(max_size=8))
@example("N", "OABC")
@example("NO", "AB\u017f")
@example("\uff2e\uff2f", "ABC")
def test_a_party_is_two_letters_and_three_letters_or_digits(country: str, party: str) -> None:
    found = party_of(country, party)
    is_one = len(country.strip(" ")) == 2 and len(party.strip(" ")) == 3
    if found is not None:
        assert is_one
        assert (country + party).isascii()


@given(IDS)
def test_what_an_id_has_within_is_not_folded(written: str) -> None:
    found = identifier(written)
    assert found in {"", written.strip()}
    assert not any(unicodedata.category(each) in {"Cc", "Cf"} for each in found)


@given(st.text("NOABCE01", min_size=1) | st.just("NOR_00001_01"), st.none() | IDS, st.booleans())
def test_a_name_compares_as_the_key(key: str, evse_id: str | None, spaced: bool) -> None:
    if spaced:
        evse_id = " ".join(key).lower()
    evse = Evse(key, "NOR_00001", evse_id=evse_id, uid="NO*XYZ*E1", party="NOABC")
    assert wire_key(evse.name) == evse.key
    assert evse.name in {evse.key, (evse_id or "").replace(" ", "").replace("+", "")}


@given(IDS)
def test_what_is_written_finds_the_evse_only_as_the_rule_says(written: str) -> None:
    evse = make_evse("NO*ABC*E1")
    directory = Directory([make_station(evses=[evse])])
    found = rule_13(written) == "NOABCE1"
    assert directory.find(written) == ((evse,) if found else ())
    assert directory.find_uid(written) == ()


@given(IDS)
def test_a_filter_on_evses_takes_names_only(written: str) -> None:
    assume(written.strip() and "," not in written)
    try:
        wanted = selection({"evse": written}, names=EVSE_FILTERS)
    except InvalidSelection:
        assert rule_13(written.strip()) is None
    else:
        assert wanted.evse == {rule_13(written.strip())}


@pytest.mark.parametrize(
    "written",
    [
        "connector 1 of NOR_00001\n",
        "connector \u0661 of NOR_00001",
        "connector 01234 of NOR_00001",
        "NOR_00001_1",
    ],
)
def test_a_connector_is_placed_in_one_form_only(written: str) -> None:
    assert placed_connector(written) is None
