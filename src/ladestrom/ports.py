"""What the middle asks of the outside, on one screen.

One contract suite runs over every implementation of a port (`tests/contracts`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from ladestrom.errors import LogFailure
from ladestrom.model import (
    AS_OBSERVED,
    NEVER,
    Beginning,
    Change,
    Entry,
    Evse,
    Feed,
    Millis,
    Operator,
    Order,
    Position,
    Reading,
    Reason,
    Receipt,
    Refusal,
    Station,
    Status,
    StatusReport,
)


class Said(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The last word of one feed about an EVSE."""

    feed: str
    """Empty where that is not known, after a crash."""
    source: str
    """Name of the operator."""
    status: Status
    error: bool
    stamp: Millis
    """As it was written; `NEVER` where it had none."""
    at: Millis
    """When it counts as observed."""
    arrival: int = 0


class More(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What the board keeps of an EVSE that several feeds tell of, or whose stamps were ahead of us."""

    heard_on: str
    """The feed on which it was heard last."""
    own_arrival: int
    """Of the last word of the feed that the row is of, or of the loss of its status."""
    others: tuple[Said, ...] = ()
    """The last words of other feeds."""
    capped: Said | None = None
    """The last word whose stamp was ahead of its receipt: the same word again counts as it did."""


class BoardRow(msgspec.Struct, gc=False, array_like=True):
    """One EVSE of the board, in memory and in a checkpoint: its last change and what was heard of it since.

    A row on the board is replaced and not changed, so that a checkpoint may have it meanwhile.
    """

    seq: int
    change: Change
    observed_at: Millis
    """When it was last observed: by the change, or by what confirmed it since."""
    heard_at: Millis
    """When it was last heard of, on the clock by which silence is judged."""
    source: str
    """Whose it is: who changed it, or confirmed it by a later observation."""
    stamp: Millis = AS_OBSERVED
    """Of that source's last word: as it was written, `NEVER` without one, `AS_OBSERVED` where it is that."""
    feed: str = ""
    """On which that source told it; empty where that is not known, after a crash."""
    order: Order = Order.STAMPS
    """Of that feed."""
    arrival: int = 0
    """Of the last word that was heard of it, in the order in which all deliveries arrive."""
    more: More | None = None


class Times(msgspec.Struct, frozen=True, gc=False):
    """What a log keeps of its writer's clocks."""

    given_at: Millis
    """The last receive time that was given."""
    heard_at: Millis
    """The same instant on the clock by which silence is judged."""


class Intake(Protocol):
    """Where transports hand in reports."""

    async def submit(
        self,
        operator: Operator,
        reports: Sequence[StatusReport],
        refused: Sequence[Refusal] = (),
        feed: Feed | None = None,
        began: Beginning | None = None,
    ) -> Receipt:
        """Returns once every accepted report is in the log.

        Args:
            operator: whose reports these are.
            reports: in the order in which they were told.
            refused: items that the parser refused.
            feed: on which they came; a feed of the operator's own where it is None.
            began: when the round began of which this is a page; its words arrived then.

        Raises:
            Overloaded: the queue is full; nothing was changed; the operator may try again.
            LogFailure: the append failed; nothing was changed; the operator may try again.
        """
        ...


class Tally:
    """What one operator delivered since the start."""

    __slots__ = ("changes", "last_report_at", "refused", "reports", "stale")

    def __init__(self) -> None:
        self.reports = 0
        self.changes = 0
        self.stale = 0
        self.refused: Counter[Reason] = Counter()
        self.last_report_at: Millis = -1


class RawListener(Protocol):
    """Who wants to know of every report received, change or not. It must not wait or raise."""

    @property
    def wanted(self) -> bool:
        """Whether `offer` is to be called."""
        ...

    def offer(self, evse: Evse, report: StatusReport, observed_at: Millis) -> None:
        """A report was received. Lossy."""
        ...


class Listener(RawListener, Protocol):
    """What the writer tells readers beside the log. It must not wait or raise."""

    def registering(self, stations: Sequence[Station]) -> AbstractContextManager[None]:
        """Within, in one step of the loop, the directory gets these records of stations."""
        ...


class Progress(Protocol):
    """How far a writer in the same process is."""

    @property
    def confirmations(self) -> int:
        """Grows with what confirms states without changing them."""
        ...

    @property
    def appending(self) -> asyncio.Future[None] | None:
        """Done when the append that is under way is; None where none is."""
        ...


class Signals(Progress, Protocol):
    """What readers may know of the writer beside the log."""

    def observed_at(self, seq: int, change: Change) -> Millis:
        """When the state that a change of the log left was last known to hold."""
        ...

    def known_tallies(self) -> Mapping[str, Tally]:
        """By operator: what each delivered."""
        ...


class Log(Protocol):
    """One durable ordered log of changes, and checkpoints of the board it makes.

    One writer. Sequence numbers start at 1, have no holes and never repeat within an epoch.
    """

    @property
    def last(self) -> Position:
        """Position of the last durable entry; sequence 0 while there is none."""
        ...

    @property
    def first(self) -> int:
        """Sequence of the oldest entry kept; `last.seq + 1` while there is none."""
        ...

    @property
    def fault(self) -> LogFailure | None:
        """What is known to be wrong with the log, whether or not it can be written; None where nothing is."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether the last `trim` dropped entries because of the size of all, and not only for their age."""
        ...

    async def recover(self) -> Sequence[BoardRow]:
        """The board as of `last`, one row per EVSE, in order of `seq`: checkpoint and replay.

        Raises:
            LogDamaged: it cannot be made of what is in the log; says what is damaged and what to do.
        """
        ...

    async def append(self, changes: Sequence[Change]) -> Sequence[Entry]:
        """Makes the changes durable, all or none, and returns them with their sequence numbers.

        Raises:
            LogFailure: none was appended; calling again may succeed.
        """
        ...

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        """At most `limit` entries with `seq > after`, in order; entries no longer kept are skipped.

        Raises:
            LogDamaged: an entry that is kept cannot be read, or is missing; says which (`seq`).
            LogFailure: the log cannot be read now.
        """
        ...

    def tail(self, after: int) -> AsyncIterator[Sequence[Entry]]:
        """Every durable entry with `seq > after`, in order, in batches, for ever.

        A reader that is slow gets larger batches (at most 10,000 entries); it never slows the writer. What it
        was not given yet is not dropped by `trim`.

        Raises:
            LogTrimmed: the entry after `after` is no longer kept.
            LogDamaged: the next entry cannot be read, or is missing.
        """
        ...

    @property
    def times(self) -> Times | None:
        """What is known of the writer's clocks as of `last`, once the board was recovered."""
        ...

    async def checkpoint(self, rows: Iterable[BoardRow], seq: int, times: Times) -> None:
        """Keeps `rows`, the newest state of EVSEs touched since the last checkpoint.

        Every change with a sequence up to `seq` is in these or in earlier rows, and was received by `times`.
        They are taken piece by piece while earlier ones are written; a row may be newer than `seq`.
        """
        ...

    async def trim(self) -> int:
        """Drops entries over the limits of age and size; says how many.

        Never any that the checkpoint does not cover, or that a reader that follows was not given yet.
        """
        ...

    def look(self) -> None:
        """Looks whether what was opened is still what is kept where it was; `fault` says so otherwise."""
        ...

    @property
    def idle_s(self) -> float:
        """Seconds since the last write that succeeded."""
        ...

    @property
    def stalled_s(self) -> float:
        """Seconds for which the writes under way have waited for the disk; 0 while there is none."""
        ...

    @property
    def kept_bytes(self) -> int:
        """What it takes on its disk."""
        ...

    async def probe(self) -> None:
        """Writes and syncs a small record.

        Raises:
            LogFailure: the log cannot be written now.
        """
        ...

    async def close(self) -> None:
        """Releases the files. What was appended stays."""
        ...


class StationDraft(msgspec.Struct, frozen=True):
    """A station as a register delivers it, before the store gave it its uuid.

    `station.uuid` is empty where the register has no uuids of NOBIL's form; the store allots one and
    writes it into the station and its EVSEs. EVSE keys are empty where they derive from the uuid
    (`NOR_01333_01`: the EVSE's first connector).
    """

    station: Station
    readings: tuple[tuple[int, Reading], ...] = ()
    """Index of the EVSE in the station, and what the register says of its status."""
    notes: tuple[str, ...] = ()
    """What was odd about the record and how it was read."""
    updated_at: Millis = NEVER
    """When the register says that the record was updated; `NEVER` where it does not."""


class RecordRefusal(msgspec.Struct, frozen=True):
    """One record of a register that was refused."""

    record: str
    """Its id where it has one, else its place: `line 17`, `record 3`."""
    reason: str
    """What is wrong and what to do."""


class RecordNote(msgspec.Struct, frozen=True):
    """Something odd about one record of a register that was taken."""

    record: str
    """Its id in the register."""
    note: str
    """What was odd, and how it was read."""


class ImportReport(msgspec.Struct, frozen=True):
    """What an import did, station by station (uuids)."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: int
    vanished: tuple[str, ...]
    returned: tuple[str, ...]
    """Had vanished, are there again; also in `changed` where something else changed too."""
    refused: tuple[RecordRefusal, ...]
    """The first 1,000."""
    refused_count: int
    evses: int
    """EVSEs of the register's stations after the import, vanished stations left out."""
    notes: tuple[RecordNote, ...] = ()
    """The first 1,000."""
    notes_count: int = 0


class KeyRecord(msgspec.Struct, frozen=True):
    """A key as the store keeps it: never the secret, only its SHA-256. Its e-mail is not for logs."""

    id: str
    name: str
    secret_sha256: bytes
    scopes: tuple[str, ...]
    operator: str | None
    created_at: Millis
    expires_at: Millis | None
    revoked_at: Millis | None
    last_used_at: Millis | None
    """To the minute."""
    email: str | None = None
    """Whom to write to about it."""
    purpose: str | None = None
    self_made: bool = False
    """Whether its holder made it, and not who runs the server."""
    approved_at: Millis | None = None
    """Of one that its holder made: since when it is good; None while it waits for that."""

    @property
    def pending(self) -> bool:
        """Whether it waits to be approved."""
        return self.self_made and self.approved_at is None

    def __repr__(self) -> str:
        return f"KeyRecord({self.id!r})"


class OperatorUse(msgspec.Struct, frozen=True):
    """What cannot be without an operator, by id or name."""

    keys: tuple[str, ...] = ()
    """Those that are live, or wait to be approved."""
    sources: tuple[str, ...] = ()
    charge_points: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In words: `2 keys (a, b), 1 source (c)`; empty where nothing needs it."""
        kinds = (
            ("key", self.keys),
            ("source", self.sources),
            ("charge point", self.charge_points),
            ("OCPI peer", self.peers),
        )
        return ", ".join(
            f"{len(ids)} {kind}{'' if len(ids) == 1 else 's'} ({', '.join(ids)})"
            for kind, ids in kinds
            if ids
        )


class OcpiPeer(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks OCPI with us. Never shown whole: it has their token."""

    id: str
    operator: str
    """For whom it reports."""
    state: str
    """`invited`: it has a token with which it may register. `calling`: we are registering with it.
    `registered`: both have each other's token. `fixed`: it has a token for good, and does not register."""
    token_sha256: bytes
    """Of the token that it shows us."""
    made_at: Millis
    their_token: str | None = None
    """The token that we show it."""
    their_url: str | None = None
    """Where it says which versions it speaks."""
    version: str | None = None
    endpoints: tuple[tuple[str, str, str], ...] = ()
    """Module, role (empty in OCPI 2.1.1) and address of each."""
    roles: tuple[tuple[str, str, str], ...] = ()
    """Role, party (`NOABC`) and name of each."""
    registered_at: Millis | None = None


class Peers(Protocol):
    """Peers of OCPI, and what they have put here."""

    async def every(self) -> Sequence[OcpiPeer]:
        """All of them, the oldest first."""
        ...

    async def put(self, peer: OcpiPeer, *, instead_of: bytes | None = None) -> None:
        """Adds the peer or replaces it; with `instead_of`, only where that is still its token's SHA-256.

        Raises:
            NotFound: its operator does not exist.
            Conflict: its token is another by now.
        """
        ...

    async def drop(self, peer_id: str) -> None:
        """Forgets the peer.

        Raises:
            NotFound: no peer has this id.
        """
        ...

    async def location(self, operator: str, location_id: str) -> bytes | None:
        """A Location of an operator as it was stored, by `NO*ABC*LOC1`; None where there is none."""
        ...

    async def locations(
        self, operator: str, after: str = "", count_max: int = 1_000
    ) -> Sequence[tuple[str, bytes]]:
        """The next Locations of an operator and their ids, in the order of these, behind the id `after`."""
        ...

    async def some_locations(self, operator: str, location_ids: Sequence[str]) -> Mapping[str, bytes]:
        """Those of some Locations of an operator that there are, by their ids; at most 1,000."""
        ...

    async def stored_bytes(self, operator: str) -> int:
        """What all Locations of an operator take."""
        ...

    async def put_locations(self, documents: Mapping[tuple[str, str], bytes], now: Millis) -> None:
        """Stores Locations, by operator and id. Does not count as a new revision."""
        ...


class ChargePoint(msgspec.Struct, frozen=True):
    """A charge point that reports for itself: never its password, only the SHA-256 of that."""

    id: str
    """As it calls itself in the address it connects to."""
    operator: str
    station: str
    """Registry uuid."""
    evses: tuple[tuple[int, str], ...]
    """Its number for an EVSE, and the EVSE's key; empty is the station's own order, from 1."""
    secret_sha256: bytes
    added_at: Millis
    last_seen_at: Millis | None
    """When it was last connected, to the minute."""


class SourceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A source that we ask or follow, as the store keeps it. Never shown whole: it has a secret."""

    name: str
    operator: str
    """Whose statuses it brings."""
    protocol: str
    address: str
    options: dict[str, str] = msgspec.field(default_factory=dict)
    """What the protocol needs beside, and how it is reached (`ca`)."""
    secret: str | None = None
    certificate: str | None = None
    """File of the certificate that we show, PEM."""
    certificate_key: str | None = None
    """File of its key, where that is another."""
    poll_s: int | None = None
    """None is the protocol's own."""
    max_age_s: int | None = None
    """An observation that is older is taken as UNKNOWN; None is as its operator has it."""
    by_receipt: bool | None = None
    """Whether its words count from when they were received; None is as its operator has it."""
    paused_at: Millis | None = None
    memory: dict[str, str] = msgspec.field(default_factory=dict)
    """What the last round found out (`protocols.conversation.Memory`)."""
    added_at: Millis
    changed_at: Millis

    def __repr__(self) -> str:
        return f"SourceRecord({self.name!r})"


class RegistryDelta(msgspec.Struct, frozen=True):
    """What changed in the registry after a revision."""

    revision: int
    stations: tuple[Station, ...]
    """Added or changed, vanished ones included (`vanished_at`)."""
    readings: tuple[Reading, ...]


class Store(Protocol):
    """Registry, operators and keys. Written by the command line while the server runs too.

    `revision` grows with every write, so that a server learns of it by asking for one number.
    """

    async def revision(self) -> int: ...

    async def registry_since(self, revision: int) -> RegistryDelta:
        """Stations and readings written after `revision` (0: all)."""
        ...

    async def import_stations(
        self,
        register: str,
        records: Iterable[StationDraft | RecordRefusal],
        now: Millis,
        *,
        complete: bool,
        force_vanish: bool = False,
        dry_run: bool = False,
    ) -> ImportReport:
        """Adds and updates stations of one register, in one transaction.

        With `complete`, stations of that register which `records` lacks are marked as vanished.
        With `dry_run`, everything is checked and told, and nothing is changed.
        A draft whose EVSE keys belong to another station is refused, the others are not.

        Raises:
            Conflict: with `complete`, more than half of the register's stations, and more than 100, would
                vanish, and `force_vanish` is not set; nothing was changed.
        """
        ...

    async def operators(self) -> Sequence[Operator]: ...

    async def put_operator(self, operator: Operator, now: Millis) -> bool:
        """Adds the operator or replaces it; True where it was added."""
        ...

    async def remove_operator(self, name: str, now: Millis, *, force: bool = False) -> OperatorUse:
        """Forgets an operator, and with `force` all that needs it; says what that was.

        Keys that have ended, and Locations that it put, go with it in any case.

        Raises:
            NotFound: no operator has this name.
            Conflict: something needs it, and `force` is not set; nothing was changed.
        """
        ...

    async def keys(self) -> Sequence[KeyRecord]: ...

    async def put_key(self, key: KeyRecord, *, self_made_max: int | None = None) -> None:
        """Adds the key.

        With `self_made_max`, no more live or waiting keys that their holders made are taken than that; of
        those that ended, the oldest are forgotten.

        Raises:
            Conflict: its id is taken.
            NotFound: its operator does not exist.
            TooManyRequests: there are `self_made_max` already.
        """
        ...

    async def approve_key(self, key_id: str, now: Millis) -> None:
        """Makes a key good that waits for that; one that does not wait stays as it is.

        Raises:
            NotFound: no key has this id.
            Conflict: it was revoked or has expired.
        """
        ...

    async def revoke_key(self, key_id: str, now: Millis) -> None:
        """Raises:
        NotFound: no key has this id.
        """
        ...

    async def erase_key(self, key_id: str) -> None:
        """Deletes the key and what it says of its holder; it ends with that.

        Raises:
            NotFound: no key has this id.
        """
        ...

    async def expire_key(self, key_id: str, expires_at: Millis) -> None:
        """Brings the key's expiry forward (rotation); never later than it was.

        Raises:
            NotFound: no key has this id.
        """
        ...

    async def touch_keys(self, used: dict[str, Millis]) -> None:
        """Notes when keys were last used; does not count as a new revision."""
        ...

    async def close(self) -> None: ...


class ChargePoints(Protocol):
    """The part of a store that keeps charge points; each write is a new revision of it."""

    async def charge_points(self) -> Sequence[ChargePoint]:
        """All of them, by id."""
        ...

    async def put_charge_point(self, point: ChargePoint) -> ChargePoint:
        """Adds it, and gives it back with its EVSEs, written in any form, by their keys.

        Raises:
            Conflict: its id is taken.
            NotFound: its operator or its station does not exist.
            BadRequest: an EVSE is not of its station.
        """
        ...

    async def rotate_charge_point(self, charge_point: str, secret_sha256: bytes) -> None:
        """Replaces its password; the old one ends at once.

        Raises:
            NotFound: no charge point has this id.
        """
        ...

    async def remove_charge_point(self, charge_point: str) -> None:
        """Raises:
        NotFound: no charge point has this id.
        """
        ...

    async def touch_charge_points(self, seen: dict[str, Millis]) -> None:
        """Notes when charge points were last connected; does not count as a new revision."""
        ...


class Sources(Protocol):
    """The part of a store that keeps sources; each write but `remember_source` is a new revision of it."""

    async def sources(self) -> Sequence[SourceRecord]:
        """All of them, by name."""
        ...

    async def put_source(self, source: SourceRecord) -> bool:
        """Adds the source or replaces it; True where it was added.

        One that is replaced keeps its memory where what is asked is still the same.

        Raises:
            NotFound: its operator does not exist.
        """
        ...

    async def pause_source(self, name: str, paused_at: Millis | None, now: Millis) -> None:
        """Stops it, or lets it go on (None); it begins anew then, without its memory.

        Raises:
            NotFound: no source has this name.
        """
        ...

    async def remove_source(self, name: str) -> None:
        """Raises:
        NotFound: no source has this name.
        """
        ...

    async def remember_source(self, name: str, memory: dict[str, str], changed_at: Millis) -> bool:
        """Keeps its memory, unless it was changed since `changed_at`; says whether it did."""
        ...


class Stores(Store, ChargePoints, Sources, Protocol):
    """All that the server keeps beside the log."""

    @property
    def peers(self) -> Peers:
        """Peers of OCPI."""
        ...
