"""The nouns of ladestrom, frozen.

Knows nothing but itself. Instants are whole milliseconds since the Unix epoch, UTC (`Millis`);
a field that holds one ends in `_at`. Positions are degrees, WGS 84. Powers are kilowatts.

What somebody writes as an id compares in one of these forms, and in no other:

- An EVSE id (`NO*ABC*E1`, `+49*810*000*438`) as its `evse_key`: ASCII letters and digits in upper case,
  without `*`, `-` and spaces, and ids of DIN 91286 without their `+`. ISO 15118-2, annex H, and eMI3 make the
  separators optional and know no case. What has any other character is no EVSE id.
- An operator's own id of an EVSE (uid) or of a Location as its `local_key`: ASCII letters in upper case, all
  else as it is. OCPI 2.2.1, section 16.1: a CiString is printable ASCII and compares without case.
- A registry key of an EVSE (`NOR_01333_01`) in upper case.
- Ids of charge points (OCPP-J 1.6, section 3.1.1) and names of operators, keys and sources as they are.

Only ASCII letters have a case here. Unicode maps the long s, the sharp s and ligatures to capitals of ASCII,
and ids that look unlike would be one.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from ladestrom.errors import InvalidPosition
from ladestrom.quoting import quoted
from ladestrom.record import NO_DETAILS, Details, Format, PowerType, Terms

Millis = int
"""Milliseconds since 1970-01-01T00:00:00Z."""

NEVER: Final = -1
"""The instant of what is not known yet (the NOBIL stream's `timestamp` of an unknown connector)."""

AS_OBSERVED: Final = 0
"""A stamp that says the same as the `observed_at` beside it."""

WIRE_SEPARATORS: Final = str.maketrans("", "", "*-")
"""What consumers leave out when they compare names of EVSEs."""
_UPPER: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
PARTY_CHARACTERS: Final = 5
"""Country and party without separator (ISO 15118-2, annex H): what an EVSE id in letters begins with."""


class Status(StrEnum):
    """Status of an EVSE: the nine words of OCPI 2.2.1, section 8.4.22."""

    AVAILABLE = "AVAILABLE"
    BLOCKED = "BLOCKED"
    CHARGING = "CHARGING"
    INOPERATIVE = "INOPERATIVE"
    OUTOFORDER = "OUTOFORDER"
    PLANNED = "PLANNED"
    REMOVED = "REMOVED"
    RESERVED = "RESERVED"
    UNKNOWN = "UNKNOWN"


class Cause(StrEnum):
    """Why a change was decided."""

    REPORTED = "reported"
    """An operator said so."""
    EXPIRED = "expired"
    """The source was silent for longer than its `stale_after_s`."""
    DISCONNECTED = "disconnected"
    """The source signed off, its connection was lost, or its complete list has the EVSE no more."""
    WITHDRAWN = "withdrawn"
    """The EVSE left its register."""
    REGISTERED = "registered"
    """The EVSE came onto the board: it is known now, its status is not."""
    SELECTED = "selected"
    """It came into a consumer's selection, as its station's record is another one. Not in the log."""
    DESELECTED = "deselected"
    """It left a consumer's selection, for that reason or for its new source. Not in the log."""


class Reason(StrEnum):
    """Why a report did not become a change. The first two are no errors."""

    UNCHANGED = "unchanged"
    """Same status and error as the board has: a confirmation."""
    STALE = "stale"
    """Older than what the board has, or as old and of lower rank."""
    UNKNOWN_EVSE = "unknown_evse"
    NOT_ALLOWED = "not_allowed"
    INVALID_ITEM = "invalid_item"
    INVALID_STATUS = "invalid_status"
    INVALID_TIME = "invalid_time"
    FUTURE_TIME = "future_time"
    """Taken, with the receive time; never a refusal."""


REFUSALS: Final = frozenset(Reason) - {Reason.UNCHANGED, Reason.STALE, Reason.FUTURE_TIME}
"""Reasons that are told to the operator item by item."""


class Connector(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A plug or socket of an EVSE. It has no status of its own."""

    standard: str
    """OCPI 2.2.1 ConnectorType word (`IEC_62196_T2_COMBO`), or `UNKNOWN`."""
    max_kw: float | None = None
    format: Format | None = None
    power_type: PowerType | None = None
    max_v: float | None = None
    """Line to neutral where there are three phases (OCPI 2.2.1, section 8.3.3)."""
    max_a: float | None = None
    """Of one phase."""
    derived: tuple[str, ...] = ()
    """Members that no register said: they follow from others (`core.electrical`)."""


class Evse(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An EVSE: serves one vehicle at a time, and is what has a status.

    `key` is its identity everywhere inside, and unique in the registry: the `evse_key` of its EVSE id where
    the registry lets it hold that one, else a registry key, `NOR_01333_01` (`core.drafts`, `core.merge`).
    """

    key: str
    station: str
    """Registry uuid of its station."""
    evse_id: str | None = None
    """`NO*ABC*E1234` as its register writes it."""
    uid: str | None = None
    """The operator's own id, where it is known and is not the `evse_id`. Others may have the same."""
    party: str | None = None
    """Who operates it, as the register says: country and party without separator, `NOABC`."""
    label: str | None = None
    """What is painted on it."""
    max_kw: float | None = None
    floor: str | None = None
    capabilities: tuple[str, ...] = ()
    """OCPI 2.2.1, section 8.4.3: `RFID_READER`."""
    terms: Terms | None = None
    """Where they differ from its station's: all of them."""

    @property
    def name(self) -> str:
        """What the EVSE is called on the wire, unique as its key is: the EVSE id that it holds, else its key.

        Consumers compare names in upper case and without `*` and `-`: then it equals the key.
        """
        if self.evse_id is None or evse_key(self.evse_id) != self.key:
            return self.key
        return self.evse_id.replace(" ", "").replace("+", "")


class Outlet(msgspec.Struct, frozen=True, gc=False):
    """A connector in its station's registry order: which EVSE it belongs to, and what it is."""

    evse: int
    """Index into the station's `evses`."""
    connector: Connector


class Station(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A charging station of the registry, with its EVSEs and its connectors in registry order."""

    uuid: str
    """NOBIL's form: three letters, underscore, at least five digits (`NOR_01333`)."""
    name: str
    country: str
    """Three letters as NOBIL writes them (NOR SWE FIN DAN), ISO 3166-1 alpha-3 for all others."""
    latitude: float
    longitude: float
    evses: tuple[Evse, ...]
    outlets: tuple[Outlet, ...]
    operator: str | None = None
    address: str | None = None
    city: str | None = None
    register: str = ""
    """Which register it is from: `nobil`, `irve`, ..."""
    native_id: str = ""
    """Its id in that register."""
    told: int = 0
    """Hash of what its register told of it (`core.drafts.fingerprint`); 0 where that is not known."""
    vanished_at: Millis | None = None
    """When an import of its register first lacked it."""
    updated_at: Millis = NEVER
    """When its register says that the record was updated, of the record that brought what is in this one: a
    register that says nothing else does not make another record of it."""
    details: Details = NO_DETAILS


class Reading(msgspec.Struct, frozen=True, gc=False):
    """A status that a register carries for one EVSE; the board's first one when it is newer."""

    evse: str
    """EVSE key."""
    status: Status
    error: bool
    observed_at: Millis
    raw: str


class Order(StrEnum):
    """What decides which of two words is newer that one feed brings about an EVSE."""

    ARRIVAL = "arrival"
    """Arrival alone, whatever the stamps: one OCPP connection, one followed stream, OICP."""
    UPDATES = "updates"
    """The stamps. Where they are equal, or either is missing or was capped, arrival (OCPI)."""
    STAMPS = "stamps"
    """The stamps, and for a word without one its arrival. Of equal stamps, the rank of the statuses."""


class Feed(msgspec.Struct, frozen=True, gc=False):
    """A way in which words come: a connection, a followed stream, an operator's pushes in one protocol.

    Words of one feed stand in an order; those of different feeds are to each other as of different sources.
    """

    name: str
    """The same for the same feed, over restarts too."""
    order: Order = Order.STAMPS
    by_receipt: bool = False
    """Its stamps say nothing of statuses: each word counts from when it was received."""
    max_age_s: int | None = None
    """An observation that is older is taken as UNKNOWN."""


class Beginning(msgspec.Struct, frozen=True, gc=False):
    """When a round began in which a source is asked, or a delivery that is complete."""

    arrival: int
    """Its place in the order of arrivals."""
    at: Millis
    """Our clock."""


Ids = tuple[str, str, str]
"""An EVSE as a source names it: `evse`, `also` and `shared` of a report. The last two may be empty."""


class StatusReport(msgspec.Struct, frozen=True, gc=False):
    """What a source claims about one EVSE: a word."""

    evse: str
    """As the operator wrote it: EVSE id, uid, registry key, or a connector by its place or NOBIL id."""
    status: Status
    error: bool
    observed_at: Millis | None
    """Its stamp, by the operator's clock, as it was written; None where the word has none."""
    source: str
    """Name of the operator."""
    raw: str
    """What the source said, word for word."""
    also: str = ""
    """Another id of the same EVSE, looked for where the first is not known."""
    shared: str = ""
    """An EVSE id that it has in common with others, so that it is not looked for by it; `evse` is its uid
    then, and `also` is empty."""


class Change(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A decision: the status or error of an EVSE is another from now on."""

    evse: str
    """EVSE key."""
    station: str
    status: Status
    error: bool
    changed_at: Millis
    """`NEVER` while nothing is known. Never goes back."""
    observed_at: Millis
    """When it counts as observed: never after `received_at`."""
    received_at: Millis
    """Our clock, when this was decided."""
    source: str
    raw: str
    cause: Cause
    was_status: Status
    was_error: bool
    stamp: Millis = AS_OBSERVED
    """The word's own stamp where it counts otherwise; `NEVER` where it had none."""
    was_source: str = ""
    """The source of the change that this one replaced; empty where nobody had said anything, and in logs that
    were written before it was kept."""


class StationChange(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A station's record is another one from now on, or its first one."""

    station: Station
    """Whole. One that left its register says since when (`vanished_at`)."""
    received_at: Millis
    """Our clock, when this was decided."""
    was: Station | None = None
    """What filters saw of it before (`core.selection.outline`), where they see something else now."""
    moving: tuple[str, ...] = ()
    """EVSEs (keys) that go from this station to another or come to it: they are found all the time, where
    they were until the other station's record has them."""


AnyChange = Change | StationChange
"""What an entry of the log is about."""


class Suppression(msgspec.Struct, frozen=True, gc=False):
    """A decision not to change: an expected non-event with its reason, not an error of ours."""

    reason: Reason
    detail: str = ""


class StatusChanged(msgspec.Struct, frozen=True, gc=False):
    """A fact: the change of an EVSE that stands at `seq` in the log."""

    seq: int
    change: Change


class StationChanged(msgspec.Struct, frozen=True, gc=False):
    """A fact: the change of a station's record that stands at `seq` in the log."""

    seq: int
    change: StationChange


Entry = StatusChanged | StationChanged
"""What stands in the log. Both kinds are of one sequence."""


class Position(msgspec.Struct, frozen=True, order=True, gc=False):
    """A place in a log. Comparable only within one epoch; written `EPOCH-SEQ`.

    The epoch changes when a log is made anew, so that a consumer with an old position learns
    that it cannot resume.
    """

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Reads `EPOCH-SEQ`.

        Raises:
            InvalidPosition: the text has another form; tell the consumer.
        """
        match = _POSITION.fullmatch(text)
        if match is None:
            raise InvalidPosition(
                f"{quoted(text, 40)} is not a position; write EPOCH-SEQ as a message or ETag gave it"
            )
        return cls(match[1], int(match[2]))


_POSITION = re.compile(r"([A-Za-z0-9]{1,32})-([0-9]{1,18})")


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """One item of a delivery that was refused, and why."""

    index: int
    """Place in the delivery, from 0."""
    reason: Reason
    detail: str


ADJUSTED_MAX: Final = 100
"""Adjusted times told one by one in a receipt."""


class Receipt(msgspec.Struct, frozen=True):
    """What the operator is told once the accepted items are durable.

    `accepted + unchanged + len(refused)` is the number of items sent.
    """

    accepted: int
    unchanged: int
    refused: tuple[Refusal, ...]
    position: Position
    stale: int = 0
    """Of the unchanged items, those older than what the board has."""
    adjusted: tuple[Refusal, ...] = ()
    """Items that were taken with the receive time, as their own was too far ahead; the first hundred."""
    received_at: Millis = NEVER
    """When the delivery was taken, on our clock."""
    observed: tuple[Millis, ...] = ()
    """When each accepted item was observed; those by which an EVSE became known are left out."""
    durable_at: Millis = NEVER
    """When the accepted items were in the log, on our clock."""
    dry_run: bool = False
    """Nothing was stored: it is what would have become of the items."""


class Operator(msgspec.Struct, frozen=True):
    """Who reports, and what it may report on."""

    name: str
    parties: tuple[str, ...] = ()
    """Country and party without separator, `NOABC`."""
    prefixes: tuple[str, ...] = ()
    """Beginnings of EVSE keys."""
    all: bool = False
    stale_after_s: int | None = None
    """Silence after which its EVSEs become unknown; None is the setting's value."""
    max_age_s: int | None = None
    """An observation that is older is taken as UNKNOWN; None is no limit."""
    by_receipt: bool = False
    """Whether its words count from when they were received, as their stamps say nothing of statuses."""
    may_register: bool = False
    """Whether stations that it describes come into the registry, where they are its own."""


def evse_key(written: str) -> str:
    """The form in which EVSE ids compare; empty for what cannot be an EVSE id."""
    if not written.isascii():
        return ""
    form = written.upper().replace("*", "").replace("-", "").replace(" ", "")
    if form[:1] == "+" and form[1:].isdigit():
        form = form[1:]
    return form if form.isalnum() else ""


def local_key(written: str) -> str:
    """The form in which ids compare that an operator gives out itself, such as a uid."""
    form = written.strip(" ")
    return form.upper() if form.isascii() else form.translate(_UPPER)


def registry_key(written: str) -> str:
    """The form in which registry keys compare; empty for what is none."""
    form = written.translate(_UPPER)
    return form if _REGISTRY_KEY.fullmatch(form) else ""


def party_in(key: str) -> str | None:
    """Whose an EVSE id says that it is (`NOABC` of `NOABCE1`), given its `evse_key`.

    None for ids in digits (DIN 91286), which name an operator that has no party, and for too short ids.
    """
    return key[:PARTY_CHARACTERS] if key[:2].isalpha() and len(key) > PARTY_CHARACTERS else None


def connector_uuid(station: str, ordinal: int) -> str:
    """The NOBIL id of a connector: `NOR_01333_01` for ordinal 1; at least two digits."""
    return f"{station}_{ordinal:02d}"


def connector_place(station: str, ordinal: int) -> str:
    """A connector of a station by its place in registry order, from 1, as reports name it.

    Not its NOBIL id: that may be the registry key of another EVSE, as EVSEs keep their keys when connectors
    come and go.
    """
    return f"connector {ordinal} of {station}"


def placed_connector(written: str) -> tuple[str, int] | None:
    """Station and ordinal of what `connector_place` made, or of a connector's NOBIL id; None for all else."""
    form = written.translate(_UPPER)
    match = _CONNECTOR_PLACE.fullmatch(form)
    if match is not None:
        return match[2], int(match[1])
    return (form.rpartition("_")[0], int(form.rpartition("_")[2])) if _REGISTRY_KEY.fullmatch(form) else None


_REGISTRY_KEY = re.compile(r"[A-Z]{3}_[0-9]{5,12}_[0-9]{2,4}")
_CONNECTOR_PLACE = re.compile(r"CONNECTOR ([0-9]{1,4}) OF ([A-Z]{3}_[0-9]{5,12})")
