"""What a DATEX II table says of who may charge what at a station and its points, and how it is paid.

What a station does not say is its site's; what a point does not say is its station's. Must not know of places
and organisations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ladestrom.core.fields import Notes, clean, decimal, plain
from ladestrom.record import Access, Accessibility, Payment, Terms, Vehicle
from ladestrom.registers import datex2_tables as tables
from ladestrom.registers.datex2_nodes import (
    Node,
    as_list,
    as_node,
    enumerated,
    nodes,
    typed,
    word,
    words,
)
from ladestrom.registers.limits import DEFAULT

_PARTS_MAX: Final = 100
"""Of one object, that are read: rates, prices, parking spaces, vehicles."""

NO_TERMS: Final = Terms()
_OF_TERMS: Final = frozenset(
    {
        "accessibility",
        "applicableForVehicles",
        "authenticationAndIdentificationMethods",
        "dedicatedParkingSpaces",
        "electricEnergy",
        "electricEnergyMix",
        "exclusiveUsers",
        "rates",
        "reservation",
        "usageType",
    }
)
"""Members of which terms are read."""
_BELOW: Final = frozenset({"lessthan", "lessthanorequalto"})
"""ComparisonOperatorEnum: what tells the greatest height."""
_NO_PAYMENT: Final = Payment()


def terms(
    site: Node, station: Node, points: Sequence[Node], notes: Notes
) -> tuple[Terms, tuple[Terms | None, ...]]:
    """The station's terms, and those of its points that differ from it.

    What all points say alike, and neither site nor station says, is the station's.
    """
    own = [_said_terms(point, notes) for point in points]
    whole = _over(_said_terms(site, notes), _said_terms(station, notes))
    if all(each is NO_TERMS for each in own):
        return whole, (None,) * len(own)
    common = own[0]
    for each in own[1:]:
        common = _shared(common, each)
    whole = _over(common, whole)
    differing = (_over(whole, each) for each in own)
    return whole, tuple(None if each == whole else each for each in differing)


def _over(base: Terms, own: Terms) -> Terms:
    """The terms of what says `own`, and else what is said of where it is."""
    if own is NO_TERMS or base is NO_TERMS:
        return base if own is NO_TERMS else own
    said = {name: getattr(own, name) or getattr(base, name) for name in Terms.__struct_fields__}
    said["reservable"] = base.reservable if own.reservable is None else own.reservable
    if own.access is not None:
        said["access_text"] = own.access_text
    if own.payment is not None and base.payment is not None:
        ways = (
            theirs if ours is None else ours
            for ours, theirs in zip(
                msgspec.structs.astuple(own.payment), msgspec.structs.astuple(base.payment), strict=True
            )
        )
        said["payment"] = Payment(*ways)
    return Terms(**said)


def _shared(one: Terms, other: Terms) -> Terms:
    """What both say."""
    alike = {
        name: getattr(one, name)
        for name in Terms.__struct_fields__
        if getattr(one, name) == getattr(other, name)
    }
    if one.payment is not None and other.payment is not None:
        ways = zip(msgspec.structs.astuple(one.payment), msgspec.structs.astuple(other.payment), strict=True)
        payment = Payment(*(ours if ours == theirs else None for ours, theirs in ways))
        alike["payment"] = None if payment == _NO_PAYMENT else payment
    return Terms(**alike)


def _said_terms(node: Node, notes: Notes) -> Terms:
    """What a site, a station or a point says itself."""
    if _OF_TERMS.isdisjoint(node):
        return NO_TERMS
    users = [plain(word(each)) for each in as_list(node.get("exclusiveUsers"))[:_PARTS_MAX]]
    users = [user for user in users if user and user.casefold() != tables.NOBODY]
    access = _access(users)
    spaces = [
        space
        for space in nodes(node, "dedicatedParkingSpaces")[:_PARTS_MAX]
        if decimal(word(space.get("numberOfSpaces"))) != 0
    ]
    reservations = enumerated(node, "reservation")
    terms = Terms(
        access=access,
        access_text=_access_text(access, users),
        accessibility=_accessibility(node, users, spaces),
        vehicles=_vehicles(node, spaces),
        max_height_m=_max_height_m(node, spaces, notes),
        payment=_payment(node),
        tariff_text=_tariff_text(node, notes),
        reservable=next(
            (tables.RESERVATION[each] for each in reservations if each in tables.RESERVATION), None
        ),
    )
    return NO_TERMS if terms == NO_TERMS else terms


def _access(users: Iterable[str]) -> Access | None:
    groups = {tables.USERS.get(user.casefold(), Access.RESTRICTED) for user in users}
    if len(groups) == 1:
        return groups.pop()
    return None if not groups else Access.PUBLIC if Access.PUBLIC in groups else Access.RESTRICTED


def _access_text(access: Access | None, users: Iterable[str]) -> str | None:
    """Whom it is for in the register's words, where they say more than the access does."""
    if access in {None, Access.PUBLIC}:
        return None
    text = ", ".join(user for user in users if user.casefold() != tables.NAMELESS_USERS)
    return None if text == access else text or None


def _accessibility(node: Node, users: Sequence[str], spaces: Sequence[Node]) -> Accessibility | None:
    reserved = [
        space
        for space in spaces
        if (theirs := enumerated(space, "userSpecific")) and tables.DISABLED.issuperset(theirs)
    ]
    if (reserved and len(reserved) == len(spaces)) or (
        users and tables.DISABLED.issuperset(user.casefold() for user in users)
    ):
        return Accessibility.RESERVED
    said = {tables.ACCESSIBILITY.get(each) for each in enumerated(node, "accessibility")} - {None}
    if Accessibility.ACCESSIBLE in said or (reserved and not said):
        return Accessibility.ACCESSIBLE
    return Accessibility.NOT_ACCESSIBLE if said else None


def _vehicles(node: Node, spaces: Iterable[Node]) -> tuple[Vehicle, ...]:
    """What may be charged; nothing where any vehicle may, or nothing is said."""
    said = list(_vehicle_words(node)) or [each for space in spaces for each in _vehicle_words(space)]
    if "anyvehicle" in said:
        return ()
    kinds = {kind for each in said for kind in tables.VEHICLES.get(each, ())}
    if not said:
        used = [tables.USAGE.get(each) for each in enumerated(node, "usageType")]
        kinds = set() if None in used else {kind for each in used if each for kind in each}
    return tuple(kind for kind in Vehicle if kind in kinds)


def _vehicle_words(node: Node) -> Iterator[str]:
    for vehicles in nodes(node, "applicableForVehicles")[:_PARTS_MAX]:
        yield from enumerated(vehicles, "vehicleType")
        yield from enumerated(vehicles, "euVehicleCategory")
        for extension in nodes(vehicles, "comVehicleCharacteristicsExtensionG"):
            yield from enumerated(
                as_node(extension.get("VehicleCharacteristicsExtended")), "euVehicleCategory"
            )


def _max_height_m(node: Node, spaces: Sequence[Node], notes: Notes) -> float | None:
    """The station's; else that of the highest space, where all of them have one."""
    own = _height_m(node, notes)
    if own is not None:
        return own
    heights = [_height_m(space, notes) for space in spaces]
    known = [height for height in heights if height is not None]
    return max(known) if known and len(known) == len(heights) else None


def _height_m(node: Node, notes: Notes) -> float | None:
    heights: list[float] = []
    least, most = tables.HEIGHTS_M
    for vehicles in nodes(node, "applicableForVehicles")[:_PARTS_MAX]:
        for limit in nodes(vehicles, "heightCharacteristic")[:_PARTS_MAX]:
            if plain(word(limit.get("comparisonOperator"))).casefold() in _BELOW:
                height = decimal(word(limit.get("vehicleHeight")))
                if height is not None and least <= height <= most:
                    heights.append(height)
                else:
                    notes.add("a height of vehicles is not valid and was ignored")
    return min(heights, default=None)


def _payment(node: Node) -> Payment | None:
    ways: dict[str, bool] = {}
    for each in enumerated(node, "authenticationAndIdentificationMethods"):
        way = tables.AUTHENTICATION.get(each, ("", ""))[0]
        if way:
            ways[way] = True
    prices: list[bool] = []
    for kind, rate in _rates(node):
        policy = plain(word(rate.get("ratePolicy"))).casefold()
        if policy == "adhoc":
            ways["ad_hoc"] = True
        for each in _means(rate):
            way = tables.MEANS.get(each, ("", ""))[0]
            if way:
                ways[way] = True
        if kind == "FreeOfCharge":
            prices.append(False)
        if policy != "contract":
            prices += (_costs(price) for price in nodes(rate, "energyPrice")[:_PARTS_MAX])
    if prices:
        ways["free"] = not any(prices)
    return Payment(**ways) if ways else None


def _costs(price: Node) -> bool:
    """Whether a price is one: what has neither the word nor the number for nothing costs something."""
    return plain(word(price.get("priceType"))).casefold() != "free" and decimal(word(price.get("value"))) != 0


def _tariff_text(node: Node, notes: Notes) -> str | None:
    """What a rate says in words; that of the first one which is not by contract."""
    for _, rate in _rates(node):
        if plain(word(rate.get("ratePolicy"))).casefold() != "contract":
            text = clean(words(rate.get("additionalInformation")), "tariff", DEFAULT.prose_chars_max, notes)
            if text:
                return text
    return None


def _rates(node: Node) -> Iterator[tuple[str, Node]]:
    """The rates of a station or a point, and the type of each: version 3.5 has them in the energy, 3.7 in the
    energy mix and in the object.
    """
    energies = nodes(node, "electricEnergy")[:_PARTS_MAX]
    for energy in energies:
        yield from map(typed, nodes(energy, "energyRate")[:_PARTS_MAX])
    for each in (*nodes(node, "electricEnergyMix")[:_PARTS_MAX], node):
        yield from map(typed, nodes(each, "rates")[:_PARTS_MAX])


def _means(rate: Node) -> Iterator[str]:
    for member in ("payment", "paymentMethod"):
        for payment in nodes(rate, member):
            yield from enumerated(payment, "paymentMeans")


def capabilities(station: Node, points: Iterable[Node]) -> Iterator[tuple[str, ...]]:
    """What each point can, as OCPI 2.2.1 (section 8.4.3) calls it."""
    common = _said_capabilities(station)
    known: dict[frozenset[str], tuple[str, ...]] = {}
    for point in points:
        own = frozenset(common | (set() if _OF_TERMS.isdisjoint(point) else _said_capabilities(point)))
        yield known.setdefault(own, tuple(sorted(own)))


def _said_capabilities(node: Node) -> set[str]:
    said = {
        tables.AUTHENTICATION.get(each, ("", ""))[1]
        for each in enumerated(node, "authenticationAndIdentificationMethods")
    }
    said |= {tables.MEANS.get(each, ("", ""))[1] for _, rate in _rates(node) for each in _means(rate)}
    if any(tables.RESERVATION.get(each) for each in enumerated(node, "reservation")):
        said.add("RESERVABLE")
    return said - {""}
