"""Which EVSEs of a registry a right covers, and which parties and operators a registry has.

Knows stations and rights as they are handed in. Must not know where they are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import msgspec

from ladestrom.core.access import Reach, prefixed
from ladestrom.model import Evse, Operator, Station, evse_key

EXAMPLES: Final = 5
"""Enough to see whether a right is the one that was meant."""
ID_PREFIX_CHARACTERS: Final = 5
"""Of an EVSE id: country and operator id (ISO 15118-1), `FRABC`."""


class Right(msgspec.Struct, frozen=True):
    """One right of an operator, and the EVSEs that it covers."""

    kind: str
    """`all`, `party` or `prefix`."""
    value: str
    evses: int


class Coverage(msgspec.Struct, frozen=True):
    """What an operator may report on, in a registry."""

    evses: int
    stations: int
    rights: tuple[Right, ...]
    examples: tuple[Evse, ...]


class PartyRow(msgspec.Struct, frozen=True):
    """EVSEs of a registry that are alike in whose they are."""

    register: str
    party: str | None
    """Country and party as the register says; None where it does not."""
    prefix: str | None
    """How their EVSE ids begin; None where they have none."""
    operator: str | None
    """The operator's name in the register."""
    evses: int
    stations: int
    reported_by: tuple[str, ...]
    """Operators of this server whose rights cover at least one of them."""


def coverage(operator: Operator, stations: Iterable[Station]) -> Coverage:
    """The EVSEs that an operator may report on. Stations that have vanished are left out."""
    covers = Reach(operator).covers
    found: list[Evse] = []
    uuids: set[str] = set()
    for station in _present(stations):
        own = [evse for evse in station.evses if covers(evse)]
        if own:
            found += own
            uuids.add(station.uuid)
    return Coverage(len(found), len(uuids), tuple(_rights(operator, found)), tuple(found[:EXAMPLES]))


def _rights(operator: Operator, covered: list[Evse]) -> Iterator[Right]:
    if operator.all:
        yield Right("all", "all EVSEs", len(covered))
    by_party = Counter(evse.party for evse in covered)
    for party in operator.parties:
        yield Right("party", party, by_party[party])
    for prefix in operator.prefixes:
        begins = (any(form.startswith(prefix) for form in prefixed(evse)) for evse in covered)
        yield Right("prefix", prefix, sum(begins))


def uncovered(stations: Iterable[Station], operators: Iterable[Operator], told: Collection[str] = ()) -> int:
    """How many EVSEs no operator may report on; without those (keys) of which a register tells the status."""
    reporters = _Reporters(operators)
    return sum(
        not reporters.of(evse) and evse.key not in told
        for station in _present(stations)
        for evse in station.evses
    )


def parties(stations: Iterable[Station], operators: Iterable[Operator]) -> list[PartyRow]:
    """Whose the EVSEs of a registry are, those with most EVSEs first. Vanished stations are left out."""
    reporters = _Reporters(operators)
    groups: dict[tuple[str, str | None, str | None, str | None], _Group] = {}
    for station in _present(stations):
        for evse in station.evses:
            row = (station.register, evse.party, _prefix(evse), station.operator)
            group = groups.get(row) or groups.setdefault(row, _Group())
            group.evses += 1
            group.stations.add(station.uuid)
            group.reported_by |= reporters.of(evse)
    return [
        PartyRow(
            *row,
            evses=group.evses,
            stations=len(group.stations),
            reported_by=tuple(sorted(group.reported_by)),
        )
        for row, group in sorted(groups.items(), key=lambda each: (-each[1].evses, str(each[0])))
    ]


class _Group:
    def __init__(self) -> None:
        self.evses = 0
        self.stations: set[str] = set()
        self.reported_by: set[str] = set()


class _Reporters:
    """Operators by their rights: a look for each length of prefix instead of one for each operator."""

    def __init__(self, operators: Iterable[Operator]) -> None:
        self._all: set[str] = set()
        self._by_party: dict[str | None, set[str]] = {}
        self._by_prefix: dict[str, set[str]] = {}
        for operator in operators:
            if operator.all:
                self._all.add(operator.name)
            for party in operator.parties:
                self._by_party.setdefault(party, set()).add(operator.name)
            for prefix in operator.prefixes:
                self._by_prefix.setdefault(prefix, set()).add(operator.name)
        self._lengths = {len(prefix) for prefix in self._by_prefix}

    def of(self, evse: Evse) -> set[str]:
        """The operators that may report on an EVSE, as `Reach` says it of each."""
        names = self._all | self._by_party.get(evse.party, set())
        for form in prefixed(evse):
            for length in self._lengths:
                names |= self._by_prefix.get(form[:length], set())
        return names


def _prefix(evse: Evse) -> str | None:
    """How the EVSE id begins; a key that was made from the station's uuid is no EVSE id."""
    return None if evse.evse_id is None else evse_key(evse.evse_id)[:ID_PREFIX_CHARACTERS] or None


def _present(stations: Iterable[Station]) -> Iterator[Station]:
    return (station for station in stations if station.vanished_at is None)
