"""Tickets: how a page opens a stream without ever seeing a key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec
import pytest
from tests.e2e.following import TRANSPORTS, Events, Follower, Transport
from tests.e2e.serving import Serving
from tests.e2e.wire import Head, Wire, refusal

from ladestrom.clocks import steady
from ladestrom.core.access import Credential
from ladestrom.credentials import TICKET_LIMITS, TICKET_S, Tickets
from ladestrom.errors import TooManyRequests, Unauthenticated
from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH

PATH: Final = "/api/v2/tickets"
MAP: Final = "https://map.example"
over = pytest.mark.parametrize("over", TRANSPORTS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share; pages of one foreign origin may use it."""
    with Serving(
        tmp_path_factory.mktemp("tickets"),
        {"server.origins": f"{MAP},https://other.example", "server.cors_origins": []},
    ) as made:
        yield made


def issued(server: Serving, key: str = "stream", **headers: str) -> str:
    """A new ticket."""
    answer = server.request("POST", PATH, headers={**server.bearer(key), **headers})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["ticket"])


def opened(server: Serving, over: Transport, ticket: str, headers: Mapping[str, str] | None = None) -> Head:
    """The answer to a request for the stream with a ticket; what a refusal says is checked."""
    given = {"Host": own_host(server), **(headers or {})}
    if over == "events":
        with Events(server.port) as events:
            return checked(events.ask(f"{EVENTS_PATH}?ticket={ticket}", given), ticket)
    with Wire(server.port) as wire:
        return checked(wire.open(f"{STREAM_PATH}?ticket={ticket}", given), ticket)


def checked(wire: Wire, ticket: str) -> Head:
    if wire.response.status not in {101, 200}:
        assert not ticket or ticket not in str(refusal(wire))
    return wire.response


def own_host(server: Serving) -> str:
    return f"127.0.0.1:{server.port}"


def is_open(head: Head) -> bool:
    return head.status in {101, 200}


# -- getting one -------------------------------------------------------------------------------------------


def test_a_ticket_is_a_word_and_how_long_it_is_good(server: Serving) -> None:
    answer = server.request("POST", PATH, headers=server.bearer())
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert list(answer.json()) == ["ticket", "expires_in_s"]
    assert answer.json()["expires_in_s"] == TICKET_S == 60
    assert len({issued(server) for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (None, 401, "unauthenticated"),
        ("revoked", 401, "unauthenticated"),
        ("expired", 401, "unauthenticated"),
        ("alfa", 403, "not_allowed"),
    ],
)
def test_only_a_key_that_may_read_the_stream_gets_one(
    server: Serving, key: str | None, status: int, code: str
) -> None:
    answer = server.request("POST", PATH, headers=server.bearer(key) if key else {})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_key_in_the_query_gets_none(server: Serving) -> None:
    for name in ("key", "apikey"):
        assert server.request("POST", f"{PATH}?{name}={server.keys['stream']}").status_code == 401


def test_other_methods_are_refused(server: Serving) -> None:
    assert server.get(PATH).status_code == 405


def test_there_is_a_limit_of_tickets_that_nobody_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Serving(tmp_path, {"stream.consumers_per_key_max": 3}) as server:
        tickets = [issued(server) for _ in range(3)]
        answer = server.request("POST", PATH, headers=server.bearer())
        assert (answer.status_code, answer.json()["retry"]) == (429, True)
        assert "retry-after" in answer.headers
        assert is_open(opened(server, "events", tickets[0]))
        issued(server)
        monkeypatch.setattr(server.app.reader.tickets, "_steady", lambda: steady() + TICKET_S * 1000)
        issued(server)


# -- using one ---------------------------------------------------------------------------------------------


@over
def test_a_ticket_opens_one_stream(server: Serving, over: Transport) -> None:
    ticket = issued(server)
    assert is_open(opened(server, over, ticket))
    for again in TRANSPORTS:
        assert opened(server, again, ticket).status == 401


def test_of_many_who_use_a_ticket_at_once_one_gets_in(server: Serving) -> None:
    ticket = issued(server)
    with ThreadPoolExecutor(10) as pool:
        heads = list(pool.map(lambda number: opened(server, TRANSPORTS[number % 2], ticket), range(10)))
    assert [is_open(head) for head in heads].count(True) == 1
    assert {head.status for head in heads if not is_open(head)} == {401}


@over
def test_a_ticket_expires(server: Serving, over: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    good, late = issued(server), issued(server)
    began_at = steady()
    with monkeypatch.context() as patched:
        patched.setattr(server.app.reader.tickets, "_steady", lambda: began_at + TICKET_S * 1000 - 5_000)
        assert is_open(opened(server, over, good))
        patched.setattr(server.app.reader.tickets, "_steady", lambda: began_at + TICKET_S * 1000)
        assert opened(server, over, late).status == 401
    assert opened(server, over, late).status == 401, "it is used up"


@over
@pytest.mark.parametrize("word", ["", "lst_ticket_", "lst_ticket_" + "0" * 48, "%00", "a" * 10_000])
def test_what_was_never_issued_opens_nothing(server: Serving, over: Transport, word: str) -> None:
    head = opened(server, over, word)
    assert head.status == 401
    assert head.headers["www-authenticate"].startswith("Bearer")


def test_a_ticket_is_no_key(server: Serving) -> None:
    ticket = issued(server)
    for headers in ({"Authorization": f"Bearer {ticket}"}, {"X-Api-Key": ticket}):
        assert server.request("GET", "/api/v2/evses", headers=headers).status_code == 401
        assert server.request("POST", PATH, headers=headers).status_code == 401
        assert opened(server, "events", "none", headers).status == 401
    assert server.request("GET", f"/api/v2/evses?ticket={ticket}").status_code == 401
    with Wire(server.port) as wire:
        assert wire.open(f"/api/v1/stream?apikey={ticket}", {}).response.status == 401
    assert is_open(opened(server, "events", ticket)), "all that did not use it up"


def test_a_key_in_a_header_wins_and_leaves_the_ticket_unused(server: Serving) -> None:
    ticket = issued(server)
    assert is_open(opened(server, "events", ticket, server.bearer()))
    assert opened(server, "events", ticket, server.bearer("revoked")).status == 401
    assert is_open(opened(server, "events", ticket))


@over
def test_a_request_that_is_refused_for_another_reason_uses_it_up(server: Serving, over: Transport) -> None:
    ticket = issued(server)
    assert opened(server, over, f"{ticket}&country=Atlantis").status == 400
    assert opened(server, over, ticket).status == 401


# -- whose pages -------------------------------------------------------------------------------------------


@over
@pytest.mark.parametrize(
    ("asked_from", "used_from", "good"),
    [
        ("own", "own", True),
        # With a GET to its own host, a page's browser does not say where it comes from.
        ("own", None, True),
        (None, "own", True),
        (None, None, True),
        (MAP, MAP, True),
        (MAP, "https://other.example", False),
        (MAP, "own", False),
        (MAP, None, False),
        ("own", MAP, False),
        (None, MAP, False),
        ("https://MAP.example", MAP, False),
        (f"{MAP}.evil.example", MAP, False),
    ],
)
def test_a_ticket_is_for_pages_of_the_origin_that_asked_for_it(
    server: Serving, over: Transport, asked_from: str | None, used_from: str | None, good: bool
) -> None:
    own = f"http://{own_host(server)}"
    asked = {} if asked_from is None else {"Origin": own if asked_from == "own" else asked_from}
    used = {} if used_from is None else {"Origin": own if used_from == "own" else used_from}
    head = opened(server, over, issued(server, Host=own_host(server), **asked), used)
    assert is_open(head) == good
    assert good or head.status == 401


@over
def test_a_ticket_does_not_admit_an_origin_that_is_not_admitted(server: Serving, over: Transport) -> None:
    evil = {"Origin": "https://evil.example"}
    assert opened(server, over, issued(server, **evil), evil).status == 403


# -- what it is worth --------------------------------------------------------------------------------------


@over
def test_a_ticket_of_a_key_that_was_revoked_since_opens_nothing(server: Serving, over: Transport) -> None:
    name = f"revoked before {over}"
    server.make_key(name, ["stream"])
    ticket = issued(server, name)
    server.revoke(name)
    server.in_step()
    assert opened(server, over, ticket).status == 401


@over
def test_the_connection_ends_with_the_key(server: Serving, over: Transport) -> None:
    name = f"revoked after {over}"
    server.make_key(name, ["stream"])
    ticket = issued(server, name)
    wire = Events(server.port) if over == "events" else Wire(server.port)
    with wire:
        if isinstance(wire, Events):
            wire.ask(f"{EVENTS_PATH}?ticket={ticket}")
            server.revoke(name)
            while (event := wire.event()).kind != "close":
                pass
            assert json.loads(event.data)["code"] == 4401
            assert wire.ended()
        else:
            wire.open(f"{STREAM_PATH}?ticket={ticket}", {"Host": own_host(server)})
            server.revoke(name)
            assert wire.close_code() == 4401


def test_the_connection_counts_as_one_of_the_key(tmp_path: Path) -> None:
    with Serving(tmp_path, {"stream.consumers_per_key_max": 1}) as server, Follower(server):
        assert opened(server, "events", issued(server)).status == 429


def test_who_is_turned_away_is_counted(server: Serving) -> None:
    before = server.app.context.door.refused
    opened(server, "events", "never-issued")
    assert server.app.context.door.refused == before + 1


def test_no_ticket_reaches_the_log(tmp_path: Path) -> None:
    with Serving(tmp_path, {"logging.level": "debug"}) as server:
        ticket = issued(server)
        opened(server, "events", ticket)
        opened(server, "websocket", ticket)
        assert server._log.entries
        assert ticket.removeprefix("lst_ticket_") not in str(server._log.entries)


# -- by themselves -----------------------------------------------------------------------------------------

CREDENTIAL: Final = Credential(key_id="k", name="a key", scopes=("stream",), operator=None)


class Clock:
    def __init__(self) -> None:
        self.at = 1_000_000

    def __call__(self) -> int:
        return self.at


def test_a_ticket_is_good_until_the_last_millisecond() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    first, second = tickets.issue(CREDENTIAL, ""), tickets.issue(CREDENTIAL, "")
    clock.at += TICKET_S * 1000 - 1
    assert tickets.redeem(first, "") == CREDENTIAL
    clock.at += 1
    with pytest.raises(Unauthenticated, match="expired"):
        tickets.redeem(second, "")


def test_expired_tickets_are_forgotten_and_make_room() -> None:
    clock = Clock()
    tickets = Tickets(clock, msgspec.structs.replace(TICKET_LIMITS, per_key_max=2))
    tickets.issue(CREDENTIAL, "")
    clock.at += TICKET_S * 500
    tickets.issue(CREDENTIAL, "")
    with pytest.raises(TooManyRequests):
        tickets.issue(CREDENTIAL, "")
    clock.at += TICKET_S * 500
    tickets.issue(CREDENTIAL, "")
    assert len(tickets._open) == 2


def test_a_used_ticket_of_another_origin_is_used_up_all_the_same() -> None:
    tickets = Tickets(Clock())
    ticket = tickets.issue(CREDENTIAL, MAP)
    for origin in ("", MAP):
        with pytest.raises(Unauthenticated):
            tickets.redeem(ticket, origin)


def test_a_ticket_opens_version_1_once(server: Serving) -> None:
    target = f"/api/v1/stream?types=snapshot&ticket={issued(server)}"
    with Wire(server.port) as wire:
        assert wire.open(target, {}).response.status == 101
        assert wire.message()["type"] == "snapshot:init"
    with Wire(server.port) as again:
        assert again.open(target, {}).response.status == 401
        assert refusal(again)["code"] == "unauthenticated"


def test_a_key_in_the_query_of_version_1_wins_over_a_ticket(server: Serving) -> None:
    ticket = issued(server)
    with Wire(server.port) as wire:
        assert wire.open(f"/api/v1/stream?apikey=lst_none&ticket={ticket}", {}).response.status == 401
    with Wire(server.port) as wire:
        assert wire.open(f"/api/v1/stream?ticket={ticket}", {}).response.status == 101
