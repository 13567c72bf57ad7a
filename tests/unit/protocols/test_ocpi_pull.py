"""The walk through a Sender's pages, against peers that are right and peers that are not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.building import NOW

from ladestrom.errors import InvalidSetting, SourceFailure
from ladestrom.model import Position, Receipt
from ladestrom.protocols.conversation import Answered, Ask, Memory, PullSettings
from ladestrom.protocols.delivery import Delivery
from ladestrom.protocols.ocpi_pull import pull

RECEIPT = Receipt(0, 0, (), Position("e", 0))
VERSIONS = "https://peer.example/ocpi/versions"
LOCATIONS = "https://peer.example/ocpi/cpo/2.2.1/locations"
DAY_MS = 86_400_000


def location(number: int, updated: str = "2026-11-18T09:00:00Z") -> dict[str, Any]:
    evse = {
        "uid": str(number),
        "evse_id": f"NO*ABC*E{number}",
        "status": "AVAILABLE",
        "last_updated": updated,
    }
    return {
        "country_code": "NO",
        "party_id": "ABC",
        "id": f"L{number}",
        "evses": [evse],
        "last_updated": updated,
    }


class Peer:
    """Answers as a Sender does, unless it is told to do otherwise."""

    def __init__(self, count: int, page: int = 2, token: str = "secret", version: str = "2.2.1") -> None:
        self.locations = [location(number) for number in range(count)]
        self.page = page
        self.version = version
        self.shown = token if version == "2.1.1" else base64.b64encode(token.encode()).decode()
        self.asked: list[str] = []
        self.link: Callable[[int], str | None] = lambda offset: f'<{LOCATIONS}?offset={offset}>; rel="next"'
        self.broken: set[str] = set()

    def answer(self, ask: Ask) -> Answered:
        self.asked.append(ask.url)
        path = ask.url.partition("?")[0]
        if ask.headers.get("authorization") != f"Token {self.shown}":
            return self.say(ask, None, status=401)
        if any(part in ask.url for part in self.broken):
            return self.say(ask, None, status=404)
        if path == VERSIONS:
            return self.say(ask, [{"version": self.version, "url": "https://peer.example/ocpi/details"}])
        if path == "https://peer.example/ocpi/details":
            endpoint = {"identifier": "locations", "role": "SENDER", "url": LOCATIONS}
            return self.say(ask, {"version": self.version, "endpoints": [endpoint]})
        query = parse_qs(urlsplit(ask.url).query)
        since = query.get("date_from", [""])[0]
        found = [each for each in self.locations if each["last_updated"] >= since]
        offset = int(query.get("offset", ["0"])[0])
        end = offset + self.page
        headers = {"x-total-count": str(len(found)), "x-limit": str(self.page)}
        link = self.link(end) if end < len(found) else None
        return self.say(ask, found[offset:end], headers | ({} if link is None else {"link": link}))

    def say(
        self, ask: Ask, data: object, headers: Mapping[str, str] | None = None, status: int = 200
    ) -> Answered:
        code = 1000 if status == 200 else 2000
        body = json.dumps({"status_code": code, "data": data, "timestamp": "2026-11-18T10:00:00Z"}).encode()
        return Answered(ask.url, status, headers or {}, body, NOW)


def walk(
    peer: Peer, memory: Memory | None = None, address: str = VERSIONS, now: int = NOW, **options: str
) -> tuple[list[Delivery], Memory]:
    settings = PullSettings(source="abc", address=address, secret="secret", options=options)
    conversation = pull(settings, memory or {}, now)
    deliveries: list[Delivery] = []
    told: Answered | Receipt | None = None
    try:
        while True:
            step = next(conversation) if told is None else conversation.send(told)
            if isinstance(step, Ask):
                told = peer.answer(step)
            else:
                deliveries.append(step)
                told = RECEIPT
    except StopIteration as over:
        return deliveries, over.value


def uids(deliveries: list[Delivery]) -> list[str]:
    return [report.also for delivery in deliveries for report in delivery.reports]


@pytest.mark.parametrize("address", [VERSIONS, "https://peer.example/ocpi/details", LOCATIONS])
def test_the_locations_are_found_from_any_of_a_peers_addresses(address: str) -> None:
    deliveries, memory = walk(Peer(5), address=address)
    assert uids(deliveries) == ["0", "1", "2", "3", "4"]
    assert memory["locations"] == LOCATIONS


def test_the_first_round_is_whole_and_names_every_evse() -> None:
    deliveries, _ = walk(Peer(3))
    last = deliveries[-1]
    assert (last.complete, last.within, last.reports) == (True, ("NOABC",), [])
    assert set(last.named) == {"0", "1", "2", "NO*ABC*E0", "NO*ABC*E1", "NO*ABC*E2"}


def test_the_next_round_asks_where_the_locations_are_for_what_was_updated_since() -> None:
    peer = Peer(3)
    _, memory = walk(peer)
    peer.asked.clear()
    peer.locations[1] = location(1, "2026-11-18T10:00:00Z")
    deliveries, _ = walk(peer, memory)
    assert peer.asked[0].startswith(f"{LOCATIONS}?date_from=2026-11-18T08:59:00Z")
    assert not any(delivery.complete for delivery in deliveries)
    assert "1" in uids(deliveries)


def test_a_day_later_everything_is_asked_for_again() -> None:
    peer = Peer(3)
    _, memory = walk(peer)
    deliveries, _ = walk(peer, memory, now=NOW + DAY_MS)
    assert deliveries[-1].complete
    assert walk(peer, memory, whole_every_s="0")[0][-1].complete


def test_a_clock_that_was_ahead_at_the_last_whole_round_does_not_put_the_next_one_off() -> None:
    peer = Peer(3)
    _, memory = walk(peer)
    deliveries, _ = walk(peer, {**memory, "whole_at": str(NOW + 3_650 * DAY_MS)})
    assert deliveries[-1].complete


def test_an_address_that_was_changed_is_found_anew() -> None:
    peer = Peer(3)
    _, memory = walk(peer)
    peer.asked.clear()
    walk(peer, {**memory, "address": "https://other.example/ocpi/versions"})
    assert peer.asked[0] == VERSIONS


def test_locations_that_have_moved_are_found_again() -> None:
    peer = Peer(3)
    _, memory = walk(peer)
    deliveries, _ = walk(peer, {**memory, "locations": "https://peer.example/old"} | {}, now=NOW)
    assert deliveries
    peer.broken = {"/old"}
    deliveries, moved = walk(peer, {**memory, "locations": "https://peer.example/old"})
    assert moved["locations"] == LOCATIONS


@pytest.mark.parametrize(
    "link",
    [
        None,
        '<https://elsewhere.example/ocpi/cpo/2.2.1/locations?offset=2>; rel="next"',
        "<https://peer.example/ocpi/cpo/VersionNumber.v_2_2_1/ModuleID.locations/?date_from=None&offset=1&limit=1>",
        "next",
        "<https://[>; rel=next",
    ],
)
def test_where_the_link_leads_nowhere_counting_leads_on(link: str | None) -> None:
    peer = Peer(7)
    peer.link = lambda _: link
    peer.broken = {"VersionNumber"}
    deliveries, _ = walk(peer)
    assert uids(deliveries) == [str(number) for number in range(7)]
    assert all(urlsplit(url).hostname == "peer.example" for url in peer.asked)
    assert sum("VersionNumber" in url for url in peer.asked) <= 2


def test_pages_that_lead_to_each_other_end_the_round() -> None:
    peer = Peer(7)
    peer.link = lambda _: f'<{LOCATIONS}?offset=0>; rel="next"'
    with pytest.raises(SourceFailure):
        walk(peer)


@pytest.mark.parametrize("version", ["2.1.1", "2.2.1", "2.3.0"])
def test_the_token_is_shown_as_the_peer_takes_it_and_that_is_remembered(version: str) -> None:
    peer = Peer(1, version=version)
    _, memory = walk(peer)
    peer.asked.clear()
    walk(peer, memory)
    assert len(peer.asked) == 1


def test_a_denied_token_ends_the_round() -> None:
    with pytest.raises(SourceFailure):
        walk(Peer(1, token="another"))


def test_a_location_updated_in_the_future_does_not_hide_those_updated_now() -> None:
    peer = Peer(1)
    peer.locations.append(location(9, "2031-01-01T00:00:00Z"))
    _, memory = walk(peer)
    assert int(memory["newest_at"]) == NOW


@pytest.mark.parametrize("options", [{"party": "Norway"}, {"page": "0"}, {"whole_every_s": "daily"}])
def test_an_option_that_cannot_be_so_is_an_error_of_the_settings(options: dict[str, str]) -> None:
    with pytest.raises(InvalidSetting):
        walk(Peer(1), None, VERSIONS, NOW, **options)
