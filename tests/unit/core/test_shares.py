"""Shares: whom a request counts for, and that only whoever asks for more than its share is refused."""

from __future__ import annotations

import pytest

from ladestrom.core.access import VISITOR
from ladestrom.core.shares import (
    HOUR_MS,
    Allowance,
    Asker,
    Held,
    Kinds,
    PlaceLimits,
    Places,
    asking_address,
    network_of,
)
from ladestrom.errors import LadestromError, Overloaded, TooManyRequests

LIMITS = PlaceLimits(
    total_max=10, per_key_max=4, per_address_max=5, visitors_max=3, visitors_per_address_max=2
)
HERE, THERE = "192.0.2.1", "2001:db8:1:2::/64"


def visitor(address: str) -> Asker:
    return Asker(VISITOR.key_id, address)


@pytest.fixture
def places() -> Places:
    return Places("connections", LIMITS)


def taken(places: Places, asker: Asker, most: int = 100) -> int:
    """Takes as many as it gets."""
    for number in range(most):
        try:
            places.check(asker)
        except LadestromError:
            return number
        places.take(asker)
    return most


class TestPlaces:
    def test_one_key_takes_its_share_and_no_more_wherever_it_asks(self, places: Places) -> None:
        assert taken(places, Asker("a", HERE), 2) + taken(places, Asker("a", THERE)) == 4
        with pytest.raises(TooManyRequests, match="this key"):
            places.check(Asker("a", "198.51.100.1"))
        assert taken(places, Asker("b", "198.51.100.1"), 1) == 1

    def test_one_address_takes_its_share_and_no_more_whatever_its_keys(self, places: Places) -> None:
        assert sum(taken(places, Asker(key, HERE)) for key in "abc") == 5
        with pytest.raises(TooManyRequests, match="this IP address"):
            places.check(Asker("d", HERE))
        assert taken(places, Asker("d", THERE), 1) == 1

    def test_visitors_take_their_share_and_leave_the_rest_to_keys(self, places: Places) -> None:
        assert [taken(places, visitor(address)) for address in (HERE, THERE, "198.51.100.1")] == [2, 1, 0]
        with pytest.raises(TooManyRequests, match="all visitors"):
            places.check(visitor("198.51.100.1"))
        assert taken(places, Asker("a", HERE)) == 4, "visitors at the same address do not count for keys"

    def test_where_no_address_is_counted_keys_have_shares_all_the_same(self, places: Places) -> None:
        assert [taken(places, Asker(key)) for key in "abc"] == [4, 4, 2]
        with pytest.raises(Overloaded):
            places.check(Asker("d"))

    def test_what_is_given_back_can_be_taken_again_and_nothing_is_remembered(self, places: Places) -> None:
        askers = [Asker("a", HERE), visitor(THERE), Asker("b")]
        for _ in range(3):
            for asker in askers:
                places.take(asker)
            for asker in askers:
                places.give_back(asker)
        assert (places.taken, places.by_key, places._by_address) == (0, Held(), Held())


class TestKinds:
    def test_a_key_uses_so_many_different_ones_and_each_as_often_as_it_likes(self) -> None:
        kinds: Kinds[str] = Kinds("different selections", 2)
        for thing in ("x", "y", "x", "x"):
            kinds.check(Asker("a", HERE), thing)
            kinds.take(Asker("a", HERE), thing)
        with pytest.raises(TooManyRequests, match="this key: 2 different selections"):
            kinds.check(Asker("a", THERE), "z")
        kinds.check(Asker("b", THERE), "z")

    def test_an_address_uses_so_many_whatever_its_keys(self) -> None:
        kinds: Kinds[str] = Kinds("different selections", 2)
        kinds.take(Asker("a", HERE), "x")
        kinds.take(visitor(THERE), "x")
        kinds.take(Asker("b", HERE), "y")
        with pytest.raises(TooManyRequests, match="this IP address"):
            kinds.check(Asker("c", HERE), "z")
        kinds.check(Asker("c", HERE), "y")
        kinds.check(visitor(HERE), "z")

    def test_visitors_at_different_addresses_do_not_share(self) -> None:
        kinds: Kinds[str] = Kinds("different selections", 1)
        kinds.take(visitor(HERE), "x")
        kinds.check(visitor(THERE), "y")

    def test_one_may_be_used_in_place_of_another_that_nobody_else_of_the_key_uses(self) -> None:
        kinds: Kinds[str] = Kinds("different selections", 2)
        asker = Asker("a", HERE)
        for thing in ("x", "y", "y"):
            kinds.take(asker, thing)
        kinds.check(asker, "z", instead="x")
        with pytest.raises(TooManyRequests):
            kinds.check(asker, "z", instead="y")

    def test_what_is_given_back_makes_room_and_nothing_is_remembered(self) -> None:
        kinds: Kinds[str] = Kinds("different selections", 1)
        asker = Asker("a", HERE)
        kinds.take(asker, "x")
        kinds.take(asker, "x")
        kinds.give_back(asker, "x")
        with pytest.raises(TooManyRequests):
            kinds.check(asker, "y")
        kinds.give_back(asker, "x")
        kinds.check(asker, "y")
        assert len(kinds) == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("somewhere", "somewhere"),
        ("", ""),
    ],
)
def test_of_ipv6_a_subscribers_network_counts(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "address"),
    [
        ("192.0.2.9", "198.51.100.1", (), "192.0.2.9"),
        ("192.0.2.9", "198.51.100.1", ("192.0.2.8",), "192.0.2.9"),
        ("192.0.2.9", "198.51.100.1", ("192.0.2.9",), "198.51.100.1"),
        ("::ffff:192.0.2.9", "198.51.100.1", ("192.0.2.9",), "198.51.100.1"),
        ("192.0.2.9", "198.51.100.1", ("::ffff:192.0.2.9",), "198.51.100.1"),
        ("192.0.2.9", "::ffff:198.51.100.1", ("192.0.2.9",), "198.51.100.1"),
        ("192.0.2.9", "198.51.100.1:50000", ("192.0.2.9",), "198.51.100.1"),
        ("192.0.2.9", "[2001:db8::1]:50000", ("192.0.2.9",), "2001:db8::1"),
        ("192.0.2.9", "203.0.113.7, 198.51.100.1", ("192.0.2.9",), "198.51.100.1"),
        ("192.0.2.9", "198.51.100.1, 192.0.2.8", ("192.0.2.9", "192.0.2.8"), "198.51.100.1"),
        ("192.0.2.9", "192.0.2.8", ("192.0.2.9", "192.0.2.8"), "192.0.2.8"),
        ("192.0.2.9", "", ("192.0.2.9",), "192.0.2.9"),
        ("192.0.2.9", "198.51.100.1, unknown", ("192.0.2.9",), "192.0.2.9"),
        ("192.0.2.9", "2001:DB8::1", ("192.0.2.9",), "2001:db8::1"),
        ("192.0.2.9", ",".join(["192.0.2.9"] * 10_000), ("192.0.2.9",), "192.0.2.9"),
        ("", "198.51.100.1", ("192.0.2.9",), ""),
    ],
)
def test_only_a_proxy_that_is_believed_says_where_a_request_came_from(
    peer: str, forwarded: str, proxies: tuple[str, ...], address: str
) -> None:
    assert asking_address(peer, forwarded, proxies) == address


class TestAllowance:
    def test_what_is_used_at_once_is_forgiven_within_an_hour(self) -> None:
        allowance = Allowance(100)
        allowance.spend("a", 99, 0)
        assert allowance.wait_s("a", 0) == 0
        allowance.spend("a", 1, 0)
        assert allowance.wait_s("a", 0) == 1
        assert allowance.wait_s("a", 1_000) == 0
        allowance.spend("a", 100, 1_000)
        wait_s = allowance.wait_s("a", 1_000)
        assert allowance.wait_s("a", wait_s * 1_000) == 1
        assert allowance.wait_s("a", 1_000 + wait_s * 1_000) == 0
        assert len(allowance) == 1
        assert allowance.wait_s("a", 1_000 + 2 * HOUR_MS) == 0
        assert len(allowance) == 0

    def test_over_time_it_is_what_an_hour_allows_and_each_holder_has_its_own(self) -> None:
        allowance = Allowance(3_600)
        used = 0
        for second in range(4 * 3_600):
            if not allowance.wait_s("greedy", second * 1_000):
                allowance.spend("greedy", 50, second * 1_000)
                used += 50
            assert not allowance.wait_s("other", second * 1_000)
        assert 3_600 * 4 <= used <= 3_600 * 5 + 50
