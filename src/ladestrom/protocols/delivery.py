"""What every protocol's parser makes of a message.

Knows reports, refusals and stations. Must not know any protocol.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from ladestrom.core.rules import EARLIEST_AT
from ladestrom.model import Ids, Millis, Order, Reason, Refusal, Status, StatusReport
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.quoting import quoted

ID_CHARACTERS_MAX: Final = 255
"""The longest id of any protocol that we speak is 48 (OCPI) or 36 (a UUID)."""
SHOWN_CHARACTERS_MAX: Final = 64
"""Of a wrong value in what is told about it."""
RAW_CHARACTERS_MAX: Final = 64
"""Of a source's own word that is kept beside the status."""
NUL: Final = 0
BACKSLASH: Final = ord("\\")
UNKNOWN: Final = Status.UNKNOWN
OUT_OF_ORDER: Final = Status.OUTOFORDER
ARRIVAL: Final = Order.ARRIVAL
"""A member of an enumeration is found slowly in Python 3.11, and these are needed for every item."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REGION: Final = re.compile(r"\[[\w/+-]{1,40}\]$")
_ZONE: Final = re.compile(r"\s*(?:(?:UTC|GMT|Z)|([+-][0-9]{2}(?::?[0-9]{2})?))$")
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
"""Looked for first, as a pattern that begins with a single character is found several times as fast."""
_HALF_PAIR: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|"
    rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the JSON decoder raises for text that is no JSON at all."""


def json_text(body: bytes) -> bytes:
    """A body as the JSON decoder takes it: in UTF-8, without byte order mark and without NULs.

    RFC 8259, section 8.1, lets a reader ignore the mark. Some writers in .NET send UTF-16, and some in C the
    NUL behind their text. Half of a surrogate pair, which is left where a name was cut within a character, is
    JSON by its section 8.2, but no text: it is U+FFFD.
    """
    # Nearly every body is what it should be, and often short. `in` is fastest for single bytes as numbers.
    if body < codecs.BOM_UTF8 and NUL not in body and BACKSLASH not in body:
        return body
    if body[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        body = body.decode("utf-16", errors="replace").encode()
    if NUL in body:
        body = body.replace(b"\0", b"")
    if _SURROGATE.search(body) and _HALF_PAIR.search(body):
        body = _ESCAPE.sub(_whole, body)
    return body.removeprefix(codecs.BOM_UTF8)


def _whole(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if escape["half"] else escape[0]


class ParseLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one message may be."""

    items_max: int = 10_000


Left = tuple[str, str, str]
"""EVSE id and uid of a record, either of which may be empty; and an EVSE id that the record had and that
another has now: by its uid, no EVSE is meant that has another id than that."""


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """Members of one item that were not used, because they are not known."""

    index: int
    """Place in the delivery, from 0."""
    members: tuple[str, ...]
    """The first twenty, shortened to forty characters each."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one message brought: reports in order, and the items that were refused by their place."""

    reports: list[StatusReport]
    refused: list[Refusal] = msgspec.field(default_factory=list)
    """In order of their places."""
    ignored: list[Ignored] = msgspec.field(default_factory=list)
    """Items with members that nobody knows; the first hundred."""
    order: Order = Order.STAMPS
    """What decides between its words and others of the same source."""
    complete: bool = False
    """It names all EVSEs that its source has: those of this source that it lacks are unknown from now on."""
    within: tuple[str, ...] = ()
    """What it is complete of: parties, or what EVSE keys begin with (`NOABC`); empty is all of its source."""
    named: Collection[Ids] = ()
    """EVSEs that it has beside those it reports on: deliveries before it, of the same whole, told of them."""
    unknown: list[str] = msgspec.field(default_factory=list)
    """EVSEs of which the source, itself a board, knows nothing now: unknown until it tells of them again,
    whatever the time of what it tells then. Not counted as items."""
    left: list[Left] = msgspec.field(default_factory=list)
    """EVSEs that a Location of OCPI has no more or does not show: they are `unknown` unless another Location
    lists them."""
    documents: Mapping[str, bytes] | None = None
    """Locations of OCPI as they were pulled, by their names (`NO*ABC*LOC1`), to be kept beside those that
    were put; None where it is from none."""
    unmapped: int = 0
    """Status words that the protocol does not have, refused items apart. Each makes its EVSE UNKNOWN:
    its old status has ended."""
    stations: list[StationDraft | RecordRefusal] = msgspec.field(default_factory=list)
    """Stations that it describes, for the registry where the source may fill it."""
    partial_stations: bool = False
    """It may describe some EVSEs of a station only: those that it lacks stay as they are."""
    all_stations: bool = False
    """It describes all stations that its source has: those that it lacks have vanished."""


class Problem(msgspec.Struct, frozen=True):
    """Why an item cannot be a report."""

    reason: Reason
    detail: str


class Gathering:
    """Makes a delivery of a message's items, one after the other, by the rules that hold for all protocols.

    Places count what the message holds, from 0, refused items included.
    """

    __slots__ = ("_order", "_refused", "_reports", "_source", "unmapped")

    def __init__(self, source: str, order: Order = Order.STAMPS) -> None:
        self._source = source
        self._order = order
        self._reports: list[StatusReport] = []
        self._refused: list[Refusal] = []
        self.unmapped = 0
        """Status words so far that the protocol does not have, of items that are not refused."""

    def word(
        self,
        evse: str,
        status: Status | None,
        observed_at: Millis | None,
        raw: str,
        also: str = "",
        shared: str = "",
        *,
        error: bool = False,
    ) -> bool:
        """The next item has a status word; whether it is taken.

        `status` is its meaning, or None if the protocol has no such word. Such a word ends the old status:
        the EVSE becomes UNKNOWN, and the word is counted as unmapped, unless the item is refused.
        `observed_at` is None where the item does not say when.

        `also` is another id of the EVSE, where it has two; `shared` is one that it has in common with others.
        """
        if status is None:
            is_taken = self.word(evse, UNKNOWN, observed_at, raw, also, shared, error=error)
            self.unmapped += is_taken
            return is_taken
        if not 0 < len(evse) <= ID_CHARACTERS_MAX:
            self.refuse(
                Reason.INVALID_ITEM, f"the id has {len(evse)} characters; 1 to {ID_CHARACTERS_MAX} are right"
            )
            return False
        if observed_at is not None and observed_at < EARLIEST_AT:
            self.refuse(
                Reason.INVALID_TIME, f"{quoted(evse, SHOWN_CHARACTERS_MAX)} was observed before the year 2000"
            )
            return False
        self._reports.append(
            StatusReport(
                evse,
                status,
                error or status is OUT_OF_ORDER,
                observed_at,
                self._source,
                raw[:RAW_CHARACTERS_MAX],
                also,
                shared,
            )
        )
        return True

    def refuse(self, reason: Reason, detail: str) -> None:
        """The next item cannot be a report."""
        self._refused.append(Refusal(len(self._reports) + len(self._refused), reason, detail))

    def delivery(
        self,
        *,
        complete: bool = False,
        within: tuple[str, ...] = (),
        stations: list[StationDraft | RecordRefusal] | None = None,
    ) -> Delivery:
        """All of it."""
        return Delivery(
            reports=self._reports,
            refused=self._refused,
            order=self._order,
            complete=complete,
            within=within,
            unmapped=self.unmapped,
            stations=stations or [],
        )


def millis(at: datetime) -> Millis:
    """An instant; one without zone is UTC."""
    try:
        since = at - _EPOCH
    except TypeError:
        since = at.replace(tzinfo=UTC) - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1_000 + (since.microseconds + 500) // 1_000


def instant(text: str) -> Millis:
    """An instant of ISO 8601, also as programs print it: `.. +01:00`, `.. UTC`, `..Z[Europe/Paris]`, `t..z`.

    Raises:
        ValueError, OverflowError: it is none.
    """
    try:
        return millis(datetime.fromisoformat(text))
    except ValueError:
        plain = _ZONE.sub(lambda found: found[1] or "Z", _REGION.sub("", text.strip()).upper())
        return millis(datetime.fromisoformat(plain))


def shown(value: object) -> str:
    """A wrong value, short enough to be told."""
    return str(value)[:SHOWN_CHARACTERS_MAX]
