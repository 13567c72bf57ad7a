"""Keys that people make themselves: what they say, what they get, how often an address may."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import NOW

from ladestrom.core.access import Keyring, Scope, create_key, key_state, looks_like_key
from ladestrom.core.key_making import (
    ADDRESSES_MAX,
    DAY_MS,
    EMAIL_CHARACTERS_MAX,
    HOUR_MS,
    PURPOSE_CHARACTERS_MAX,
    AddressRate,
    asked,
    self_made,
    successor,
)
from ladestrom.errors import BadRequest, KeyPending
from ladestrom.ports.keys import KeyRecord

SECRET, ID = bytes(range(32)), bytes(range(8))


def make(*, approved: bool) -> tuple[str, KeyRecord]:
    wanted = asked("A map", "name@example.org", "shows  what is\nfree")
    return self_made(SECRET, ID, wanted, NOW, days=30, approved=approved)


class TestAsked:
    @pytest.mark.parametrize("email", ["name@example.org", " n@e ", "navn@blåbær.example", "a+b@c.example"])
    def test_an_address_is_kept_as_it_was_written(self, email: str) -> None:
        assert asked("x", email, None).email == email.strip()

    @pytest.mark.parametrize(
        "email",
        [
            "word",
            "@host.example",
            "word@",
            "a@b@c",
            "a b@c",
            "a@b,c@d",
            "<a@b>",
            "a\x00@b",
            "a\u202e@b",
            "x" * EMAIL_CHARACTERS_MAX + "@example.org",
        ],
    )
    def test_what_is_no_address_is_refused_without_being_repeated(self, email: str) -> None:
        with pytest.raises(BadRequest) as caught:
            asked("x", email, None)
        assert email not in str(caught.value)

    @pytest.mark.parametrize("nothing", [None, "", "  "])
    def test_empty_is_the_same_as_left_out(self, nothing: str | None) -> None:
        assert asked("x", nothing, nothing) == asked("x", None, None)
        assert asked("x", nothing, nothing).email is None

    def test_a_purpose_is_one_line(self) -> None:
        assert asked("x", None, "one\n two\t three ").purpose == "one two three"

    @pytest.mark.parametrize("purpose", ["x" * (PURPOSE_CHARACTERS_MAX + 1), "a\x1b[31m", "a\u202eb"])
    def test_a_purpose_is_printable_and_no_book(self, purpose: str) -> None:
        with pytest.raises(BadRequest, match="purpose"):
            asked("x", None, purpose)


class TestSelfMade:
    def test_it_reads_and_nothing_else_for_its_days(self) -> None:
        text, record = make(approved=True)
        assert looks_like_key(text)
        assert (record.scopes, record.operator) == (("stream",), None)
        assert (record.created_at, record.expires_at) == (NOW, NOW + 30 * DAY_MS)
        assert (record.email, record.purpose) == ("name@example.org", "shows what is free")
        assert (record.self_made, record.approved_at) == (True, NOW)
        assert Keyring([record], []).authenticate(text, NOW, Scope.STREAM).key_id == record.id

    def test_where_it_has_to_be_approved_it_is_good_for_nothing_before(self) -> None:
        text, record = make(approved=False)
        keyring = Keyring([record], [])
        assert key_state(record, NOW) == "pending"
        assert not keyring.is_live(record.id, NOW)
        with pytest.raises(KeyPending):
            keyring.authenticate(text, NOW, Scope.STREAM)
        with pytest.raises(KeyPending):
            keyring.authenticate(text, NOW, Scope.ADMIN)
        assert keyring.holder(text, NOW) == record

    @pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb"])
    def test_it_has_a_name_that_fits_a_line(self, name: str) -> None:
        with pytest.raises(BadRequest, match="name"):
            self_made(SECRET, ID, asked(name, None, None), NOW, days=1, approved=True)

    def test_the_e_mail_is_not_shown_with_the_record(self) -> None:
        _, record = make(approved=True)
        assert "example.org" not in f"{record} {record!r} {[record]}"


@pytest.mark.parametrize("expires_at", [None, NOW + 5])
def test_a_successor_has_the_same_rights_and_the_same_holder(expires_at: int | None) -> None:
    _, old = create_key(
        SECRET, ID, name="x", scopes=["report", "stream"], operator="abc", created_at=NOW - 9, expires_at=NOW
    )
    _, new = successor(SECRET[::-1], ID[::-1], old, NOW, expires_at)
    assert (new.name, new.scopes, new.operator) == (old.name, old.scopes, old.operator)
    assert (new.created_at, new.expires_at, new.self_made) == (NOW, expires_at, False)
    assert new.id != old.id
    _, mine = make(approved=True)
    _, next_of_mine = successor(SECRET[::-1], ID[::-1], mine, NOW + 1, mine.expires_at)
    assert (next_of_mine.email, next_of_mine.purpose) == (mine.email, mine.purpose)
    assert (next_of_mine.self_made, next_of_mine.approved_at) == (True, NOW)


class TestAddressRate:
    def test_an_address_that_had_its_share_waits_until_the_first_is_an_hour_ago(self) -> None:
        rate = AddressRate(2, 100)
        assert [rate.admit("192.0.2.1", NOW + second * 1000) for second in (0, 10)] == [0, 0]
        assert rate.admit("192.0.2.1", NOW + 20_000) == 3_581
        assert rate.admit("192.0.2.2", NOW + 20_000) == 0
        assert rate.admit("192.0.2.1", NOW + HOUR_MS - 1) == 1
        assert rate.admit("192.0.2.1", NOW + HOUR_MS) == 0

    def test_an_address_that_had_its_share_of_the_day_waits_until_the_first_is_a_day_ago(self) -> None:
        rate = AddressRate(2, 3)
        assert [rate.admit("192.0.2.1", NOW + hour * HOUR_MS) for hour in (0, 1, 2)] == [0, 0, 0]
        assert rate.admit("192.0.2.1", NOW + 10 * HOUR_MS) == 14 * 3600 + 1
        assert rate.admit("192.0.2.1", NOW + DAY_MS - 1) == 1
        assert rate.admit("192.0.2.1", NOW + DAY_MS) == 0

    def test_one_subscriber_of_ipv6_is_one_address(self) -> None:
        rate = AddressRate(1, 1)
        assert rate.admit("2001:db8:1:2::1", NOW) == 0
        assert rate.admit("2001:db8:1:2:ffff::1", NOW) > 0
        assert rate.admit("2001:db8:1:3::1", NOW) == 0

    def test_it_remembers_so_many_addresses_and_no_more(self) -> None:
        rate = AddressRate(1, 1)
        for number in range(ADDRESSES_MAX + 100):
            assert rate.admit(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", NOW) == 0
        assert len(rate) == ADDRESSES_MAX

    @given(
        st.integers(1, 4),
        st.integers(1, 8),
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, HOUR_MS * 3)), max_size=60),
    )
    def test_no_address_gets_more_than_its_share_in_any_hour_or_day(
        self, per_hour: int, per_day: int, asks: list[tuple[str, int]]
    ) -> None:
        rate, now = AddressRate(per_hour, per_day), NOW
        admitted: dict[str, list[int]] = defaultdict(list)
        for address, later_ms in asks:
            now += later_ms
            hour, day = (
                [at for at in admitted[address] if now - at < span_ms] for span_ms in (HOUR_MS, DAY_MS)
            )
            wait_s = rate.admit(address, now)
            most = max(per_hour, per_day)
            assert (wait_s == 0) == (len(hour) < per_hour and len(day) < most)
            if wait_s == 0:
                admitted[address].append(now)
            else:
                then = now + wait_s * 1000
                assert len([at for at in admitted[address] if then - at < HOUR_MS]) < per_hour
                assert len([at for at in admitted[address] if then - at < DAY_MS]) < most
