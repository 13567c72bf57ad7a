"""What follows electrically from the kind of a connector and its power, where its register does not say it.

`RATINGS` is the whole of it: nothing else in the program makes up electrical facts. What a register said
stays; what is derived is named in `Connector.derived`. Must not know of any register.

Voltages of alternating current are line to neutral, of three phases too: 230 V, not 400 V (OCPI 2.2.1,
section 8.3.3: `max_voltage`, "line to neutral for AC_3_PHASE"). In nets without a neutral line, as many in
Norway, 230 V is between the lines; no register tells these apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from ladestrom.model import Connector, Station
from ladestrom.record import Format, PowerType

CONNECTORS_KEPT_MAX: Final = 16_384
"""Kinds of connector kept as one object each. A national register has some hundreds."""

PHASES: Final = MappingProxyType(
    {
        PowerType.AC_1_PHASE: 1,
        PowerType.AC_2_PHASE: 2,
        PowerType.AC_2_PHASE_SPLIT: 2,
        PowerType.AC_3_PHASE: 3,
        PowerType.DC: 1,
    }
)

BETWEEN_LINES_V: Final = 350
"""Three phases have 100 to 277 V line to neutral, and 380 to 480 V line to line: who says more than this
means line to line."""
_NOMINAL_V: Final = MappingProxyType({380: 220.0, 400: 230.0, 415: 240.0, 480: 277.0})
"""Nominal voltages line to line, and the same line to neutral (IEC 60038)."""


class Rating(NamedTuple):
    """One row: what a connector of a standard has, up to a power."""

    standards: tuple[str, ...]
    """OCPI ConnectorType."""
    up_to_kw: float | None
    """None: whatever its power is, also if that is not known."""
    power_type: PowerType | None
    max_v: float | None
    max_a: float | None
    """None: what its power makes at that voltage, in whole amperes."""
    format: Format | None


_SOCKET, _CABLE = Format.SOCKET, Format.CABLE
_AC_1, _AC_3, _DC = PowerType.AC_1_PHASE, PowerType.AC_3_PHASE, PowerType.DC

RATINGS: Final = (
    Rating(("IEC_62196_T2", "IEC_62196_T3C"), 3.9, _AC_1, 230, 16, _SOCKET),
    Rating(("IEC_62196_T2", "IEC_62196_T3C"), 7.7, _AC_1, 230, 32, _SOCKET),
    Rating(("IEC_62196_T2", "IEC_62196_T3C"), 11.6, _AC_3, 230, 16, _SOCKET),
    Rating(("IEC_62196_T2", "IEC_62196_T3C"), 23.1, _AC_3, 230, 32, _SOCKET),
    Rating(("IEC_62196_T2",), 45.4, _AC_3, 230, 63, _CABLE),
    Rating(("IEC_62196_T1",), 3.9, _AC_1, 230, 16, _CABLE),
    Rating(("IEC_62196_T1",), 7.7, _AC_1, 230, 32, _CABLE),
    Rating(("IEC_62196_T3A",), None, _AC_1, 230, 16, _SOCKET),
    Rating(("IEC_62196_T2_COMBO", "IEC_62196_T1_COMBO"), None, _DC, 920, None, _CABLE),
    Rating(("CHADEMO",), None, _DC, 500, None, _CABLE),
    Rating(("GBT_DC",), None, _DC, 750, None, _CABLE),
    Rating(("MCS",), None, _DC, 1_250, None, _CABLE),
    Rating(("IEC_62196_T1", "TESLA_R", "TESLA_S", "SAE_J3400"), None, None, None, None, _CABLE),
    Rating(("DOMESTIC_E", "DOMESTIC_F", "DOMESTIC_L"), None, _AC_1, 230, 16, _SOCKET),
    Rating(("DOMESTIC_G", "DOMESTIC_K"), None, _AC_1, 230, 13, _SOCKET),
    Rating(("DOMESTIC_J",), None, _AC_1, 230, 10, _SOCKET),
    Rating(("IEC_60309_2_single_16",), None, _AC_1, 230, 16, _SOCKET),
    Rating(("IEC_60309_2_three_16",), None, _AC_3, 230, 16, _SOCKET),
    Rating(("IEC_60309_2_three_32",), None, _AC_3, 230, 32, _SOCKET),
    Rating(("IEC_60309_2_three_64",), None, _AC_3, 230, 63, _SOCKET),
)
"""Of the rows of a standard, the first counts whose power suffices and that contradicts nothing that its
register said. Limits are what the current makes at 240 V, rounded up: 7.4 kW and what is sold as 7.5 kW are
32 A of one phase.

IEC 62196-2: a socket of type 2 gives at most 32 A on the road; 63 A are fixed cables. Type 1 has no sockets.
Domestic and industrial sockets: the current of the socket, whatever power is written beside it.
CCS: 920 V, as chargers of today have; CHAdeMO: 500 V (its version 1.x)."""


def _by_standard() -> dict[str, tuple[Rating, ...]]:
    found: dict[str, tuple[Rating, ...]] = {}
    for rating in RATINGS:
        for standard in rating.standards:
            found[standard] = (*found.get(standard, ()), rating)
    return found


_RATINGS: Final = _by_standard()


@lru_cache(CONNECTORS_KEPT_MAX)
def completed(connector: Connector) -> Connector:
    """The connector with what follows from the rest of it; those that are alike are one object.

    Without a row of `RATINGS`, its power alone may follow: where voltage, current and phases are said.
    """
    own = said(connector)
    power_kw = own.max_kw
    if power_kw is None:
        power_kw = kw(own.max_v, own.max_a, own.power_type)
    rating = _rating(own, power_kw)
    if rating is None:
        found: dict[str, Any] = {}
    else:
        max_v = own.max_v or rating.max_v
        found = {"format": rating.format, "power_type": rating.power_type, "max_v": max_v}
        found["max_a"] = rating.max_a or amperes(power_kw, max_v)
        if power_kw is None and (own.max_v or rating.max_a) and rating.power_type:
            power_kw = kw(max_v, own.max_a or rating.max_a, rating.power_type)
    found["max_kw"] = power_kw
    derived = {
        name: value for name, value in found.items() if value is not None and getattr(own, name) is None
    }
    return msgspec.structs.replace(own, **derived, derived=tuple(sorted(derived))) if derived else own


def said(connector: Connector) -> Connector:
    """The connector as its register says it: without what was derived."""
    if not connector.derived:
        return connector
    return msgspec.structs.replace(connector, **dict.fromkeys(connector.derived), derived=())


def strongest_kw(connectors: Iterable[Connector]) -> float | None:
    """The highest power of an EVSE's connectors, derived ones too; None where no power is known."""
    return max((each.max_kw for each in map(completed, connectors) if each.max_kw is not None), default=None)


def powers(station: Station) -> list[float | None]:
    """The same of each EVSE of a station."""
    found: list[list[Connector]] = [[] for _ in station.evses]
    for outlet in station.outlets:
        if 0 <= outlet.evse < len(found):
            found[outlet.evse].append(outlet.connector)
    return list(map(strongest_kw, found))


def kw(max_v: float | None, max_a: float | None, power_type: PowerType | None) -> float | None:
    """What voltage, current and phases make; None where one of them is not known."""
    if max_v is None or max_a is None or power_type is None:
        return None
    return round(max_v * max_a * PHASES[power_type] / 1_000, 3)


def amperes(power_kw: float | None, max_v: float | None) -> float | None:
    """The current of direct current that gives the power at a voltage, in whole amperes, not less."""
    if power_kw is None or not max_v or not math.isfinite(power_kw * 1_000 / max_v):
        return None
    return float(math.ceil(round(power_kw * 1_000 / max_v, 3)))


def line_to_neutral(max_v: float, power_type: PowerType | None) -> float:
    """A voltage as records have it: of three phases, one between lines becomes the one to neutral."""
    if power_type is not PowerType.AC_3_PHASE or max_v <= BETWEEN_LINES_V:
        return max_v
    return _NOMINAL_V.get(round(max_v), float(round(max_v / math.sqrt(3))))


def _rating(own: Connector, power_kw: float | None) -> Rating | None:
    for rating in _RATINGS.get(own.standard, ()):
        is_within = rating.up_to_kw is None or (power_kw is not None and power_kw <= rating.up_to_kw)
        if is_within and (rating.power_type is None or own.power_type in {None, rating.power_type}):
            return rating
    return None
