"""The walk through a Sender's pages, against peers that are right and peers that are not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from tests.building import NOW

from ladestrom.errors import InvalidSetting, SourceFailure
from ladestrom.model import Position, Receipt, Status
from ladestrom.ports.calls import Answered, Ask
from ladestrom.protocols.delivery import Delivery
from ladestrom.protocols.interfaces import Memory, PullSettings, inline
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
    return converse(peer, settings, memory or {}, now)


def converse(
    peer: Peer, settings: PullSettings, memory: Memory, now: int = NOW
) -> tuple[list[Delivery], Memory]:
    conversation = inline(pull(settings, memory, now))
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
    assert set(last.named) == {(f"NO*ABC*E{each}", each, "") for each in "012"}


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


class Offsetless(Peer):
    """Answers its first page whatever the place that it is asked for."""

    def __init__(self) -> None:
        super().__init__(7)
        self.totals = True

    def answer(self, ask: Ask) -> Answered:
        answered = super().answer(
            msgspec.structs.replace(ask, url=ask.url.replace("offset=", "offset=0&was="))
        )
        return answered if self.totals else without(answered, "x-total-count")


def without(answered: Answered, *names: str) -> Answered:
    headers = {name: value for name, value in answered.headers.items() if name not in names}
    return msgspec.structs.replace(answered, headers=headers)


def test_where_links_lead_back_counting_leads_on() -> None:
    peer = Peer(7)
    peer.link = lambda _: f'<{LOCATIONS}?offset=0>; rel="next"'
    deliveries, _ = walk(peer)
    assert {*uids(deliveries)} == {str(number) for number in range(7)}
    assert deliveries[-1].complete


@pytest.mark.parametrize("has_totals", [True, False])
def test_a_peer_that_knows_no_places_makes_the_round_partial(has_totals: bool) -> None:
    peer = Offsetless()
    peer.totals = has_totals
    deliveries, memory = walk(peer)
    assert not any(delivery.complete for delivery in deliveries)
    assert memory["partial"]
    assert len(peer.asked) < 10


def test_after_a_partial_round_everything_is_asked_for_again_in_an_hour() -> None:
    peer = Offsetless()
    _, memory = walk(peer)
    peer.asked.clear()
    walk(peer, memory, now=NOW + 60_000)
    assert "date_from" in peer.asked[0]
    peer.asked.clear()
    walk(peer, memory, now=NOW + 3_700_000)
    assert "date_from" not in peer.asked[0]


def test_a_partial_round_of_updates_asks_for_the_same_again() -> None:
    peer = Peer(7)
    _, memory = walk(peer)
    peer.locations[6] = location(6, "2026-11-18T09:30:00Z")
    short = Offsetless()
    short.locations = [location(number, "2026-11-18T09:10:00Z") for number in range(7)]
    _, after = walk(short, memory, now=NOW + 60_000)
    assert after["newest_at"] == memory["newest_at"]
    _, after = walk(peer, memory, now=NOW + 60_000)
    assert after["newest_at"] > memory["newest_at"]


@pytest.mark.parametrize(
    "link",
    [
        '<?offset={offset}&limit=2>; rel="next"',
        '<locations?offset={offset}>; rel="next"',
        '</ocpi/cpo/2.2.1/locations?offset={offset}>; rel="next"',
        '<//peer.example/ocpi/cpo/2.2.1/locations?offset={offset}>; rel="next"',
        '<http://peer.example/ocpi/cpo/2.2.1/locations?offset={offset}>; rel="next"',
        '<http://peer.example:443/ocpi/cpo/2.2.1/locations?offset={offset}>; rel="next"',
        '<http://peer.example:80/ocpi/cpo/2.2.1/locations?offset={offset}>; rel="next"',
        '<https://PEER.example:443/ocpi/cpo/2.2.1/locations?offset={offset}>; rel="next"',
        '<http://10.0.0.7:8080/ocpi/cpo/2.2.1/locations?offset={offset}>; rel="next"',
        '<https://elsewhere.example/other?offset={offset}>; rel="next"',
        "<" + LOCATIONS + "?offset={offset}>; rel=next",
        "<" + LOCATIONS + "?offset={offset}>;REL='next'",
        "<" + LOCATIONS + '?offset={offset}>; title="a, b; rel=prev"; rel="next"',
        "<" + LOCATIONS + '?offset=0>; rel="first", <' + LOCATIONS + '?offset={offset}>; rel="last next"',
        "<" + LOCATIONS + '?offset=0>; rel="prev",<' + LOCATIONS + '?offset={offset}>; rel="next"',
    ],
)
def test_links_are_followed_in_every_form_without_totals_and_on_the_peers_own_host(link: str) -> None:
    peer = Peer(7)
    peer.link = lambda offset: link.replace("{offset}", str(offset))

    class Bare(Peer):
        def answer(self, ask: Ask) -> Answered:
            return without(peer.answer(ask), "x-total-count", "x-limit")

    deliveries, _ = walk(Bare(0))
    assert uids(deliveries) == [str(number) for number in range(7)]
    assert deliveries[-1].complete
    assert {urlsplit(url).hostname for url in peer.asked} == {"peer.example"}


class Keyset(Peer):
    """Leads from page to page by a cursor; `empty` is the number of a page of which all was filtered out."""

    empty = -1
    last: object = ...

    def answer(self, ask: Ask) -> Answered:
        answered = super().answer(ask)
        path, _, query = ask.url.partition("?")
        if path != LOCATIONS:
            return answered
        cursor = int(parse_qs(query).get("cursor", ["0"])[0])
        found: object = self.locations[cursor * 2 : cursor * 2 + 2] if cursor != self.empty else []
        headers = {"link": f'<{LOCATIONS}?cursor={cursor + 1}>; rel="next"'} if cursor < 3 else {}
        return self.say(ask, self.last if cursor == 3 and self.last is not ... else found, headers)


def test_an_empty_page_before_the_last_does_not_end_the_walk() -> None:
    peer = Keyset(7)
    peer.empty = 1
    deliveries, _ = walk(peer)
    assert uids(deliveries) == ["0", "1", "4", "5", "6"]
    assert deliveries[-1].complete


@pytest.mark.parametrize("last", [None, {}, []])
def test_a_last_page_without_data_is_an_empty_one(last: object) -> None:
    peer = Keyset(6)
    peer.last = last
    deliveries, _ = walk(peer)
    assert uids(deliveries) == [str(number) for number in range(6)]
    assert deliveries[-1].complete


def test_links_without_end_to_empty_pages_make_the_round_partial() -> None:
    class Endless(Peer):
        def answer(self, ask: Ask) -> Answered:
            answered = super().answer(ask)
            link = f'<{LOCATIONS}?cursor={len(self.asked)}>; rel="next"'
            return self.say(ask, [], {"link": link}) if LOCATIONS in ask.url else answered

    peer = Endless(0)
    deliveries, memory = walk(peer)
    assert not any(delivery.complete for delivery in deliveries)
    assert memory["partial"]
    assert len(peer.asked) < 20


def test_a_list_that_has_more_than_its_pages_is_partial() -> None:
    class Counting(Peer):
        def answer(self, ask: Ask) -> Answered:
            answered = super().answer(ask)
            return msgspec.structs.replace(answered, headers={**answered.headers, "x-total-count": "9"})

    deliveries, memory = walk(Counting(7))
    assert not any(delivery.complete for delivery in deliveries)
    assert "9 Locations" in memory["partial"]


def test_a_full_page_without_link_and_total_is_followed_by_a_look_at_what_is_behind_it() -> None:
    class Bare(Peer):
        def answer(self, ask: Ask) -> Answered:
            return without(super().answer(ask), "x-total-count", "link")

    peer = Bare(7)
    deliveries, _ = walk(peer)
    assert uids(deliveries) == [str(number) for number in range(7)]
    assert deliveries[-1].complete
    peer = Bare(4)
    peer.broken = {"offset=4"}
    assert walk(peer)[0][-1].complete


def test_a_link_behind_the_last_page_that_leads_nowhere_is_the_end() -> None:
    class Leading(Peer):
        def answer(self, ask: Ask) -> Answered:
            if "offset=4" in ask.url:
                return Answered(ask.url, 404, {}, b'{"status_code":2003}', NOW)
            answered = super().answer(ask)
            link = f'<{LOCATIONS}?offset=4>; rel="next"'
            behind = "offset=2" in ask.url
            return msgspec.structs.replace(
                answered, headers={**answered.headers, **({"link": link} if behind else {})}
            )

    deliveries, memory = walk(Leading(4))
    assert uids(deliveries) == ["0", "1", "2", "3"]
    assert deliveries[-1].complete
    assert "partial" not in memory


class Changing(Peer):
    """Changes its list when the second page is asked for."""

    def __init__(self, count: int, change: Callable[[list[dict[str, Any]]], None]) -> None:
        super().__init__(count)
        self.change: Callable[[list[dict[str, Any]]], None] | None = change

    def answer(self, ask: Ask) -> Answered:
        if "offset=2" in ask.url and self.change is not None:
            self.change(self.locations)
            self.change = None
        return super().answer(ask)


def test_a_location_that_moves_to_the_end_during_the_walk_hides_no_other() -> None:
    peer = Changing(7, lambda locations: locations.append(locations.pop(0)))
    deliveries, _ = walk(peer)
    assert {*uids(deliveries)} == {str(number) for number in range(7)}
    assert deliveries[-1].complete


def test_a_list_that_becomes_shorter_during_the_walk_is_walked_from_a_lower_place() -> None:
    peer = Changing(7, lambda locations: locations.__delitem__(slice(0, 2)))
    deliveries, _ = walk(peer)
    assert {*uids(deliveries)} == {str(number) for number in range(7)}
    assert deliveries[-1].complete


class Forgetful(Peer):
    """Pins pages to a state, and forgets that some times while it is walked."""

    def __init__(self, count: int, times: int) -> None:
        super().__init__(count)
        self.times = times
        self.link = lambda offset: f'<{LOCATIONS}?offset={offset}&at=e-1>; rel="next"'

    def answer(self, ask: Ask) -> Answered:
        if "offset=4&at=" in ask.url and self.times:
            self.times -= 1
            self.asked.append(ask.url)
            return self.say(ask, None, status=410)
        return super().answer(ask)


def test_a_list_whose_state_is_not_kept_any_more_is_walked_again_from_its_first_page() -> None:
    peer = Forgetful(7, times=1)
    deliveries, memory = walk(peer)
    assert {*uids(deliveries)} == {str(number) for number in range(7)}
    assert (deliveries[-1].complete, "partial" in memory) == (True, False)
    assert sum("offset=0" in url for url in peer.asked) == 2
    assert all("at=" in url for url in peer.asked if "offset=4" in url), "no state is mixed with another"
    deliveries, memory = walk(Forgetful(7, times=9))
    assert not any(delivery.complete for delivery in deliveries)
    assert "does not keep" in memory["partial"]


def test_an_evse_that_is_removed_at_one_location_and_there_at_another_is_not_removed() -> None:
    peer = Peer(5)
    moved = location(0, "2026-11-18T09:30:00Z")["evses"][0] | {"status": "REMOVED"}
    peer.locations[4]["evses"].append(moved)
    deliveries, _ = walk(peer)
    assert [report.status for each in deliveries for report in each.reports if report.also == "0"] == [
        Status.AVAILABLE
    ]
    peer.locations[0]["evses"] = [moved]
    deliveries, _ = walk(peer)
    assert {report.status for each in deliveries for report in each.reports if report.also == "0"} == {
        Status.REMOVED
    }


@pytest.mark.parametrize("taken", [{"status": "REMOVED"}, {"publish": False}])
def test_a_uid_that_another_location_uses_too_keeps_no_evse_that_is_gone(taken: dict[str, Any]) -> None:
    peer = Peer(2)
    for each in peer.locations:
        each["evses"][0]["uid"] = "1"
    changed = peer.locations[0] if "publish" in taken else peer.locations[0]["evses"][0]
    changed.update(taken)
    deliveries, _ = walk(peer)
    removed = [
        report.evse for each in deliveries for report in each.reports if report.status is Status.REMOVED
    ]
    left = [evse for each in deliveries for evse, *_ in each.left]
    assert [*removed, *left] == ["NO*ABC*E0"]


@pytest.mark.parametrize("without", ["removed", "here"])
def test_a_record_without_evse_id_is_of_the_evse_with_its_uid(without: str) -> None:
    peer = Peer(2)
    removed, here = (each["evses"][0] for each in peer.locations)
    removed |= {"uid": "1", "status": "REMOVED"}
    (removed if without == "removed" else here).pop("evse_id")
    deliveries, _ = walk(peer)
    assert [report.status for each in deliveries for report in each.reports] == [Status.AVAILABLE]


@pytest.mark.parametrize(
    "versions",
    [
        [None, {"version": 2.2, "url": "https://peer.example/x"}, {"version": "2.1.1", "url": None}],
        {},
    ],
)
@pytest.mark.parametrize("is_listed", [False, True])
def test_odd_versions_and_details_cost_no_others(versions: Any, is_listed: bool) -> None:
    class Odd(Peer):
        def say(
            self, ask: Ask, data: Any, headers: Mapping[str, str] | None = None, status: int = 200
        ) -> Answered:
            if ask.url == VERSIONS and data:
                data = [*versions, *data] if versions else data[0]
            elif isinstance(data, dict) and "endpoints" in data:
                endpoints = [None, {"identifier": "cdrs", "url": None}, *data["endpoints"]]
                data = {"version": None, "endpoints": endpoints}
                data = [data] if is_listed else data
            return super().say(ask, data, headers, status)

    deliveries, memory = walk(Odd(1))
    assert uids(deliveries) == ["0"]
    assert memory["locations"] == LOCATIONS


def test_updates_answered_with_404_and_2003_are_none() -> None:
    peer = Peer(3)
    _, memory = walk(peer)

    class Strict(Peer):
        def answer(self, ask: Ask) -> Answered:
            body = b'{"status_code":"2003","status_message":7,"data":null}'
            return Answered(ask.url, 404, {}, body, NOW)

    deliveries, after = walk(Strict(0), memory)
    assert uids(deliveries) == []
    assert after == memory
    with pytest.raises(SourceFailure):
        walk(Strict(0))


@pytest.mark.parametrize("version", ["2.1.1", "2.2.1", "2.3.0"])
def test_the_token_is_shown_as_the_peer_takes_it_and_that_is_remembered(version: str) -> None:
    peer = Peer(1, version=version)
    _, memory = walk(peer)
    peer.asked.clear()
    walk(peer, memory)
    assert len(peer.asked) == 1


def test_every_request_has_an_id_of_its_own() -> None:
    class Noting(Peer):
        def answer(self, ask: Ask) -> Answered:
            names.append((ask.headers["x-request-id"], ask.headers["x-correlation-id"]))
            return super().answer(ask)

    names: list[tuple[str, str]] = []
    walk(Noting(7))
    walk(Noting(7), now=NOW + 1)
    assert len({*names}) == len(names) > 10
    assert all(len(name) == 36 for pair in names for name in pair)


@pytest.mark.parametrize("address", [VERSIONS, LOCATIONS])
@pytest.mark.parametrize("version", ["2.1.1", "2.2.1"])
def test_who_asks_whom_is_said_to_functional_modules_only_and_not_in_2_1_1(
    version: str, address: str
) -> None:
    asked: dict[str, list[str]] = {}

    class Noting(Peer):
        def answer(self, ask: Ask) -> Answered:
            if ask.headers["authorization"] == f"Token {self.shown}":
                asked[ask.url.partition("&limit")[0]] = [
                    value for name, value in ask.headers.items() if name.startswith("ocpi-")
                ]
            return super().answer(ask)

    settings = PullSettings(
        source="abc", address=address, secret="secret", parties=("NOABC",), own_party="NOLDS"
    )
    converse(Noting(3, version=version), settings, {})
    said = ["NO", "LDS", "NO", "ABC"] if version == "2.2.1" else []
    pages = {url: headers for url, headers in asked.items() if "offset" in url}
    assert set(map(tuple, pages.values())) == {tuple(said)}
    assert len(pages) == 2
    assert all(headers == [] for url, headers in asked.items() if "locations" not in url)


def test_locations_are_kept_as_they_are_and_with_the_party_that_they_do_not_name() -> None:
    peer = Peer(1)
    bare = {name: value for name, value in location(7).items() if name not in {"country_code", "party_id"}}
    peer.locations.append(bare)
    deliveries, _ = walk(peer, party="NO*XYZ")
    (documents,) = (each.documents for each in deliveries if each.documents)
    assert {name: json.loads(text) for name, text in documents.items()} == {
        "NO*ABC*L0": location(0),
        "NO*XYZ*L7": {**bare, "country_code": "NO", "party_id": "XYZ"},
    }


def test_what_was_not_kept_before_is_asked_for_whole() -> None:
    peer = Peer(3)
    _, memory = walk(peer)
    earlier = {name: value for name, value in memory.items() if name != "kept"}
    peer.asked.clear()
    walk(peer, earlier)
    assert "date_from" not in peer.asked[0]


def test_an_evse_that_is_hidden_at_one_location_and_shown_at_another_is_shown() -> None:
    peer = Peer(5)
    hidden = location(0)["evses"][0]
    peer.locations[4] |= {"publish": False, "evses": [hidden, location(8)["evses"][0]]}
    deliveries, _ = walk(peer)
    assert [each for delivery in deliveries for each in delivery.left] == [("NO*ABC*E8", "8", "")]


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
