"""OCPI where we ask: the Sender interface of Locations, page after page.

Knows how a peer's Locations are found, asked for and walked through, as a generator. Must not know what makes
the requests, nor when the next round is due.

The address is that of the versions, of one version's details, or of the Locations themselves; which of them
is seen from what it answers. The first round, and one each day, asks for everything and so says what is gone;
those between ask for what was updated since the newest Location seen.

Source: OCPI 2.2.1 and 2.3.0, sections 4.1.4 (pagination) and 8.2.1; 2.1.1 likewise.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec

from ladestrom.core.locations import party_of
from ladestrom.core.rules import EARLIEST_AT
from ladestrom.errors import InvalidSetting
from ladestrom.model import NEVER, Millis, Order, Receipt
from ladestrom.protocols.conversation import Answered, Ask, Memory, PullSettings, Round
from ladestrom.protocols.delivery import UNREADABLE, Delivery
from ladestrom.protocols.ocpi import (
    HTTP_INTERNAL_SERVER_ERROR,
    HTTP_TOO_MANY_REQUESTS,
    VERSIONS,
    PeerDenies,
    PeerFailed,
    authorization,
    best,
    endpoint,
    is_address,
    opened,
    read_details,
    read_versions,
    written,
)
from ladestrom.protocols.ocpi_locations import Page, read_page
from ladestrom.quoting import quoted

PAGE_LOCATIONS: Final = 500
"""Asked for at once; most peers answer with fewer (`X-Limit`)."""
PAGES_MAX: Final = 10_000
"""Of one round: a million Locations at a hundred a page."""
NAMED_MAX: Final = 2_000_000
"""EVSE ids of one whole round; the European Union has about a million charge points."""
OVERLAP_MS: Final = 60_000
"""Asked for again: what was updated while the round before walked through the pages."""
WHOLE_EVERY_S: Final = 86_400
WHOLE_EVERY_S_MAX: Final = 31 * 86_400
HOPS_MAX: Final = 4
"""Versions, details, Locations; and one more for a list that is somewhere else."""
LINK_CHARACTERS_MAX: Final = 8_192
_LINK: Final = re.compile(r"<([^<>]*)>([^,<]*)")
_RELATION: Final = re.compile(r"""\brel\s*=\s*["']?([a-z ]*)""", re.IGNORECASE)
"""A link without relation is taken for the next page: the header has no other use in OCPI."""


def pull(settings: PullSettings, memory: Memory, now: Millis) -> Round:
    """One round.

    Options: `party` (`NO*ABC`), whose the Locations of a peer of 2.1.1 are; `whole_every_s`, how often
    everything is asked for (0: each time); `page`, Locations asked for at once.

    Raises:
        PeerFailed: the peer says no, or nothing that can be read. What was delivered before holds.
        InvalidSetting: an option or the address cannot be so.
        MalformedBody, TooLarge: a page cannot be used.
    """
    return _Walk(settings, memory, now).round()


class _Walk:
    """One round through a peer's Locations."""

    def __init__(self, settings: PullSettings, memory: Memory, now: Millis) -> None:
        self._settings = settings
        self._party = _party(settings.options)
        self._page_locations = _number(settings.options, "page", PAGE_LOCATIONS, 1, 10_000)
        whole_every_s = _number(settings.options, "whole_every_s", WHOLE_EVERY_S, 0, WHOLE_EVERY_S_MAX)
        if not is_address(settings.address):
            raise InvalidSetting("the address of an OCPI source is an http or https address")
        self._now = now
        same = memory.get("address") == settings.address
        self._locations = memory.get("locations", "") if same else ""
        self._form = memory.get("form", "") if same else ""
        self._whole_at = _instant(memory, "whole_at") if same else NEVER
        self._newest_at = _instant(memory, "newest_at") if same else NEVER
        # A clock that was ahead at the last whole round is no reason to wait until then.
        is_recent = 0 <= now - self._whole_at < whole_every_s * 1000
        self._is_whole = self._newest_at == NEVER or not is_recent
        self._named: set[str] = set()
        self._parties: set[str] = {self._party} if self._party else set()
        self._links = True
        """Whether the peer's links to next pages can be followed."""
        self._received_at = now

    def round(self) -> Round:
        first = yield from self._first()
        yield from self._pages(*first)
        if self._is_whole:
            # What another way told of parties that this peer does not have is not its to take back.
            yield Delivery(
                reports=[],
                order=Order.UPDATES,
                complete=True,
                named=self._named,
                within=tuple(sorted(self._parties)),
            )
        return {
            "address": self._settings.address,
            "locations": self._locations,
            "form": self._form,
            "newest_at": str(min(self._newest_at, self._received_at)),
            "whole_at": str(self._now if self._is_whole else self._whole_at),
        }

    # -- finding the Locations ---------------------------------------------------------------------------

    def _first(self) -> Generator[Ask, Answered, tuple[Answered, msgspec.Raw]]:
        """The first page; where the peer's Locations are is found out where it is not known."""
        if self._locations:
            try:
                return (yield from self._ask(self._query(self._locations, 0)))
            except PeerFailed:
                # They may have moved: the address that we were given says where to.
                self._locations = ""
        url = self._settings.address
        for _ in range(HOPS_MAX):
            _, data = yield from self._ask(url)
            match _kind(data):
                case "versions":
                    chosen = best(read_versions(data, "the versions endpoint"))
                    if chosen is None:
                        raise PeerFailed(f"the peer speaks none of {', '.join(VERSIONS)}")
                    url = _checked(chosen.url)
                case "details":
                    found = endpoint(read_details(data, "the version details"), "locations", "SENDER")
                    if found is None:
                        raise PeerFailed("the peer has no module locations as SENDER")
                    self._locations = _checked(found.url)
                    return (yield from self._ask(self._query(self._locations, 0)))
                case _:
                    self._locations = url
                    return (yield from self._ask(self._query(url, 0)))
        raise PeerFailed("the peer's addresses lead to each other, and to no Locations")

    def _query(self, url: str, offset: int) -> str:
        """An address with what is asked for; what it has in its query stays."""
        parts = urlsplit(url)
        query = [
            (name, value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
            if name not in {"date_from", "date_to", "offset", "limit"}
        ]
        if not self._is_whole:
            query.append(("date_from", written(max(self._newest_at - OVERLAP_MS, EARLIEST_AT))))
        query += [("offset", str(offset)), ("limit", str(self._page_locations))]
        return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote, safe=":"), fragment=""))

    # -- walking -----------------------------------------------------------------------------------------

    def _pages(
        self, answered: Answered, data: msgspec.Raw
    ) -> Generator[Ask | Delivery, Answered | Receipt, None]:
        """All pages from the first on, each delivered."""
        offset = 0
        seen = {_place(answered.url)}
        for _ in range(PAGES_MAX):
            page = self._read(answered, data)
            yield page.delivery
            offset += page.locations
            linked = _linked(answered, self._locations) if self._links else None
            if page.locations == 0 or (linked is None and not _goes_on(answered, page.locations, offset)):
                return
            counted = self._query(self._locations, offset)
            url = linked or counted
            try:
                answered, data = yield from self._ask(url)
            except PeerFailed:
                # Some peers write a next page that is none; counting leads on.
                if linked is None or _place(linked) == _place(counted):
                    raise
                self._links = False
                url = counted
                answered, data = yield from self._ask(url)
            if _place(url) in seen:
                raise PeerFailed("the peer's pages lead back to one that was there before")
            seen.add(_place(url))
        raise PeerFailed(f"the peer has more than {PAGES_MAX} pages; ask for larger ones")

    def _read(self, answered: Answered, data: msgspec.Raw) -> Page:
        settings = self._settings
        self._received_at = answered.received_at
        page = read_page(
            data,
            settings.source,
            settings.limits,
            party=self._party,
            with_stations=settings.may_register,
        )
        self._newest_at = max(self._newest_at, page.newest_at)
        if self._is_whole:
            self._named.update(page.named)
            self._parties |= page.parties
            if len(self._named) > NAMED_MAX:
                raise PeerFailed(f"the peer has more than {NAMED_MAX} EVSE ids, which is too many")
        return page

    def _ask(self, url: str) -> Generator[Ask, Answered, tuple[Answered, msgspec.Raw]]:
        """Asks, with the token in the form that the peer takes; where that is not known, in both."""
        token = self._settings.secret
        forms = (self._form,) if self._form else (VERSIONS[0], VERSIONS[-1])
        denied: PeerFailed | None = None
        for form in forms if token else ("",):
            headers = {"accept": "application/json"}
            if token:
                headers["authorization"] = authorization(token, form)
            answered = yield Ask(url, headers=headers)
            try:
                data = opened(answered.status, answered.body, f"the peer at {urlsplit(url).hostname}")
            except PeerFailed as error:
                is_final = answered.status >= HTTP_INTERNAL_SERVER_ERROR
                if is_final or answered.status == HTTP_TOO_MANY_REQUESTS:
                    raise
                if denied is None or isinstance(denied, PeerDenies):
                    denied = error
                continue
            self._form = form
            return answered, data
        self._form = ""
        raise denied or PeerDenies("the peer was not asked")


def _kind(data: msgspec.Raw) -> str:
    """What an answer holds: `versions`, `details`, or Locations."""
    try:
        found = msgspec.json.decode(data, type=list[dict[str, msgspec.Raw]] | dict[str, msgspec.Raw])
    except UNREADABLE:
        return "locations"
    if isinstance(found, dict):
        return "details" if "endpoints" in found else "locations"
    return "versions" if found and all("version" in each and "url" in each for each in found) else "locations"


def _checked(url: str) -> str:
    if not is_address(url):
        raise PeerFailed("an address that the peer names is no http or https address")
    return url


def _linked(answered: Answered, locations: str) -> str | None:
    """The next page that the header Link names (RFC 8288), where it can be used.

    Never another host than the Locations': it would be shown our token. Another scheme is ignored.
    """
    own = urlsplit(locations)
    for address, parameters in _LINK.findall(answered.headers.get("link", "")[:LINK_CHARACTERS_MAX]):
        relation = _RELATION.search(parameters)
        if relation is not None and "next" not in relation[1].lower().split():
            continue
        try:
            parts = urlsplit(address.strip())
            same = (parts.hostname, parts.port) == (own.hostname, own.port)
        except ValueError:
            continue
        if not parts.netloc and parts.path.startswith("/"):
            return _at(own, parts.path, parts.query)
        if parts.hostname and same:
            return _at(own, parts.path, parts.query)
    return None


def _at(own: SplitResult, path: str, query: str) -> str:
    return urlunsplit((own.scheme, own.netloc, path, query, ""))


def _goes_on(answered: Answered, page: int, offset: int) -> bool:
    """Whether there is more, of a page without a usable link: its headers say so."""
    total = answered.headers.get("x-total-count", "")
    if total.isascii() and total.isdigit():
        return offset < int(total[:18])
    limit = answered.headers.get("x-limit", "")
    is_full = limit.isascii() and limit.isdigit() and 0 < int(limit[:18]) <= page
    return is_full and "link" in answered.headers


def _place(url: str) -> tuple[str, ...]:
    """An address as it is told from others: the order of its query does not matter."""
    parts = urlsplit(url)
    return (parts.netloc, parts.path, *(f"{name}={value}" for name, value in sorted(parse_qsl(parts.query))))


def _party(options: Mapping[str, str]) -> str | None:
    said = options.get("party")
    if said is None:
        return None
    written_party = said.replace("*", "").replace("-", "")
    found = party_of(written_party[:2], written_party[2:])
    if found is None:
        raise InvalidSetting(
            f"the option party is {quoted(said, 20)}; write country and party, such as NO*ABC"
        )
    return found


def _number(options: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    said = options.get(name, str(default))
    if not (said.isascii() and said.isdigit()) or not low <= int(said[:18]) <= high:
        raise InvalidSetting(
            f"the option {name} is {quoted(said, 20)}; a number from {low} to {high} is right"
        )
    return int(said)


def _instant(memory: Memory, name: str) -> Millis:
    said = memory.get(name, "")
    return int(said) if said.isascii() and said.isdigit() else NEVER
