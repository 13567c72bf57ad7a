from __future__ import annotations

import hashlib
import logging
import string
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.core.access import (
    DEMO_KEY,
    NAME_CHARACTERS_MAX,
    PARTIES_MAX,
    STALE_AFTER_S_MAX,
    Keyring,
    Reach,
    Scope,
    create_key,
    key_state,
    looks_like_key,
    operator_from,
    rightful,
)
from ladestrom.errors import BadRequest, KeyPending, LadestromError, NotAllowed, Unauthenticated
from ladestrom.model import Evse, Operator, Station, evse_key
from ladestrom.ports.keys import KeyRecord
from ladestrom.ports.registry import StationDraft

NOW = 1_700_000_000_000
ACME = Operator("Acme", parties=("FRABC",))
SECRET = bytes(range(100, 132))
ID = bytes(range(8))


def made(**changes: Any) -> tuple[str, KeyRecord]:
    """A key that reads, made at NOW; the arguments of `create_key` may be changed."""
    given: dict[str, Any] = {
        "secret_bytes": SECRET,
        "id_bytes": ID,
        "name": "a reader",
        "scopes": ["stream"],
        "operator": None,
        "created_at": NOW,
        "expires_at": None,
    }
    given |= changes
    secret_bytes, id_bytes = given.pop("secret_bytes"), given.pop("id_bytes")
    return create_key(secret_bytes, id_bytes, **given)


def with_checksum(text: str) -> str:
    """The text with the six digits that make it look like a key, computed independently."""
    alphabet = string.digits + string.ascii_uppercase + string.ascii_lowercase
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = alphabet[digit] + digits
    return text + digits


# -- the text of a key -------------------------------------------------------------------------------------


def test_a_key_is_lst_and_ten_public_and_thirty_six_secret_characters_of_one_word() -> None:
    text, record = made()
    prefix, key_id, secret = text.split("_")
    assert prefix == "lst"
    assert key_id == record.id
    assert len(key_id) == 10
    assert len(secret) == 36
    assert text.replace("_", "").isalnum()
    assert text.isascii()


def test_the_last_six_characters_are_the_crc32_of_all_before_them() -> None:
    text, _ = made()
    assert text == with_checksum(text[:-6])
    assert looks_like_key(text)


def test_the_record_holds_the_sha256_of_the_random_part_and_nothing_of_the_secret() -> None:
    text, record = made()
    random = text.split("_")[2][:30]
    assert record.secret_sha256 == hashlib.sha256(random.encode()).digest()
    assert random not in repr(record)
    assert random.encode() not in msgspec.json.encode(record)


@given(st.binary(min_size=20, max_size=64), st.binary(min_size=8, max_size=16))
def test_every_key_that_is_made_looks_like_one_and_opens(secret: bytes, key_id: bytes) -> None:
    text, record = made(secret_bytes=secret, id_bytes=key_id)
    assert looks_like_key(text)
    assert Keyring([record], []).authenticate(text, NOW, Scope.STREAM).key_id == record.id


@given(st.binary(min_size=20, max_size=22), st.binary(min_size=20, max_size=22))
def test_twenty_to_twenty_two_random_bytes_are_kept_whole(one: bytes, other: bytes) -> None:
    same = int.from_bytes(one, "big") == int.from_bytes(other, "big")
    assert (made(secret_bytes=one)[1].secret_sha256 == made(secret_bytes=other)[1].secret_sha256) is same


@given(st.integers(0, 50), st.sampled_from(string.ascii_letters + string.digits + "_-* "))
def test_one_wrong_character_no_longer_looks_like_a_key(place: int, character: str) -> None:
    text, _ = made()
    wrong = text[:place] + character + text[place + 1 :]
    assert looks_like_key(wrong) is (wrong == text)


@given(st.text(max_size=80))
def test_no_text_makes_the_check_fail_otherwise_than_by_no(text: str) -> None:
    assert not looks_like_key(text)


@pytest.mark.parametrize(("secret", "key_id"), [(bytes(19), bytes(8)), (bytes(20), bytes(7))])
def test_too_few_random_bytes_are_refused(secret: bytes, key_id: bytes) -> None:
    with pytest.raises(ValueError, match="20 random bytes"):
        made(secret_bytes=secret, id_bytes=key_id)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scopes": []}, "needs a scope"),
        ({"scopes": ["write"]}, '"write" is no scope'),
        ({"scopes": ["report"]}, "needs an operator"),
        ({"name": " "}, "name"),
        ({"name": "x" * (NAME_CHARACTERS_MAX + 1)}, "name"),
        ({"name": "line\nbreak"}, "printable"),
        ({"expires_at": NOW}, "expire"),
    ],
)
def test_a_key_that_cannot_be_so_is_refused_and_says_why(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        made(**changes)


def test_scopes_are_kept_once_and_in_one_order() -> None:
    _, record = made(scopes=["report", "stream", "report"], operator="Acme")
    assert record.scopes == ("stream", "report")


# -- who may what ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scopes", "asked", "granted"),
    [
        (["stream"], Scope.STREAM, True),
        (["stream"], Scope.REPORT, False),
        (["stream"], Scope.ADMIN, False),
        (["report"], Scope.STREAM, False),
        (["report"], Scope.REPORT, True),
        (["report"], Scope.ADMIN, False),
        (["admin"], Scope.STREAM, True),
        (["admin"], Scope.REPORT, False),
        (["admin"], Scope.ADMIN, True),
        (["stream", "report"], Scope.STREAM, True),
        (["stream", "report"], Scope.REPORT, True),
        (["admin", "report"], Scope.REPORT, True),
    ],
)
def test_a_key_opens_what_its_scopes_grant_and_nothing_else(
    scopes: list[str], asked: Scope, granted: bool
) -> None:
    text, record = made(scopes=scopes, operator="Acme")
    keyring = Keyring([record], [ACME])
    if granted:
        credential = keyring.authenticate(text, NOW, asked)
        assert credential.operator == "Acme"
        assert credential.may(asked)
    else:
        with pytest.raises(NotAllowed, match=f"not for {asked}"):
            keyring.authenticate(text, NOW, asked)


def test_a_scope_of_a_newer_version_grants_nothing() -> None:
    text, record = made()
    record = msgspec.structs.replace(record, scopes=("everything",))
    with pytest.raises(NotAllowed):
        Keyring([record], []).authenticate(text, NOW, Scope.STREAM)


def test_a_key_whose_operator_is_gone_reports_for_nobody_but_reads() -> None:
    text, record = made(scopes=["stream", "report"], operator="Acme")
    keyring = Keyring([record], [])
    assert keyring.authenticate(text, NOW, Scope.STREAM).may(Scope.STREAM)
    with pytest.raises(NotAllowed, match="operator that does not exist"):
        keyring.authenticate(text, NOW, Scope.REPORT)


@pytest.mark.parametrize("text", [None, ""])
def test_no_key_is_told_that_it_is_missing(text: str | None) -> None:
    with pytest.raises(Unauthenticated, match=r"^the key is missing$"):
        Keyring([], []).authenticate(text, NOW, Scope.STREAM)


def test_wrong_secret_and_unknown_id_are_told_the_same() -> None:
    text, record = made()
    keyring = Keyring([record], [])
    wrong_secret = with_checksum(text[:-7] + ("A" if text[-7] != "A" else "B"))
    unknown_id = with_checksum("lst_" + "A" * 10 + text[14:-6])
    told = set()
    for wrong in (wrong_secret, unknown_id):
        assert looks_like_key(wrong)
        with pytest.raises(Unauthenticated) as caught:
            keyring.authenticate(wrong, NOW, Scope.STREAM)
        told.add(str(caught.value))
    assert told == {"not a valid key"}


def test_a_key_that_was_shown_rightly_is_told_from_one_that_is_mistyped() -> None:
    text, record = made()
    keyring = Keyring([record], [])
    keyring.authenticate(text, NOW, Scope.STREAM)
    for place in (20, len(text) - 1):
        mistyped = text[:place] + ("1" if text[place] != "1" else "2") + text[place + 1 :]
        with pytest.raises(Unauthenticated, match="mistyped"):
            keyring.authenticate(mistyped, NOW, Scope.STREAM)
    assert keyring.authenticate(text, NOW, Scope.STREAM).key_id == record.id


@given(st.text(min_size=1, max_size=200))
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        Keyring([made()[1]], []).authenticate(text, NOW, Scope.STREAM)
    assert str(caught.value) == "not a valid key: it is incomplete, mistyped, or from another server"


def test_a_revoked_key_opens_nothing_and_its_connections_end() -> None:
    text, record = made()
    keyring = Keyring([msgspec.structs.replace(record, revoked_at=NOW)], [])
    assert len(keyring) == 1
    assert not keyring.is_live(record.id, NOW)
    with pytest.raises(Unauthenticated, match=r"^the key was revoked$"):
        keyring.authenticate(text, NOW, Scope.STREAM)


def test_a_key_expires_at_its_instant() -> None:
    text, record = made(expires_at=NOW + 1)
    keyring = Keyring([record], [])
    keyring.authenticate(text, NOW, Scope.STREAM)
    assert keyring.is_live(record.id, NOW)
    assert not keyring.is_live(record.id, NOW + 1)
    with pytest.raises(Unauthenticated, match=r"^the key has expired$"):
        keyring.authenticate(text, NOW + 1, Scope.STREAM)


@pytest.mark.parametrize(
    ("changes", "at", "state"),
    [
        ({}, NOW, "live"),
        ({"self_made": True}, NOW, "pending"),
        ({"self_made": True, "approved_at": NOW}, NOW, "live"),
        ({"approved_at": NOW}, NOW, "live"),
        ({"self_made": True, "expires_at": NOW + 1}, NOW, "pending"),
        ({"self_made": True, "expires_at": NOW + 1}, NOW + 1, "expired"),
        ({"self_made": True, "revoked_at": NOW}, NOW, "revoked"),
        ({"expires_at": NOW, "revoked_at": NOW}, NOW, "revoked"),
    ],
)
def test_a_key_in_one_word_is_what_it_opens(changes: dict[str, Any], at: int, state: str) -> None:
    text, record = made()
    record = msgspec.structs.replace(record, **changes)
    keyring = Keyring([record], [])
    assert key_state(record, at) == state
    assert keyring.is_live(record.id, at) == (state == "live")
    error: type[LadestromError] = KeyPending if state == "pending" else Unauthenticated
    if state == "live":
        assert keyring.authenticate(text, at, Scope.STREAM).key_id == record.id
    else:
        with pytest.raises(error):
            keyring.authenticate(text, at, Scope.STREAM)
    if state in {"live", "pending"}:
        assert keyring.holder(text, at) == record
    else:
        with pytest.raises(Unauthenticated):
            keyring.holder(text, at)
    assert keyring.owner(text) == record.id


def test_nobody_owns_what_is_no_key_of_the_keyring() -> None:
    text, record = made()
    keyring = Keyring([record], [])
    guessed = with_checksum(f"lst_{record.id}_" + "A" * 30)
    assert [keyring.owner(each) for each in (None, "", "x", guessed, DEMO_KEY)] == [None] * 5
    assert [each in keyring for each in (record.id, "x", DEMO_KEY)] == [True, False, False]
    demo = Keyring([], [], demo=True)
    assert demo.owner(DEMO_KEY) == demo.holder(DEMO_KEY, NOW).id == DEMO_KEY
    assert DEMO_KEY in demo
    assert keyring.owner(text) == record.id


def test_that_a_key_was_revoked_is_not_told_to_who_knows_its_id_only() -> None:
    text, record = made()
    keyring = Keyring([msgspec.structs.replace(record, revoked_at=NOW)], [])
    guessed = with_checksum(f"lst_{record.id}_" + "A" * 30)
    assert guessed != text
    with pytest.raises(Unauthenticated, match=r"^not a valid key$"):
        keyring.authenticate(guessed, NOW, Scope.STREAM)


def test_demo_reads_where_the_keyring_is_a_demo_and_is_no_key_elsewhere() -> None:
    demo = Keyring([], [], demo=True)
    assert demo.authenticate(DEMO_KEY, NOW, Scope.STREAM).scopes == ("stream",)
    assert demo.is_live(DEMO_KEY, NOW)
    for scope in (Scope.REPORT, Scope.ADMIN):
        with pytest.raises(NotAllowed):
            demo.authenticate(DEMO_KEY, NOW, scope)
    plain = Keyring([], [])
    assert not plain.is_live(DEMO_KEY, NOW)
    with pytest.raises(Unauthenticated):
        plain.authenticate(DEMO_KEY, NOW, Scope.STREAM)


def test_the_secret_is_in_no_log_no_error_and_no_text_of_the_keyring(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    text, record = made(scopes=["report"], operator="Acme", expires_at=NOW + 1)
    secret = text.split("_")[2]
    keyring = Keyring([record], [ACME])
    told = [repr(record), repr(keyring), repr(vars(keyring)), caplog.text]
    for presented, now, scope in (
        (text, NOW, Scope.ADMIN),
        (text, NOW + 1, Scope.REPORT),
        (text[:-1], NOW, Scope.REPORT),
        (text + "x", NOW, Scope.REPORT),
        (secret, NOW, Scope.REPORT),
        (with_checksum(text[:13] + "0" + text[14:-6]), NOW, Scope.REPORT),
    ):
        with pytest.raises((Unauthenticated, NotAllowed)) as caught:
            keyring.authenticate(presented, now, scope)
        told += [str(caught.value), repr(caught.value), repr(caught.value.__context__)]
    assert not any(secret[:30] in each for each in told)


# -- what an operator may report on ------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["FR*ABC", "fr-abc", "FRABC", " fr*abc ", "Fr-AbC"])
def test_a_party_is_the_same_in_every_written_form(written: str) -> None:
    assert operator_from("Acme", parties=[written, "FRABC"]).parties == ("FRABC",)


@pytest.mark.parametrize(
    "written", ["", "FR", "FRA", "F1ABC", "FR*ABCD", "FR AB", "FR_ABC", "ﬀ*ABC", "FR*Äbc"]
)
def test_what_is_no_party_is_refused_and_named(written: str) -> None:
    with pytest.raises(BadRequest, match="is no party") as caught:
        operator_from("Acme", parties=[written])
    assert f'"{written}" is no party' in str(caught.value)


@pytest.mark.parametrize(
    ("written", "kept"), [("fr*abc*e1", "FRABCE1"), ("NO", "NO"), ("NOR_01333", "NOR_01333"), ("fr-a", "FRA")]
)
def test_a_prefix_is_kept_in_the_form_of_evse_keys(written: str, kept: str) -> None:
    assert operator_from("Acme", prefixes=[written]).prefixes == (kept,)


@pytest.mark.parametrize("written", ["", "*", "F", "-F-", " ", "F" * 49])
def test_a_prefix_that_is_too_short_or_too_long_is_refused(written: str) -> None:
    with pytest.raises(BadRequest, match="characters without separators"):
        operator_from("Acme", prefixes=[written])


@pytest.mark.parametrize("written", ["FR ABC", "FR.ABC", "ÄÖ", "FR%"])
def test_a_prefix_with_characters_of_no_evse_id_is_refused(written: str) -> None:
    with pytest.raises(BadRequest, match="no EVSE id begins with"):
        operator_from("Acme", prefixes=[written])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "needs a party, a prefix or the right"),
        ({"parties": ["FRABC"] * (PARTIES_MAX + 1)}, "at most"),
        ({"all_evses": True, "stale_after_s": 0}, "stale_after_s"),
        ({"all_evses": True, "stale_after_s": STALE_AFTER_S_MAX + 1}, "stale_after_s"),
    ],
)
def test_an_operator_that_cannot_be_so_is_refused_and_says_why(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        operator_from("Acme", **changes)


@pytest.mark.parametrize("name", ["", "  ", "tab\there", "x" * 101])
def test_an_operator_needs_a_name_of_one_printable_line(name: str) -> None:
    with pytest.raises(BadRequest, match="an operator needs a name"):
        operator_from(name, all_evses=True)


@pytest.mark.parametrize("name", ["register", " Register "])
def test_no_operator_has_the_name_of_the_source_of_registers_statuses(name: str) -> None:
    with pytest.raises(BadRequest, match="choose another name"):
        operator_from(name, all_evses=True)


@pytest.mark.parametrize("written", ["+49*810", "49*810", "49810"])
def test_a_prefix_of_ids_in_digits_has_no_plus(written: str) -> None:
    assert operator_from("din", prefixes=[written]).prefixes == ("49810",)


def evse(key: str, party: str | None = None) -> Evse:
    return Evse(key=key, station="FRA_00001", party=party)


@pytest.mark.parametrize(
    ("operator", "reported", "allowed"),
    [
        (Operator("a", all=True), evse("FRABCE1"), True),
        (Operator("a", parties=("FRABC",)), evse("FRABCE1", "FRABC"), True),
        (Operator("a", parties=("FRABC",)), evse("FRABCE1", "FRXYZ"), False),
        (Operator("a", parties=("FRABC",)), evse("FRABCE1"), False),
        (Operator("a", prefixes=("FRABC",)), evse("FRABCE1"), True),
        (Operator("a", prefixes=("FRABC",)), evse("FRABD1", "FRABC"), False),
        (Operator("a", prefixes=("FRABC", "NO")), evse("NOXYZE1"), True),
        (Operator("a", parties=("FRABC",), prefixes=("NO",)), evse("NOXYZE1", "NOXYZ"), True),
        (Operator("a"), evse("FRABCE1", "FRABC"), False),
    ],
)
def test_an_operator_reports_on_its_party_its_prefixes_or_all_and_on_nothing_else(
    operator: Operator, reported: Evse, allowed: bool
) -> None:
    assert Reach(operator).covers(reported) is allowed


IDS = st.text("AB1", max_size=5)


@given(
    st.booleans(),
    st.lists(IDS, max_size=3),
    st.lists(st.text("AB1", min_size=1, max_size=4), max_size=8),
    IDS,
    st.none() | IDS,
    st.none() | IDS,
)
def test_a_right_is_found_however_many_there_are(
    everything: bool,
    parties: list[str],
    prefixes: list[str],
    key: str,
    evse_id: str | None,
    party: str | None,
) -> None:
    reach = Reach(Operator("a", parties=tuple(parties), prefixes=tuple(prefixes), all=everything))
    begins = any(form.startswith(prefix) for form in (key, evse_id or "") for prefix in prefixes)
    expected = everything or party in parties or begins
    assert reach.covers(Evse(key, "FRA_00001", evse_id=evse_id, party=party)) is expected


def described(*evses: Evse) -> StationDraft:
    """A station of the party FRABC."""
    own = tuple(msgspec.structs.replace(each, station="", party="FRABC") for each in evses)
    return StationDraft(Station("", "S", "FRA", 48.0, 2.0, own, (), native_id="FR*ABC*L1"))


OWNERSHIP = Operator("a", parties=("FRABC", "FRXYZ"), prefixes=("NOUVWE1", "49810"), may_register=True)


@pytest.mark.parametrize(
    ("evse_id", "kept", "party"),
    [
        ("FR*ABC*E1", True, "FRABC"),
        ("fr-xyz-e1", True, "FRXYZ"),
        ("NO*UVW*E1*7", True, "FRABC"),
        ("+49*810*000*438", True, "FRABC"),
        ("49*810*000*438", True, "FRABC"),
        ("NO*UVW*E2", False, "FRABC"),
        ("+49*811*000*438", False, "FRABC"),
        ("FR*ABD*E1", False, "FRABC"),
        ("FRA*BDE*1", False, "FRABC"),
    ],
)
def test_an_operator_describes_evses_with_ids_of_its_parties_and_prefixes_only(
    evse_id: str, kept: bool, party: str
) -> None:
    made = rightful(OWNERSHIP, described(Evse(evse_key(evse_id), "", evse_id=evse_id, uid="1")))
    (found,) = made.station.evses
    assert (found.evse_id, found.key, found.uid) == (
        (evse_id, evse_key(evse_id), "1") if kept else (None, "", "1")
    )
    assert found.party == party
    assert len(made.notes) == (not kept)
    assert rightful(OWNERSHIP, made).station == made.station


def test_the_party_is_that_of_the_id_however_its_separators_stand() -> None:
    # The same id as FR*ABD*E1, written so that its party looks like another.
    made = rightful(OWNERSHIP, described(Evse("FRABDE1", "", evse_id="FR-A*BDE1")))
    assert made.station.evses[0].evse_id is None


def test_one_that_may_report_on_all_may_describe_all() -> None:
    given_draft = described(Evse("NOUVWE2", "", evse_id="NO*UVW*E2"))
    assert rightful(Operator("hub", all=True, may_register=True), given_draft) is given_draft


def test_a_prefix_begins_the_evse_id_of_an_evse_that_is_not_held_by_it() -> None:
    other = Evse("FRA_00001_01", "FRA_00001", evse_id="FR*XYZ*E1", party="FRABC")
    assert Reach(Operator("a", prefixes=("FRXYZ",))).covers(other)
    assert Reach(Operator("a", prefixes=("FRA_00001",))).covers(other)
    assert not Reach(Operator("a", prefixes=("FRABC",))).covers(other)
