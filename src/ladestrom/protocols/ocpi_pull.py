"""OCPI where we ask: the Sender interface of Locations, page after page.

Knows how a peer's Locations are found, asked for and walked through, as a generator. Must not know what makes
the requests, nor when the next round is due.

The address is that of the versions, of one version's details, or of the Locations themselves; which of them
is seen from what it answers. The first round, and one every twelve hours, asks for everything and so says
what is gone, provided that the list was walked to its end; the rounds between ask for what was updated since
the newest Location seen.

Source: OCPI 2.2.1 and 2.3.0, sections 4.1.4 (pagination) and 8.2.1; 2.1.1 likewise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

import msgspec

from ladestrom.core.locations import party_of
from ladestrom.core.rules import EARLIEST_AT
from ladestrom.errors import InvalidSetting
from ladestrom.model import NEVER, Ids, Millis, Order, Status, StatusReport, evse_key, local_key
from ladestrom.ports.calls import Answered, Ask
from ladestrom.protocols.delivery import UNREADABLE, Delivery, Left, ParseLimits
from ladestrom.protocols.interfaces import PARTIAL, Memory, Part, PullSettings, Round, reading
from ladestrom.protocols.ocpi import (
    HTTP_GONE,
    HTTP_INTERNAL_SERVER_ERROR,
    HTTP_NOT_FOUND,
    HTTP_TOO_MANY_REQUESTS,
    UNKNOWN_LOCATION,
    VERSIONS,
    PeerDenies,
    PeerFailed,
    authorization,
    best,
    endpoint,
    is_address,
    listed,
    opened,
    read_details,
    read_versions,
    request_ids,
    routing,
    written,
)
from ladestrom.protocols.ocpi_locations import Page, read_page
from ladestrom.quoting import quoted

PAGE_LOCATIONS: Final = 500
"""Asked for at once; most peers answer with fewer (`X-Limit`)."""
PAGES_MAX: Final = 10_000
"""Of one round: a million Locations at a hundred a page."""
NAMED_MAX: Final = 2_000_000
"""EVSEs of one whole round, in which a list may be walked twice; the European Union has about a million."""
PRESENT_TOGETHER_MAX: Final = 10_000
"""Ids that are put beside others in one set: some ms. A page with more keeps a set of its own."""
OVERLAP_MS: Final = 60_000
"""Asked for again: what was updated while the round before walked through the pages."""
WHOLE_EVERY_S: Final = 43_200
"""Half of the default of `rules.stale_after_s`: only a whole round confirms what did not change."""
WHOLE_EVERY_S_MAX: Final = 31 * 86_400
HOPS_MAX: Final = 4
"""Versions, details, Locations; and one more for a list that is somewhere else."""
LINK_CHARACTERS_MAX: Final = 8_192
WALKS_MAX: Final = 2
"""Of one round: a list that changed during the first is walked again."""
EMPTY_PAGES_MAX: Final = 10
"""One after the other that lead on; a Sender that filters after it cut the pages sends some."""
PARTIAL_AGAIN_S: Final = 3_600
"""Until everything is asked for again, where the list could not be walked to its end."""
VERSION: Final = "version"
"""Option of a source that is a peer: the version that it speaks. Nobody sets it: the server does."""
TO: Final = "to"
"""Likewise: the party that is asked (`NOABC`)."""
KEPT: Final = "kept"
"""In a memory, that the Locations of the whole rounds were kept."""
KIND_ITEMS_MAX: Final = 100
"""Items of an answer that are looked at to find out what it is: the first that is an object tells."""
Keys = list[str]
"""The ids of an EVSE, as they compare, the one first that tells it from others."""
_LINK: Final = re.compile(r"""<([^<>]*)>((?:[^,<"]|"[^"]*")*)""")
"""A target, and its parameters; within quotes, a comma is part of a value (RFC 8288, section 3)."""
_PARAMETER: Final = re.compile(r""";\s*([^\s=;]+)\s*(?:=\s*(?:"([^"]*)"|'([^']*)'|([^\s;]*)))?""")
"""A link without relation is taken for the next page: the header has no other use in OCPI."""
_PORTS: Final = {"http": 80, "https": 443}


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
        named = _party(settings.options)
        # Locations of OCPI 2.1.1 do not say whose they are.
        self._party = named or (settings.parties[0] if len(settings.parties) == 1 else None)
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
        self._is_whole = self._newest_at == NEVER or not is_recent or KEPT not in memory
        self._version = settings.options.get(VERSION) or (memory.get(VERSION, "") if same else "")
        self._since_at = self._newest_at
        self._named: list[Ids] = []
        self._parties: set[str] = {named} if named else set()
        self._ids: set[str] = set()
        """Locations seen in this round."""
        self._present = _Present()
        """EVSEs that have another status than REMOVED in this round."""
        self._removed: list[tuple[StatusReport, Keys]] = []
        """Those that are REMOVED."""
        self._left: list[tuple[Left, Keys]] = []
        """Those that are not to be shown."""
        self._links = True
        """Whether the peer's links to next pages can be followed."""
        self._short = ""
        """Why the list was not walked to its end."""
        self._asked = 0
        self._received_at = now
        self._whole_every_s = whole_every_s

    def round(self) -> Round:
        answered, data = yield from self._first()
        for walk in range(WALKS_MAX):
            if walk:
                answered, data = yield from self._ask(self._query(self._locations, 0))
            if not (yield from self._pages(answered, data)):
                break
        gone = [each for each, keys in self._removed if not self._present.has(keys)]
        left = [each for each, keys in self._left if not self._present.has(keys)]
        if gone or left:
            yield Delivery(reports=gone, order=Order.UPDATES, left=left, documents={})
        if self._is_whole and not self._short:
            # What another way told of parties that this peer does not have is not its to take back.
            yield Delivery(
                reports=[],
                order=Order.UPDATES,
                complete=True,
                named=self._named,
                within=tuple(sorted(self._parties)),
            )
        return self._remembered()

    def _remembered(self) -> Memory:
        newest_at, whole_at = self._newest_at, self._whole_at
        if self._is_whole:
            whole_at = self._now
        if self._short and self._is_whole:
            whole_at -= max(0, self._whole_every_s - PARTIAL_AGAIN_S) * 1000
        elif self._short:
            # What the rest of the list would have told is asked for again.
            newest_at = self._since_at
        memory = {
            "address": self._settings.address,
            "locations": self._locations,
            "form": self._form,
            "newest_at": str(min(newest_at, self._received_at)),
            "whole_at": str(whole_at),
            VERSION: self._version,
            KEPT: "1",
        }
        return memory | ({PARTIAL: self._short} if self._short else {})

    # -- finding the Locations ---------------------------------------------------------------------------

    def _first(self) -> Part[tuple[Answered, msgspec.Raw]]:
        """The first page; where the peer's Locations are is found out where it is not known."""
        form = self._form
        if self._locations:
            try:
                return (yield from self._ask(self._query(self._locations, 0)))
            except PeerFailed as error:
                if error.status_code == UNKNOWN_LOCATION and not self._is_whole:
                    # So some peers say that nothing was updated.
                    self._form = form
                    return Answered(self._locations, HTTP_NOT_FOUND, {}, b"", self._now), msgspec.Raw(b"[]")
                # They may have moved: the address that we were given says where to.
                self._locations = ""
        url = self._settings.address
        for _ in range(HOPS_MAX):
            # What it is shows in the answer; some Senders give none to who does not say whom it asks.
            is_module = "locations" in urlsplit(url).path.lower()
            _, data = yield from self._ask(url, is_module=is_module)
            match _kind(data):
                case "versions":
                    chosen = best(read_versions(data, "the versions endpoint"))
                    if chosen is None:
                        raise PeerFailed(f"the peer supports none of {', '.join(VERSIONS)}")
                    url, self._version = _checked(chosen.url), chosen.version.strip()
                case "details":
                    found = endpoint(read_details(data, "the version details"), "locations", "SENDER")
                    if found is None:
                        raise PeerFailed("the peer has no module locations as SENDER")
                    self._locations = _checked(found.url)
                    return (yield from self._ask(self._query(self._locations, 0)))
                case _:
                    self._locations = url
                    return (yield from self._ask(self._query(url, 0)))
        raise PeerFailed("the peer's addresses refer to each other and not to Locations")

    def _query(self, url: str, offset: int) -> str:
        """An address with what is asked for; what it has in its query stays."""
        parts = urlsplit(url)
        query = [
            (name, value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
            if name not in {"date_from", "date_to", "offset", "limit"}
        ]
        if not self._is_whole:
            query.append(("date_from", written(max(self._since_at - OVERLAP_MS, EARLIEST_AT))))
        query += [("offset", str(offset)), ("limit", str(self._page_locations))]
        return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote, safe=":"), fragment=""))

    # -- walking -----------------------------------------------------------------------------------------

    def _pages(self, answered: Answered, data: msgspec.Raw) -> Part[bool]:
        """All pages from the first on, each delivered. Whether the list changed meanwhile and hid some."""
        pages = _Pages()
        url = answered.url
        seen = {_place(url)}
        while True:
            page = yield from self._read(answered, data)
            yield page.delivery
            pages.add(page, answered)
            self._ids.update(page.ids)
            following = self._following(pages, answered)
            if following is None:
                break
            if len(seen) == PAGES_MAX:
                raise PeerFailed(f"the peer has more than {PAGES_MAX} pages; ask for larger ones")
            url, is_linked = following
            counted = self._query(self._locations, pages.offset)
            if is_linked and (_place(url) in seen or pages.stands_still):
                self._links, url, is_linked = False, counted, False
            if _place(url) in seen and not pages.went_back:
                self._short = "the peer's pages lead back to one that was there before"
                return False
            seen.add(_place(url))
            try:
                answered, data = yield from self._ask(url)
            except PeerFailed as error:
                if error.http_status == HTTP_GONE:
                    # The list as it was is not kept any more (a server like this one says so).
                    self._short = "the peer does not keep its list of Locations while its pages are fetched"
                    return True
                if pages.is_probe or pages.is_all(len(self._ids)):
                    # Some peers lead on behind the last page.
                    break
                # Some peers write a next page that is none; counting leads on.
                if not is_linked or _place(url) == _place(counted):
                    raise
                self._links = False
                seen.add(_place(counted))
                answered, data = yield from self._ask(counted)
        self._short = pages.short(len(self._ids))
        return bool(self._short) and pages.is_moving

    def _following(self, pages: _Pages, answered: Answered) -> tuple[str, bool] | None:
        """The next page, and whether the peer named it; None at the end.

        A link decides (OCPI 2.2.1, section 4.1.4). Where it cannot be followed, and where the list has become
        shorter than it was, places are counted; a link without a place in it is not concerned by that.
        """
        pages.is_probe = False
        linked, is_named = _linked(answered, self._locations)
        if not self._links:
            linked = None
        has_place = linked is not None and "offset" in dict(parse_qsl(urlsplit(linked).query))
        if pages.empty and (linked is None or has_place or pages.empty > EMPTY_PAGES_MAX):
            pages.is_cut = pages.empty > EMPTY_PAGES_MAX
            return None
        if linked is not None and not (has_place and pages.went_back):
            return linked, True
        limit = _count(answered, "x-limit") or self._page_locations
        goes_on = is_named or pages.went_back or (pages.total is not None and pages.offset < pages.total)
        if pages.stands_still:
            # It has no more than this page, or does not know offsets.
            pages.is_cut = is_named
            return None
        if not goes_on:
            # A full page without a link is the last one, or of a peer that writes no links.
            if pages.size != limit:
                return None
            pages.is_probe = True
        return self._query(self._locations, pages.offset), False

    def _read(self, answered: Answered, data: msgspec.Raw) -> Part[Page]:
        settings = self._settings
        self._received_at = answered.received_at
        work = partial(
            _read_page,
            data,
            settings.source,
            settings.limits,
            party=self._party,
            with_stations=settings.may_register,
        )
        page, sorted_out = yield from reading(answered.body, work)
        self._removed += sorted_out.removed
        self._left += sorted_out.left
        self._present.add(sorted_out)
        self._newest_at = max(self._newest_at, page.newest_at)
        if self._is_whole:
            self._named += page.named
            self._parties |= page.parties
            if len(self._named) > NAMED_MAX:
                raise PeerFailed(f"the peer has more than {NAMED_MAX} EVSEs, which is too many")
        return page

    def _ask(self, url: str, *, is_module: bool = True) -> Part[tuple[Answered, msgspec.Raw]]:
        """Asks, with the token in the form that the peer takes; where that is not known, in both.

        `is_module` is whether it asks a functional module, and not for versions or their details.
        """
        token = self._settings.secret
        forms = (self._form,) if self._form else (VERSIONS[0], VERSIONS[-1])
        denied: PeerFailed | None = None
        for form in forms if token else ("",):
            self._asked += 1
            ids = request_ids(f"{self._settings.address} {self._settings.source} {self._now} {self._asked}")
            headers = {"accept": "application/json", **ids}
            if is_module:
                headers |= self._routing(form)
            if token:
                headers["authorization"] = authorization(token, form)
            answered: Answered = yield Ask(url, headers=headers)
            what = f"the peer at {urlsplit(url).hostname}"
            try:
                data = yield from reading(
                    answered.body, partial(opened, answered.status, answered.body, what)
                )
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

    def _routing(self, form: str) -> dict[str, str]:
        """Who asks whom."""
        # Where only the address of the Locations is known, the form of the token tells the version.
        version = self._version or form
        settings = self._settings
        return routing(version, settings.own_party, settings.options.get(TO) or self._party or "")


def _read_page(
    data: msgspec.Raw, source: str, limits: ParseLimits, *, party: str | None, with_stations: bool
) -> tuple[Page, _Sorted]:
    """A page without the EVSEs that are REMOVED or not to be shown, and these, which wait for the end of the
    round.

    An EVSE that moves is REMOVED at one Location and has its status at another, on whichever page.
    """
    page = read_page(data, source, limits, party=party, with_documents=True, with_stations=with_stations)
    delivery = page.delivery
    reports = [each for each in delivery.reports if each.status is not Status.REMOVED]
    present = [_keys(each.evse, each.also, each.shared) for each in reports]
    sorted_out = _Sorted(
        removed=[
            (each, _keys(each.evse, each.also, each.shared))
            for each in delivery.reports
            if each.status is Status.REMOVED
        ],
        left=[
            ((evse_id, uid, kept), _keys(evse_id or uid, uid if evse_id else "", kept))
            for evse_id, uid, kept in delivery.left
        ],
        present={key for keys in present for key in keys},
        alone={keys[0] for keys in present if len(keys) == 1},
    )
    shown = msgspec.structs.replace(delivery, reports=reports, left=[])
    return msgspec.structs.replace(page, delivery=shown), sorted_out


class _Sorted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """EVSEs of a page."""

    removed: list[tuple[StatusReport, Keys]]
    """Those that are REMOVED."""
    left: list[tuple[Left, Keys]]
    """Those that are not to be shown."""
    present: set[str]
    """All ids of the others."""
    alone: set[str]
    """Ids of those of the others that have no other id."""


class _Present:
    """EVSEs that a round has. One is told from others by its EVSE id, and by its uid where one of two records
    has no EVSE id: some Senders count the EVSEs of each Location from 1.
    """

    def __init__(self) -> None:
        self._every: list[set[str]] = [set()]
        self._alone: list[set[str]] = [set()]
        """Ids of those that have no other."""

    def add(self, page: _Sorted) -> None:
        """Those of a page."""
        for known, ids in ((self._every, page.present), (self._alone, page.alone)):
            if len(ids) > PRESENT_TOGETHER_MAX:
                known.append(ids)
            else:
                known[0] |= ids
                if len(known[0]) > PRESENT_TOGETHER_MAX:
                    known.insert(0, set())

    def has(self, keys: Keys) -> bool:
        """Whether the EVSE with these ids is one of them."""
        return bool(keys) and (
            any(keys[0] in ids for ids in self._every) or any(keys[-1] in ids for ids in self._alone)
        )


def _keys(evse: str, also: str, shared: str) -> Keys:
    """The ids of an EVSE, as they compare, the one first that tells it from others."""
    if shared:
        return [f"{local_key(evse)} of {evse_key(shared)}", evse_key(evse) or local_key(evse)]
    return [evse_key(each) or local_key(each) for each in (evse, also) if each]


def _kind(data: msgspec.Raw) -> str:
    """What an answer holds: `versions`, `details`, or Locations."""
    try:
        items = listed(data)[:KIND_ITEMS_MAX]
    except UNREADABLE:
        return "locations"
    for each in items:
        try:
            found = msgspec.json.decode(each, type=dict[str, msgspec.Raw])
        except UNREADABLE:
            continue
        if "endpoints" in found:
            return "details"
        return "versions" if "version" in found and "url" in found else "locations"
    return "locations"


def _checked(url: str) -> str:
    if not is_address(url):
        raise PeerFailed("an address from the peer is not an http or https address")
    return url


class _Pages:
    """What the pages of one walk add up to."""

    def __init__(self) -> None:
        self.offset = 0
        """Of the page that follows."""
        self.size = 0
        """Locations of the last page."""
        self.total: int | None = None
        """Locations of the list, as the last page that says so says it."""
        self.empty = 0
        """Pages without a Location, since the last that had one."""
        self.went_back = False
        """Whether the list has become shorter: what follows the last page stands further in front now."""
        self.stands_still = False
        """Whether the last page had Locations of before, and no others."""
        self.is_moving = False
        """Whether Locations changed their places."""
        self.is_probe = False
        """Whether a page is asked for that no header speaks of."""
        self.is_cut = False
        """Whether a next page was named that was not found."""
        self.uncounted = 0
        """Locations without id, and those that stand in one page more than once."""
        self._ids: set[str] = set()
        self._total_min: int | None = None

    def add(self, page: Page, answered: Answered) -> None:
        """The next page."""
        told, known, began = {*page.ids}, len(self._ids), self.offset
        overlaps = self.went_back
        self._ids |= told
        new = len(self._ids) - known
        self.size = page.locations
        self.empty = 0 if page.locations else self.empty + 1
        self.uncounted += page.locations - len(told)
        self.stands_still = page.locations == len(page.ids) > 0 and new == 0 and not overlaps
        self.is_moving = self.is_moving or (new < len(told) and not overlaps)
        if not self.stands_still:
            self.offset += page.locations
        self.went_back = False
        total = _count(answered, "x-total-count")
        if total is None:
            return
        fallen = 0 if self._total_min is None else self._total_min - total
        self._total_min = total if self._total_min is None else min(total, self._total_min)
        self.total = total
        if fallen > 0:
            self.went_back = self.is_moving = True
            self.offset = max(0, began - fallen)

    def is_all(self, seen: int) -> bool:
        """Whether the peer has said how many there are, and `seen` are all of them."""
        return self.total is not None and seen + self.uncounted >= self.total

    def short(self, seen: int) -> str:
        """Why the list was not walked to its end; empty where it was. `seen` Locations are known of it."""
        if self.is_cut:
            return "the peer's list of Locations leads to a next page that cannot be followed"
        found = seen + self.uncounted
        if self.total is not None and found < self.total:
            return f"the peer says that its list has {self.total} Locations, and its pages have {found}"
        return ""


def _linked(answered: Answered, locations: str) -> tuple[str | None, bool]:
    """The next page that the header Link names (RFC 8288), where it can be used; and whether it names one.

    Never another host than the Locations', which would be shown our token. Reverse proxies leave the wrong
    scheme in links, or write the default port: that is the same host. Of a link to another host, what it asks
    for is used where it is about the same path.
    """
    own = urlsplit(locations)
    is_named = False
    for address, parameters in _LINK.findall(answered.headers.get("link", "")[:LINK_CHARACTERS_MAX]):
        named = _PARAMETER.finditer(parameters)
        relation = next(("".join(each.groups("")[1:]) for each in named if each[1].lower() == "rel"), "next")
        if "next" not in relation.lower().split():
            continue
        is_named = True
        try:
            parts = urlsplit(urljoin(answered.url, address.strip()))
            is_own = _is_same_host(parts, own)
        except ValueError:
            continue
        if parts.scheme in _PORTS and (is_own or (parts.path == own.path and parts.query)):
            return _at(own, parts.path, parts.query), True
    return None, is_named


def _is_same_host(one: SplitResult, other: SplitResult) -> bool:
    """Whether name and port are the same; the default ports of both schemes are taken for one."""
    ports = {each.port or _PORTS.get(each.scheme) for each in (one, other)}
    has_default = all(each.port in {None, _PORTS.get(each.scheme)} for each in (one, other))
    return one.hostname == other.hostname and (len(ports) == 1 or has_default)


def _at(own: SplitResult, path: str, query: str) -> str:
    return urlunsplit((own.scheme, own.netloc, path, query, ""))


def _count(answered: Answered, name: str) -> int | None:
    """A number in a header; None where there is none."""
    said = answered.headers.get(name, "").strip()
    return int(said[:18]) if said.isascii() and said.isdigit() else None


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
