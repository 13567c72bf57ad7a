"""What an import of a register does to the stations that are there.

Knows how stations get their uuids, who may hold an EVSE key, and when a station has changed, vanished or
returned. Must not know how stations are kept: the store looks up what each step asks for, and writes
what `settle` returns. The steps, in order: `gather`, `name`, `vanishing`, `claim`, `settle`; then `told`, for
whoever wants to hear of every station.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Final

import msgspec

from ladestrom.core import differences
from ladestrom.core.drafts import UUID_FORM, completed, doubled_key, fault, is_described
from ladestrom.errors import Conflict
from ladestrom.model import NEVER, Millis, Operator, Reading, Station, evse_key, party_in
from ladestrom.ports.registry import (
    Fate,
    ImportReport,
    RecordNote,
    RecordRefusal,
    StationDraft,
    StationOutcome,
    Tell,
    Told,
)

REFUSALS_KEPT_MAX: Final = 1_000
"""Refusals told one by one (`ports.ImportReport`); those beyond are counted."""
NOTES_KEPT_MAX: Final = 1_000
"""Likewise notes."""
VANISH_UNASKED_MAX: Final = 100
"""Up to so many stations may vanish at once whatever their share: small registers do change by half."""

DESCRIBED_EVSES_MAX: Final = 1_000_000
"""EVSEs that one operator has described in a protocol, with those of stations that vanished: as many as the
European Union has. Some 1 GiB of memory."""

NOBIL_COUNTRIES: Final = frozenset({"NOR", "SWE", "FIN", "DAN", "ISL"})
"""NOBIL itself gives out uuids there."""
FIRST_NUMBER: Final = 1
FIRST_NUMBER_BESIDE_NOBIL: Final = 900_001
"""Well beyond NOBIL's own ids, which grow by some thousands a year."""
NO_OWNERS: Final[Mapping[str, Operator]] = MappingProxyType({})


class Gathered(msgspec.Struct, frozen=True):
    """A register as it was read, before it is compared with anything."""

    drafts: tuple[tuple[int, StationDraft], ...]
    """Each with its place in the register, from 1."""
    refused_ids: frozenset[str]
    """Ids or places of the records that the register's parser refused."""
    refused: tuple[RecordRefusal, ...]
    """The first 1,000."""
    refused_count: int
    notes: tuple[RecordNote, ...]
    """The first 1,000."""
    notes_count: int

    def uuids(self) -> set[str]:
        """The uuids that drafts bring; the store looks up their stations."""
        return {draft.station.uuid for _, draft in self.drafts if draft.station.uuid}

    def native_ids(self) -> set[str]:
        """The register's own ids of drafts without uuid; the store looks up their stations."""
        return {draft.station.native_id for _, draft in self.drafts if not draft.station.uuid}


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A draft that has its uuid and its keys now, and the station that it is about to replace."""

    station: Station
    readings: tuple[Reading, ...]
    before: Station | None
    keys: frozenset[str]
    age: tuple[Millis, int] = (NEVER, 0)
    """When its register says that it was updated, and its place: what is newer is greater."""

    @property
    def is_changed(self) -> bool:
        """Whether its record says something else than before."""
        return self.before is None or self.before.told != self.station.told


class Named(msgspec.Struct, frozen=True):
    """Candidates by uuid, in the register's order."""

    candidates: dict[str, Candidate]
    refused_ids: frozenset[str]
    """Native ids, uuids, EVSE keys or places of records that were refused."""
    refused: tuple[RecordRefusal, ...] = ()
    """Those that were refused since the register was read."""
    notes: tuple[RecordNote, ...] = ()
    """What was left out of those that were taken."""

    def keys(self) -> frozenset[str]:
        """Every EVSE key and EVSE id of candidates, and all that may be one of a refused record; for their
        holders.
        """
        ids = (set(_unheld(candidate.station)) for candidate in self.candidates.values())
        keys = (candidate.keys for candidate in self.candidates.values())
        return self.refused_ids.union(*keys, *ids)


class Holder(msgspec.Struct, frozen=True, gc=False):
    """The station that an EVSE key belongs to before the import."""

    uuid: str
    vanished: bool
    register: str = ""


Owners = Mapping[str, Operator]
"""Registers in which operators describe their stations (`ocpi:abc`), and the operators, with the rights that
they have now. A register whose operator was removed is not in it."""


class Settlement(msgspec.Struct, frozen=True):
    """What the store has to write. Uuids and keys are in the register's order."""

    added: tuple[Station, ...]
    changed: tuple[Station, ...]
    """Their content is another; those that also returned included."""
    returned: tuple[Station, ...]
    unchanged: int
    readings: tuple[Reading, ...]
    """The newest of each EVSE."""
    lost_keys: frozenset[str]
    moved_keys: dict[str, str]
    """EVSE key to the uuid that it belongs to now."""
    new_keys: dict[str, str]
    stripped: dict[str, frozenset[str]]
    """Vanished stations, and the keys that moved away from them."""
    numbers: dict[str, int]
    """The next free number of each country where that changed."""

    @property
    def written(self) -> dict[str, Station]:
        """Every station that was there and has another row now, by uuid."""
        return {each.uuid: each for each in (*self.changed, *self.returned)}


class Outcome(msgspec.Struct, frozen=True):
    """An import that is over."""

    report: ImportReport
    accepted: Named
    settlement: Settlement
    gone: Mapping[str, str]
    """Stations that vanished: uuid to native id."""


def gather(records: Iterable[StationDraft | RecordRefusal], tell: Tell | None = None) -> Gathered:
    """Reads the register to its end, so that an error in it comes before anything was touched.

    `tell` hears of each refusal and note as it is read.
    """
    drafts: list[tuple[int, StationDraft]] = []
    refused_ids: set[str] = set()
    refused: list[RecordRefusal] = []
    refused_count = 0
    notes: list[RecordNote] = []
    notes_count = 0
    for place, record in enumerate(records, 1):
        if isinstance(record, RecordRefusal):
            refused_count += 1
            refused_ids.add(record.record)
            if len(refused) < REFUSALS_KEPT_MAX:
                refused.append(record)
            if tell is not None:
                tell(record)
        else:
            drafts.append((place, record))
            notes_count += len(record.notes)
            if record.notes and (tell is not None or len(notes) < NOTES_KEPT_MAX):
                named = record.station.native_id or record.station.uuid or f"record {place}"
                of_record = [RecordNote(named, note) for note in record.notes]
                if len(notes) < NOTES_KEPT_MAX:
                    notes += of_record
                if tell is not None:
                    for each in of_record:
                        tell(each)
    return Gathered(
        tuple(drafts),
        frozenset(refused_ids),
        tuple(refused),
        refused_count,
        tuple(notes[:NOTES_KEPT_MAX]),
        notes_count,
    )


def name(
    register: str,
    gathered: Gathered,
    known: Iterable[Station],
    numbers: Mapping[str, int],
    room: float = math.inf,
) -> Named:
    """Finds each draft's station, gives a uuid to those that have none, and keys to EVSEs that have none.

    Args:
        register: of the drafts.
        gathered: the drafts.
        known: the stations that have one of the gathered uuids, or are of this register and have one of the
            native ids.
        numbers: the next free number by country; a country that is not in it has none yet.
        room: how many more EVSEs the register may have. A record with more new ones is refused.
    """
    before = {station.uuid: station for station in known}
    free = dict(numbers)
    brought: dict[str, str] = {}
    for _, draft in gathered.drafts:
        if UUID_FORM.fullmatch(draft.station.uuid):
            _use(free, draft.station.uuid)
            brought.setdefault(draft.station.native_id, draft.station.uuid)
    uuids = _uuids_by_native_id(register, before.values()) | brought
    candidates: dict[str, Candidate] = {}
    more = 0
    refused_ids = set(gathered.refused_ids)
    refused: list[RecordRefusal] = []
    for place, draft in gathered.drafts:
        own = draft.station
        uuid = own.uuid or uuids.get(own.native_id, "")
        reason = fault(draft) or _taken(uuid, register, before.get(uuid), candidates)
        if reason is None:
            known_as = uuid or _free_uuid(free, own.country)
            station, readings = completed(draft, register, known_as, before.get(known_as))
            double = doubled_key(station)
            reason = None if double is None else f"its EVSE {double} stands in it twice"
            had = before.get(known_as)
            more = len(station.evses) - (0 if had is None else len(had.evses))
            if reason is None and more > max(room, 0):
                reason = f"its operator has described {DESCRIBED_EVSES_MAX} EVSEs; no more are taken"
        if reason is not None:
            refused.append(RecordRefusal(own.native_id or own.uuid or f"record {place}", reason))
            refused_ids.update(filter(None, (uuid, own.native_id)))
            continue
        room -= more
        keys = frozenset(evse.key for evse in station.evses)
        candidates[station.uuid] = Candidate(
            station, readings, before.get(station.uuid), keys, (draft.updated_at, place)
        )
        if not own.uuid:
            uuids[own.native_id] = station.uuid
            _use(free, station.uuid)
    return Named(candidates, frozenset(refused_ids), tuple(refused))


def vanishing(
    register: str,
    named: Named,
    present: Mapping[str, str],
    holders: Mapping[str, Holder],
    *,
    force: bool = False,
) -> tuple[str, ...]:
    """Uuids of the stations that a complete register lacks.

    `present` are the register's stations that have not vanished: uuid to native id. A station is not
    lacking where a record of it, or of an EVSE of it, was refused. A register that brings no station at all
    makes none vanish: it says that something is wrong with it, not with the stations.

    Raises:
        Conflict: more than half of the stations, and more than 100, would vanish, and it was not forced.
    """
    if not named.candidates and not force:
        return ()
    refused = {holders[each].uuid if each in holders else each for each in named.refused_ids}
    refused |= named.refused_ids
    gone = tuple(
        uuid
        for uuid, native_id in present.items()
        if uuid not in named.candidates and uuid not in refused and native_id not in refused
    )
    if len(gone) > VANISH_UNASKED_MAX and len(gone) * 2 > len(present) and not force:
        raise Conflict(
            f"{len(gone)} of the {len(present)} stations of the register {register} would be removed;"
            " nothing was changed. If the file is only a part of the register, use --partial."
            " If the stations no longer exist, use --force-removal"
        )
    return gone


def claim(
    register: str,
    named: Named,
    holders: Mapping[str, Holder],
    gone: Iterable[str],
    owners: Owners = NO_OWNERS,
) -> Named:
    """Takes out of each candidate the EVSEs that are at another station, and refuses what has none left then.

    One EVSE is at one station. A holder that has vanished, or whose record lacks the EVSE now, lets go of it.
    Else it stays where it is, but for two cases: within the register, the newest record that lists it has it;
    and of two registers, the one with the better right to its id has it (`_Claims.right`). A record that
    says what it said before never takes an EVSE from another station.

    An EVSE that is not held by its EVSE id loses that where another station holds it, in a register in which
    an operator describes its own stations.

    Args:
        register: of the candidates.
        named: the candidates.
        holders: whose the keys are before the import.
        gone: uuids of stations that vanish in this import.
        owners: of the registers in which operators describe their stations.
    """
    claims = _Claims(register, named.candidates, holders, frozenset(gone), owners)
    accepted: dict[str, Candidate] = {}
    refused: list[RecordRefusal] = []
    notes: list[RecordNote] = []
    for uuid, candidate in named.candidates.items():
        record = candidate.station.native_id or uuid
        keys = [evse.key for evse in candidate.station.evses]
        lost = {key: winner for key in keys if (winner := claims.winner(key)) != uuid}
        before = candidate.before
        is_there = before is not None and before.vanished_at is None
        if lost and len(lost) == len(keys) and not is_there:
            reason = f"its EVSE {keys[0]} belongs to {lost[keys[0]]}; one EVSE cannot be at two stations"
            refused.append(RecordRefusal(record, reason))
            continue
        unheld = _unheld(candidate.station) if is_described(register) else ()
        foreign = {form: winner for form in unheld if (winner := claims.winner(form)) not in {None, uuid}}
        accepted[uuid] = _reduced(candidate, frozenset(lost), foreign) if lost or foreign else candidate
        notes += (RecordNote(record, f"its EVSE {key} was left out: it is at {lost[key]}") for key in lost)
        notes += (
            RecordNote(record, f"the EVSE id {form} was left out: {foreign[form]} has the EVSE of that id")
            for form in foreign
        )
    return Named(accepted, named.refused_ids, (*named.refused, *refused), tuple(notes))


def settle(accepted: Named, holders: Mapping[str, Holder], numbers: Mapping[str, int]) -> Settlement:
    """Says what has to be written for the candidates that `claim` left, and what it means."""
    added: list[Station] = []
    changed: list[Station] = []
    returned: list[Station] = []
    unchanged = 0
    lost: set[str] = set()
    moved: dict[str, str] = {}
    new: dict[str, str] = {}
    stripped: dict[str, set[str]] = {}
    used = dict(numbers)
    for uuid, candidate in accepted.candidates.items():
        station, before = candidate.station, candidate.before
        if before is None:
            added.append(station)
            _use(used, uuid)
        else:
            present = msgspec.structs.replace(before, vanished_at=None, updated_at=station.updated_at)
            if before.vanished_at is not None:
                returned.append(station)
            if present != station:
                changed.append(station)
            elif before.vanished_at is None:
                unchanged += 1
            lost.update({evse.key for evse in before.evses} - candidate.keys)
        for key in candidate.keys:
            holder = holders.get(key)
            if holder is None:
                new[key] = uuid
            elif holder.uuid != uuid:
                moved[key] = uuid
                if holder.uuid not in accepted.candidates:
                    stripped.setdefault(holder.uuid, set()).add(key)
    return Settlement(
        added=tuple(added),
        changed=tuple(changed),
        returned=tuple(returned),
        unchanged=unchanged,
        readings=tuple(chain.from_iterable(each.readings for each in accepted.candidates.values())),
        lost_keys=frozenset(lost - moved.keys()),
        moved_keys=moved,
        new_keys=new,
        stripped={uuid: frozenset(keys) for uuid, keys in stripped.items()},
        numbers={country: number for country, number in used.items() if numbers.get(country) != number},
    )


def told(outcome: Outcome) -> Iterator[Told]:
    """Everything that an import did since the register was read: refusals, notes, then stations."""
    yield from outcome.accepted.refused
    yield from outcome.accepted.notes
    settlement = outcome.settlement
    for station in settlement.added:
        yield StationOutcome(Fate.ADDED, station.uuid, station.native_id)
    for station in settlement.changed:
        before = outcome.accepted.candidates[station.uuid].before
        found = () if before is None else differences.between(before, station)
        yield StationOutcome(Fate.CHANGED, station.uuid, station.native_id, found)
    for uuid, native_id in outcome.gone.items():
        yield StationOutcome(Fate.REMOVED, uuid, native_id)
    for station in settlement.returned:
        yield StationOutcome(Fate.RETURNED, station.uuid, station.native_id)


def stripped(station: Station, keys: frozenset[str]) -> Station:
    """The station without the EVSEs that have these keys."""
    kept = [index for index, evse in enumerate(station.evses) if evse.key not in keys]
    places = {index: place for place, index in enumerate(kept)}
    return msgspec.structs.replace(
        station,
        evses=tuple(station.evses[index] for index in kept),
        outlets=tuple(
            msgspec.structs.replace(outlet, evse=places[outlet.evse])
            for outlet in station.outlets
            if outlet.evse in places
        ),
    )


def _unheld(station: Station) -> Iterator[str]:
    """EVSE ids that a station's record has for EVSEs which are not held by them, as keys."""
    for evse in station.evses:
        form = evse_key(evse.evse_id or "")
        if form and form != evse.key:
            yield form


def _reduced(candidate: Candidate, lost: frozenset[str], foreign: Collection[str]) -> Candidate:
    """A candidate without the EVSEs that have these keys, and without these EVSE ids of others."""
    station = stripped(candidate.station, lost)
    evses = tuple(
        evse
        if evse.evse_id is None or evse_key(evse.evse_id) not in foreign
        else msgspec.structs.replace(evse, evse_id=None)
        for evse in station.evses
    )
    return msgspec.structs.replace(
        candidate,
        station=msgspec.structs.replace(station, evses=evses),
        readings=tuple(reading for reading in candidate.readings if reading.evse not in lost),
        keys=candidate.keys - lost,
    )


class _Claims:
    """Who gets which EVSE key. Each key is decided by itself."""

    def __init__(
        self,
        register: str,
        candidates: Mapping[str, Candidate],
        holders: Mapping[str, Holder],
        gone: frozenset[str],
        owners: Owners,
    ) -> None:
        self._register = register
        self._candidates = candidates
        self._holders = holders
        self._gone = gone
        self._owners = owners
        self._claimants: dict[str, list[str]] = {}
        for uuid, candidate in candidates.items():
            for key in candidate.keys:
                self._claimants.setdefault(key, []).append(uuid)

    def winner(self, key: str) -> str | None:
        """Uuid of the station that has it after the import; None where none has."""
        claimants = self._claimants.get(key, [])
        holder = self._holders.get(key)
        if holder is None or self._lets_go(holder, key):
            return self._newest(claimants)
        if not claimants or claimants == [holder.uuid]:
            return holder.uuid
        takers = [uuid for uuid in claimants if self._candidates[uuid].is_changed]
        if holder.register == self._register:
            return self._newest(takers) or holder.uuid
        if takers and self.right(self._register, key) > self.right(holder.register, key):
            return self._newest(takers)
        return holder.uuid

    def _lets_go(self, holder: Holder, key: str) -> bool:
        if holder.uuid in self._candidates:
            return key not in self._candidates[holder.uuid].keys
        return holder.vanished or holder.uuid in self._gone

    def _newest(self, uuids: Iterable[str]) -> str | None:
        return max(
            uuids,
            key=lambda uuid: (self._candidates[uuid].is_changed, self._candidates[uuid].age),
            default=None,
        )

    def right(self, register: str, key: str) -> int:
        """How good a register's right to an EVSE id is, compared with that of others.

        The description by the operator whose id it is comes first. One by an operator without a right to the
        id, or without one by now, comes last, so that it keeps no station out of another register.
        """
        if not is_described(register):
            return 1
        owner = self._owners.get(register)
        if owner is None:
            return 0
        party = party_in(key)
        if party in owner.parties or (party is None and key.startswith(owner.prefixes)):
            return 2
        return 1 if owner.all else 0


def is_nobils(uuid: str) -> bool:
    """Whether NOBIL gave out a station's uuid, or that in a registry key: it means the same everywhere."""
    country, _, number = uuid.partition("_")
    return country in NOBIL_COUNTRIES and int(number.partition("_")[0]) < FIRST_NUMBER_BESIDE_NOBIL


def _uuids_by_native_id(register: str, stations: Iterable[Station]) -> dict[str, str]:
    found: dict[str, Station] = {}
    for station in sorted(stations, key=lambda each: each.uuid):
        if station.register == register and station.native_id:
            other = found.get(station.native_id)
            if other is None or other.vanished_at is not None:
                found[station.native_id] = station
    return {native_id: station.uuid for native_id, station in found.items()}


def _taken(
    uuid: str, register: str, before: Station | None, candidates: Mapping[str, Candidate]
) -> str | None:
    if before is not None and before.register != register:
        return f"{uuid} is a station of the register {before.register}"
    if uuid in candidates:
        return f"{uuid} stands in the register before; the first record counts"
    return None


def _use(free: dict[str, int], uuid: str) -> None:
    """Keeps the number of a uuid, and all below it, from being given to another station."""
    country, number = uuid[:3], int(uuid[4:])
    free[country] = max(_next_number(free, country), number + 1)


def _free_uuid(free: Mapping[str, int], country: str) -> str:
    return f"{country}_{_next_number(free, country):05d}"


def _next_number(free: Mapping[str, int], country: str) -> int:
    return free.get(country, FIRST_NUMBER_BESIDE_NOBIL if country in NOBIL_COUNTRIES else FIRST_NUMBER)
