"""Which of an operator's Locations list an EVSE: what a Location says of it is the word of one record.

An EVSE is one by its EVSE id, else by its uid. It may move to another Location, and its uid may be replaced;
its old record is then REMOVED or left out, before or after the new one comes. What takes an EVSE away holds
for the record, and the EVSE stays where another lists it. Must not know where Locations are kept.

Source: OCPI 2.2.1, section 8.3.2: an EVSE that is REMOVED stays in its Location.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import msgspec

from ladestrom.core.locations import instant, is_hidden, status_of
from ladestrom.model import NEVER, Evse, Millis, Status, StatusReport, evse_key, local_key
from ladestrom.protocols.delivery import UNREADABLE, Delivery

Means = Callable[[str, str], Collection[Evse]]
"""The operator's EVSEs in the registry that an id means; where it means none, another of the same EVSE."""


class _Record(msgspec.Struct, frozen=True, gc=False):
    uid: Any = ""
    evse_id: Any = None
    status: Any = None
    last_updated: Any = None


class _Listing(msgspec.Struct, frozen=True, gc=False):
    evses: list[Any] | None = None
    publish: Any = None


_decode = msgspec.json.Decoder(_Listing).decode


class Records:
    """Those of one operator."""

    def __init__(self) -> None:
        self._at: dict[str, str | tuple[str, ...]] = {}
        """EVSE to the Locations that list it; most are at one, which has no collection around it."""
        self._removed: dict[str, dict[tuple[str, str], Millis]] = {}
        """EVSE to its records that are REMOVED, by Location and uid, and when they became so."""

    def put(self, location: str, before: bytes | None, after: bytes | None) -> None:
        """A Location is another one from now on."""
        had, has = _listed(before), _listed(after)
        for each in had.here - has.here:
            left = tuple(other for other in self._locations(each) if other != location)
            self._set(each, left)
        for each in has.here - had.here:
            self._set(each, (*self._locations(each), location))
        for each, uid in had.removed:
            stamps = self._removed.get(each, {})
            stamps.pop((location, uid), None)
            if not stamps:
                self._removed.pop(each, None)
        for (each, uid), at in has.removed.items():
            self._removed.setdefault(each, {})[location, uid] = at

    def settled(self, delivery: Delivery, means: Means) -> Delivery:
        """A delivery without what it takes away of EVSEs that are listed; `left` is `unknown` then.

        What the record says that an EVSE has now is not older than that another of its records is REMOVED.
        """
        reports = [self._lifted(each) for each in delivery.reports] if self._removed else delivery.reports
        if not delivery.left and all(each.status is not Status.REMOVED for each in reports):
            return msgspec.structs.replace(delivery, reports=reports)
        told = {
            evse.key
            for each in reports
            if each.status is not Status.REMOVED
            for evse in means(each.evse, each.also)
        }

        def goes(each: StatusReport) -> bool:
            found = means(each.evse, each.also)
            if self.is_listed(_of(each)) or not told.isdisjoint(evse.key for evse in found):
                return False
            return not found or bool(_without_another_id(found, each.evse, each.also))

        unknown = []
        for evse_id, uid in delivery.left:
            if self.is_listed(_name(uid, evse_id)):
                continue
            written, also = evse_id or uid, uid if evse_id else ""
            found = _without_another_id(means(written, also), written, also)
            if len(found) == 1:
                unknown += [evse.key for evse in found if evse.key not in told]
        kept = [each for each in reports if each.status is not Status.REMOVED or goes(each)]
        return msgspec.structs.replace(delivery, reports=kept, unknown=unknown, left=[])

    def is_listed(self, evse: str) -> bool:
        """Whether a Location lists it other than REMOVED, by what tells it from others (`_name`)."""
        return evse in self._at

    def _lifted(self, report: StatusReport) -> StatusReport:
        stamps = self._removed.get(_of(report))
        at = report.observed_at
        if stamps is None or at is None or report.status is Status.REMOVED or not self.is_listed(_of(report)):
            return report
        removed_at = max(stamps.values())
        return report if removed_at <= at else msgspec.structs.replace(report, observed_at=removed_at)

    def _locations(self, evse: str) -> tuple[str, ...]:
        found = self._at.get(evse, ())
        return (found,) if isinstance(found, str) else found

    def _set(self, evse: str, locations: tuple[str, ...]) -> None:
        if not locations:
            self._at.pop(evse, None)
        else:
            self._at[evse] = locations[0] if len(locations) == 1 else locations


class _Listed(msgspec.Struct, frozen=True):
    here: set[str]
    removed: dict[tuple[str, str], Millis]
    """EVSE and uid of records that are REMOVED, and when they were updated."""


def _listed(document: bytes | None) -> _Listed:
    """What a stored Location lists; one that is not to be published lists nothing."""
    found = _Listed(set(), {})
    if document is None:
        return found
    try:
        listing = _decode(document)
    except UNREADABLE:
        return found
    hides = is_hidden(listing.publish)
    for record in _records(listing):
        uid = str(record.uid)
        name = _name(uid, record.evse_id if isinstance(record.evse_id, str) else "")
        if isinstance(record.status, str) and status_of(record.status) is Status.REMOVED:
            at = instant(record.last_updated)
            found.removed[name, local_key(uid)] = NEVER if at is None else at
        elif not hides:
            found.here.add(name)
    return found


def _records(listing: _Listing) -> Iterator[_Record]:
    for each in listing.evses or ():
        if isinstance(each, dict):
            yield _Record(
                each.get("uid", ""), each.get("evse_id"), each.get("status"), each.get("last_updated")
            )


def _without_another_id(found: Iterable[Evse], written: str, also: str) -> list[Evse]:
    """Of what an EVSE id or a uid (`also`) means, that which has no other EVSE id than the one said.

    Stations may number their EVSEs alike: what has only the uid of a record that goes is not what goes.
    """
    if not also:
        return list(found)
    said = evse_key(written)
    return [each for each in found if each.evse_id is None or evse_key(each.evse_id) == said]


def _name(uid: str, evse_id: str) -> str:
    """What tells an EVSE from others of its operator."""
    return evse_key(evse_id) or _by_uid(uid)


def _by_uid(uid: str) -> str:
    return f"uid {local_key(uid)}"


def _of(report: StatusReport) -> str:
    """Of a report, which has the EVSE id first where there is one."""
    return _name(report.also, report.evse) if report.also else _by_uid(report.evse)
