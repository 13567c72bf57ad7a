"""What a driver asks of an EVSE, by what its station's record says: access, hours, power, plugs, payment.

Filters for lists. A stream has none of them: what is open changes with the clock, not with the log. One EVSE
has to meet all of them at once, together with the filters on EVSE and status (`core.selection`): a station
that has CCS at one EVSE and 150 kW at another has no "CCS, 150 kW".

What a register does not say is not met: unknown is not "no", but not "yes" either. The one exception is
`vehicle=car`: where no register says what may be charged, it is cars (`record.Terms.vehicles`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from ladestrom.core.open_hours import is_open
from ladestrom.core.selection import values
from ladestrom.core.standards import STANDARDS
from ladestrom.errors import InvalidSelection
from ladestrom.model import Connector, Evse, Millis, Station
from ladestrom.quoting import did_you_mean, quoted
from ladestrom.record import Access, Payment, Terms, Vehicle

T = TypeVar("T")

KW_MAX: Final = 10_000
"""The largest plug there is, MCS, is specified for 3,750 kW."""
_NUMBER: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)

SHORT: Final[Mapping[str, tuple[str, ...]]] = {
    "ccs": ("IEC_62196_T1_COMBO", "IEC_62196_T2_COMBO"),
    "ccs1": ("IEC_62196_T1_COMBO",),
    "ccs2": ("IEC_62196_T2_COMBO",),
    "nacs": ("SAE_J3400",),
    "schuko": ("DOMESTIC_F",),
    "type1": ("IEC_62196_T1",),
    "type2": ("IEC_62196_T2",),
    "type3": ("IEC_62196_T3A", "IEC_62196_T3C"),
}
"""What people call some of them."""
PAYMENTS: Final = Payment.__struct_fields__


class Features(msgspec.Struct, frozen=True):
    """Filters; values of one are alternatives, different ones narrow. An empty one lets everything pass."""

    access: frozenset[Access] = frozenset()
    open_now: bool = False
    min_kw: float | None = None
    connector: frozenset[str] = frozenset()
    """OCPI's words in upper case."""
    payment: frozenset[str] = frozenset()
    """Members of `Payment`."""
    vehicle: frozenset[Vehicle] = frozenset()

    def meets(self, station: Station, index: int, at: Millis) -> bool:
        """Whether one EVSE of a station, by its place in it, meets all of them at this instant."""
        evse = station.evses[index]
        return (
            self._is_in_time(station, at)
            and self._are_met_by(evse.terms or station.details)
            and self._are_met_at(evse, [each.connector for each in station.outlets if each.evse == index])
        )

    def of(self, station: Station, at: Millis) -> Sequence[Evse]:
        """The EVSEs of a station that meet all of them at this instant, in registry order."""
        if self == ANYTHING:
            return station.evses
        if not self._is_in_time(station, at):
            return ()
        common = self._are_met_by(station.details)
        met = [common if evse.terms is None else self._are_met_by(evse.terms) for evse in station.evses]
        if self.min_kw is None and not self.connector:
            return [evse for evse, is_met in zip(station.evses, met, strict=True) if is_met]
        if not any(met):
            return ()
        plugs: list[list[Connector]] = [[] for _ in station.evses]
        for outlet in station.outlets:
            plugs[outlet.evse].append(outlet.connector)
        return [
            evse
            for evse, is_met, own in zip(station.evses, met, plugs, strict=True)
            if is_met and self._are_met_at(evse, own)
        ]

    def _is_in_time(self, station: Station, at: Millis) -> bool:
        details = station.details
        return not self.open_now or is_open(details.opening, details.time_zone, at) is True

    def _are_met_by(self, terms: Terms) -> bool:
        if self.access and terms.access not in self.access:
            return False
        if self.vehicle and self.vehicle.isdisjoint(terms.vehicles or _CARS):
            return False
        ways = terms.payment
        return not self.payment or (
            ways is not None and any(getattr(ways, way) is True for way in self.payment)
        )

    def _are_met_at(self, evse: Evse, plugs: Sequence[Connector]) -> bool:
        """Whether the EVSE has the power, and one and the same plug is of a standard and has it too."""
        least = self.min_kw
        known = [plug.max_kw for plug in plugs if plug.max_kw is not None]
        whole = evse.max_kw if evse.max_kw is not None else max(known, default=None)
        if least is not None and (whole is None or whole < least):
            return False
        if not self.connector:
            return True
        for plug in plugs:
            if plug.standard.upper() in self.connector:
                # What an only plug can is what its EVSE can.
                kw = plug.max_kw if plug.max_kw is not None or len(plugs) > 1 else whole
                if least is None or (kw is not None and kw >= least):
                    return True
        return False


ANYTHING: Final = Features()
_CARS: Final = (Vehicle.CAR,)


def features(parameters: Mapping[str, str]) -> Features:
    """Reads filters from query parameters, of which all others are left alone.

    Raises:
        InvalidSelection: a value cannot be understood; says which and how to write it.
    """
    read = {
        name: reader(parameters[name])
        for name, reader in _READERS.items()
        if parameters.get(name, "").strip()
    }
    return Features(**read) if read else ANYTHING  # type: ignore[arg-type]


def _words(name: str, text: str, known: Mapping[str, T], told: str = "") -> list[T]:
    """What the words of a parameter mean; they are known in small letters, and may be written in any."""
    found = []
    for value in values(name, text):
        meaning = known.get(value.casefold())
        if meaning is None:
            hint = did_you_mean(value.casefold(), known)
            words = told or f"the words are {', '.join(known)}"
            raise InvalidSelection(f"{name}={quoted(value, 40)} is an unknown word{hint}; {words}")
        found.append(meaning)
    return found


def _access(text: str) -> frozenset[Access]:
    return frozenset(_words("access", text, _ACCESS))


def _open_now(text: str) -> bool:
    if text != "1":
        raise InvalidSelection(
            f"open_now={quoted(text, 20)} is unknown; write open_now=1, or omit it: what is closed cannot be "
            "asked for"
        )
    return True


def _min_kw(text: str) -> float:
    number = float(text) if _NUMBER.fullmatch(text) else -1.0
    if not 0 <= number <= KW_MAX:
        raise InvalidSelection(
            f"min_kw={quoted(text, 20)} is not a power; write one number of kW from 0 to {KW_MAX}, for "
            "example 150 or 3.7"
        )
    return number


def _connectors(text: str) -> frozenset[str]:
    told = f"write {', '.join(SHORT)}, or a ConnectorType of OCPI 2.2.1 (IEC_62196_T2_COMBO)"
    return frozenset(word for words in _words("connector", text, _CONNECTORS, told) for word in words)


def _payments(text: str) -> frozenset[str]:
    return frozenset(_words("payment", text, _PAYMENTS))


def _vehicles(text: str) -> frozenset[Vehicle]:
    return frozenset(_words("vehicle", text, _VEHICLES))


_ACCESS: Final = {word.value: word for word in Access}
_PAYMENTS: Final = {word: word for word in PAYMENTS}
_VEHICLES: Final = {word.value: word for word in Vehicle}
_CONNECTORS: Final[Mapping[str, tuple[str, ...]]] = {
    **{short: tuple(word.upper() for word in words) for short, words in SHORT.items()},
    **{word.casefold(): (word.upper(),) for word in STANDARDS},
}
_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "access": _access,
    "open_now": _open_now,
    "min_kw": _min_kw,
    "connector": _connectors,
    "payment": _payments,
    "vehicle": _vehicles,
}

FEATURES: Final = frozenset(_READERS)
"""The filters of version 2's lists beside those of a selection."""


def only_of_lists(names: Iterable[str]) -> None:
    """Refuses what a stream is asked to filter by, where it is one of these.

    Raises:
        InvalidSelection: one is; says what to do instead.
    """
    found = sorted(FEATURES.intersection(names))
    if found:
        raise InvalidSelection(
            f"{', '.join(found)}: streams have no filters by features, lists have (/api/v2/stations, "
            "/api/v2/evses); take include=stations and filter the records"
        )
