from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.building import NOW, make_operator

from ladestrom.core.access import VISITOR, Keyring, Scope, create_key
from ladestrom.core.shares import Asker, PlaceLimits
from ladestrom.credentials import (
    MINUTE_MS,
    TICKET_S,
    ClientAddresses,
    Doorkeeper,
    Tickets,
    presented_key,
)
from ladestrom.errors import KeyPending, NotAllowed, Overloaded, TooManyRequests, Unauthenticated
from ladestrom.model import Millis
from ladestrom.ports.keys import KeyRecord

HOUR_MS = 60 * MINUTE_MS


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def make_key(number: int, *scopes: str, expires_at: Millis | None = None) -> tuple[str, KeyRecord]:
    return create_key(
        bytes([number]) * 20,
        bytes([number]) * 8,
        name=f"key {number}",
        scopes=scopes,
        operator="abc" if "report" in scopes else None,
        created_at=NOW,
        expires_at=expires_at,
    )


READ, READ_RECORD = make_key(1, "stream")
REPORT, REPORT_RECORD = make_key(2, "report")
BRIEF, BRIEF_RECORD = make_key(3, "stream", expires_at=NOW + HOUR_MS)
STRANGE, _ = make_key(4, "stream")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(clock: Clock) -> Doorkeeper:
    return Doorkeeper(Keyring([READ_RECORD, REPORT_RECORD, BRIEF_RECORD], [make_operator()]), clock)


class TestPresentedKey:
    @pytest.mark.parametrize(
        ("headers", "query", "key"),
        [
            ({}, None, None),
            ({}, {}, None),
            ({"authorization": "Bearer K"}, None, "K"),
            ({"authorization": "bearer  K "}, None, "K"),
            ({"authorization": "BEARER K"}, None, "K"),
            ({"x-api-key": " K "}, None, "K"),
            ({}, {"key": "K"}, "K"),
            ({}, {"apikey": "K"}, "K"),
            ({}, {"token": "K"}, None),
            ({"authorization": "Bearer K", "x-api-key": "L"}, {"key": "M"}, "K"),
            ({"x-api-key": "L"}, {"key": "M"}, "L"),
            ({}, {"key": "", "apikey": "K"}, "K"),
            ({}, {"key": "K", "apikey": "L"}, "K"),
            ({"x-api-key": ""}, {"apikey": "K"}, "K"),
            ({"authorization": ""}, {"apikey": "K"}, "K"),
            ({"authorization": "Bearer"}, {"apikey": "K"}, ""),
        ],
    )
    def test_a_header_wins_over_the_query(
        self, headers: Mapping[str, str], query: Mapping[str, str] | None, key: str | None
    ) -> None:
        assert presented_key(headers, query) == key

    def test_the_query_is_looked_at_only_where_it_is_given(self) -> None:
        assert presented_key({}) is None

    @pytest.mark.parametrize("authorization", ["Basic K", "K", "Token K", "Bearer: K"])
    def test_another_scheme_is_refused_with_a_hint(self, authorization: str) -> None:
        with pytest.raises(Unauthenticated, match="write: Authorization: Bearer KEY"):
            presented_key({"authorization": authorization, "x-api-key": "K"}, {"key": "K"})

    @pytest.mark.parametrize(
        ("authorization", "key"),
        [
            ("Basic dXNlcjpL", "K"),
            ("basic  dXNlcjpL ", "K"),
            ("Basic OkssZTpm", "K,e:f"),
            ("Basic dXNlcg==", ""),
            ("Bearer K", "K"),
        ],
    )
    def test_where_basic_is_understood_the_password_is_the_key(self, authorization: str, key: str) -> None:
        assert presented_key({"authorization": authorization}, basic=True) == key

    @pytest.mark.parametrize("authorization", ["Basic K", "Basic ////", "Basic /w==", "Basic"])
    def test_what_is_no_basic_is_refused(self, authorization: str) -> None:
        if authorization == "Basic":
            assert presented_key({"authorization": authorization}, basic=True) == ""
        else:
            with pytest.raises(Unauthenticated, match="Base64 of USER:KEY"):
                presented_key({"authorization": authorization}, basic=True)


class TestDoorkeeper:
    def test_a_good_key_is_its_owners_credential(self, door: Doorkeeper) -> None:
        assert door.credential({"x-api-key": READ}, Scope.STREAM).name == "key 1"
        assert door.credential({}, Scope.STREAM, {"key": READ}).name == "key 1"
        reporting = door.credential({"authorization": f"Bearer {REPORT}"}, Scope.REPORT)
        assert reporting.operator == "abc"
        assert door.reporter(reporting.key_id) == make_operator()
        assert door.refused == 0

    def test_every_refusal_is_counted_and_notes_no_use(self, clock: Clock, door: Doorkeeper) -> None:
        clock.now += HOUR_MS
        for headers in ({}, {"x-api-key": STRANGE}, {"x-api-key": BRIEF}, {"authorization": "Basic K"}):
            with pytest.raises(Unauthenticated):
                door.credential(headers, Scope.STREAM)
        with pytest.raises(NotAllowed):
            door.credential({"x-api-key": READ}, Scope.REPORT)
        assert door.refused == 5
        assert door.take_used() == {}

    def test_use_is_noted_to_the_minute_and_taken_once(self, clock: Clock, door: Doorkeeper) -> None:
        clock.now = NOW - NOW % MINUTE_MS + 7_777
        door.credential({"x-api-key": READ}, Scope.STREAM)
        clock.now += MINUTE_MS
        door.credential({"x-api-key": READ}, Scope.STREAM)
        door.credential({"x-api-key": REPORT}, Scope.REPORT)
        minute = clock.now - 7_777
        assert door.take_used() == {READ_RECORD.id: minute, REPORT_RECORD.id: minute}
        assert door.take_used() == {}

    def test_a_connection_may_stay_as_long_as_its_key_is_good(self, clock: Clock, door: Doorkeeper) -> None:
        assert door.is_live(BRIEF_RECORD.id)
        clock.now += HOUR_MS
        assert not door.is_live(BRIEF_RECORD.id)
        assert door.is_live(READ_RECORD.id)
        assert not door.is_live("unknown")

    def test_what_is_done_with_a_key_is_counted_with_what_it_was_turned_away_for(
        self, clock: Clock, door: Doorkeeper
    ) -> None:
        clock.now += HOUR_MS
        door.credential({"x-api-key": READ}, Scope.STREAM)
        door.holder({"x-api-key": READ})
        door.holder({"x-api-key": REPORT})
        for headers in ({}, {"x-api-key": STRANGE}, {"x-api-key": BRIEF}, {"x-api-key": READ}):
            with pytest.raises((Unauthenticated, NotAllowed)):
                door.credential(headers, Scope.REPORT)
        told = {key: (use.requests, use.refused) for key, use in door.uses.items()}
        assert told == {READ_RECORD.id: (1, 1), REPORT_RECORD.id: (0, 0), BRIEF_RECORD.id: (0, 1)}
        assert door.uses[READ_RECORD.id].last_used_at == clock.now - clock.now % MINUTE_MS
        assert door.refused == 4

    def test_keys_that_are_no_more_are_forgotten(self, door: Doorkeeper) -> None:
        for key in (READ, REPORT):
            door.holder({"x-api-key": key})
        door.keyring = Keyring([REPORT_RECORD], [make_operator()])
        door.take_used()
        assert set(door.uses) == {REPORT_RECORD.id}

    def test_a_key_that_waits_is_its_holders_and_good_for_nothing(self, clock: Clock) -> None:
        waiting = msgspec.structs.replace(READ_RECORD, self_made=True)
        door = Doorkeeper(Keyring([waiting], []), clock)
        assert door.holder({"x-api-key": READ}) == waiting
        with pytest.raises(KeyPending):
            door.holder({"x-api-key": READ}, waiting=False)
        with pytest.raises(KeyPending):
            door.credential({"x-api-key": READ}, Scope.STREAM)
        assert (door.uses[waiting.id].requests, door.uses[waiting.id].refused) == (0, 2)

    def test_a_new_keyring_counts_at_once(self, door: Doorkeeper) -> None:
        door.keyring = Keyring([REPORT_RECORD], [make_operator()])
        assert not door.is_live(READ_RECORD.id)
        with pytest.raises(Unauthenticated):
            door.credential({"x-api-key": READ}, Scope.STREAM)


class TestTickets:
    ORIGIN = "https://map.example"

    @pytest.fixture
    def tickets(self, clock: Clock) -> Tickets:
        return Tickets(clock)

    def test_a_ticket_is_good_once_for_who_it_was_issued_to(self, door: Doorkeeper, tickets: Tickets) -> None:
        credential = door.credential({"x-api-key": READ}, Scope.STREAM)
        first, second = tickets.issue(credential, self.ORIGIN), tickets.issue(credential, self.ORIGIN)
        assert first != second
        assert tickets.redeem(first, self.ORIGIN) == credential
        with pytest.raises(Unauthenticated):
            tickets.redeem(first, self.ORIGIN)
        assert tickets.redeem(second, self.ORIGIN) == credential

    def test_it_is_good_for_its_time_only(self, clock: Clock, door: Doorkeeper, tickets: Tickets) -> None:
        credential = door.credential({"x-api-key": READ}, Scope.STREAM)
        early, late = tickets.issue(credential, self.ORIGIN), tickets.issue(credential, self.ORIGIN)
        clock.now += TICKET_S * 1000 - 1
        assert tickets.redeem(early, self.ORIGIN) == credential
        clock.now += 1
        with pytest.raises(Unauthenticated):
            tickets.redeem(late, self.ORIGIN)

    def test_pages_of_another_origin_cannot_use_it_and_use_it_up(
        self, door: Doorkeeper, tickets: Tickets
    ) -> None:
        ticket = tickets.issue(door.credential({"x-api-key": READ}, Scope.STREAM), self.ORIGIN)
        for origin in ("https://other.example", self.ORIGIN):
            with pytest.raises(Unauthenticated):
                tickets.redeem(ticket, origin)

    def test_what_was_never_issued_is_refused(self, tickets: Tickets) -> None:
        with pytest.raises(Unauthenticated):
            tickets.redeem("lst_ticket_0", self.ORIGIN)

    LIMITS = PlaceLimits(
        total_max=8, per_key_max=3, per_address_max=4, visitors_max=4, visitors_per_address_max=2
    )

    def test_a_key_has_no_more_open_than_its_share(self, clock: Clock, door: Doorkeeper) -> None:
        tickets = Tickets(clock, self.LIMITS)
        credential = door.credential({"x-api-key": READ}, Scope.STREAM)
        first, *_ = [tickets.issue(credential, self.ORIGIN) for _ in range(3)]
        with pytest.raises(TooManyRequests):
            tickets.issue(credential, self.ORIGIN)
        tickets.redeem(first, self.ORIGIN)
        tickets.issue(credential, self.ORIGIN)
        clock.now += TICKET_S * 1000
        assert tickets.issue(credential, self.ORIGIN)

    def test_those_without_a_key_leave_tickets_for_those_with_one(
        self, clock: Clock, door: Doorkeeper
    ) -> None:
        tickets = Tickets(clock, self.LIMITS)
        asked = refused = 0
        for number in range(100):
            try:
                tickets.issue(VISITOR, "", f"192.0.2.{number % 3}")
                asked += 1
            except TooManyRequests:
                refused += 1
        assert (asked, refused) == (4, 96)
        assert tickets.issue(door.credential({"x-api-key": READ}, Scope.STREAM), self.ORIGIN, "192.0.2.0")

    def test_there_are_no_more_open_than_the_limit_of_all(self, clock: Clock, door: Doorkeeper) -> None:
        tickets = Tickets(clock, msgspec.structs.replace(self.LIMITS, total_max=3))
        for number in range(3):
            tickets.issue(VISITOR, "", f"192.0.2.{number}")
        with pytest.raises(Overloaded):
            tickets.issue(door.credential({"x-api-key": READ}, Scope.STREAM), self.ORIGIN)


class TestClientAddresses:
    PROXY, CLIENT = "192.0.2.9", "198.51.100.1"

    @pytest.mark.parametrize(
        ("peer", "forwarded", "sharer"),
        [
            (CLIENT, "", CLIENT),
            (f"::ffff:{CLIENT}", "", CLIENT),
            ("2001:db8::1", "", "2001:db8::/64"),
            (PROXY, CLIENT, CLIENT),
            (PROXY, "2001:db8::1", "2001:db8::/64"),
            # Whose connection it is nobody says, or only the machine itself.
            (PROXY, "", ""),
            (PROXY, "unknown", ""),
            ("127.0.0.1", "", ""),
            ("127.0.0.1", CLIENT, ""),
            ("::1", "", ""),
            ("::ffff:127.0.0.1", "", ""),
            ("", "", ""),
        ],
    )
    def test_an_address_has_a_share_unless_it_is_that_of_many(
        self, peer: str, forwarded: str, sharer: str
    ) -> None:
        addresses = ClientAddresses([self.PROXY])
        assert addresses.sharer(peer, forwarded) == sharer
        assert addresses.asker(VISITOR, peer, forwarded) == Asker(VISITOR.key_id, sharer)

    def test_a_proxy_that_is_not_named_is_warned_of_once(self) -> None:
        addresses = ClientAddresses([self.PROXY])
        with capture_logs() as logs:
            for _ in range(3):
                addresses.sharer("127.0.0.1", self.CLIENT)
                addresses.sharer(self.PROXY, self.CLIENT)
                addresses.sharer(self.CLIENT)
        assert [each["proxy"] for each in logs] == ["127.0.0.1"]


class TestLook:
    @pytest.fixture
    def open_door(self, door: Doorkeeper) -> Doorkeeper:
        door.visitors = True
        return door

    @pytest.mark.parametrize("headers", [{}, {"x-api-key": ""}, {"x-api-key": REPORT}])
    def test_who_has_no_key_that_reads_is_a_visitor_where_they_are_let_in(
        self, open_door: Doorkeeper, headers: dict[str, str]
    ) -> None:
        assert open_door.look(headers) == VISITOR
        assert (open_door.refused, open_door.take_used()) == (0, {})

    def test_a_key_that_reads_is_itself(self, open_door: Doorkeeper) -> None:
        assert open_door.look({"x-api-key": READ}).key_id == READ_RECORD.id
        assert list(open_door.take_used()) == [READ_RECORD.id]

    @pytest.mark.parametrize("headers", [{"x-api-key": STRANGE}, {"authorization": "Basic eDp5"}])
    def test_a_wrong_key_is_refused_and_counted(self, open_door: Doorkeeper, headers: dict[str, str]) -> None:
        with pytest.raises(Unauthenticated):
            open_door.look(headers)
        assert open_door.refused == 1

    def test_where_they_are_not_let_in_a_key_has_to_read(self, door: Doorkeeper) -> None:
        assert door.look({"x-api-key": READ}).key_id == READ_RECORD.id
        with pytest.raises(Unauthenticated):
            door.look({})
        with pytest.raises(NotAllowed):
            door.look({"x-api-key": REPORT})

    def test_connections_of_visitors_may_stay_as_long_as_they_are_let_in(self, open_door: Doorkeeper) -> None:
        assert open_door.is_live(VISITOR.key_id)
        open_door.visitors = False
        assert not open_door.is_live(VISITOR.key_id)
