"""Which of an operator's Locations list an EVSE: what a Location says of it is the word of one record.

An EVSE is one by its EVSE id, else by its uid. It may move to another Location, and its uid may be replaced;
its old record is then REMOVED or left out, before or after the new one comes. What takes an EVSE away holds
for the record, and the EVSE stays where another lists it. Must not know where Locations are kept.

Source: OCPI 2.2.1, section 8.3.2: an EVSE that is REMOVED stays in its Location.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

from ladestrom.core.location_hours import instant
from ladestrom.core.locations import is_hidden, status_of
from ladestrom.model import NEVER, Evse, Millis, Status, StatusReport, evse_key, local_key
from ladestrom.protocols.delivery import UNREADABLE, Delivery, Left

LOOKS_AT_ONCE: Final = 250
"""EVSEs of a delivery that are looked at before others may have their turn: some 2 ms."""
T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work that may be left for others at each of its steps, and what it makes."""
Means = Callable[[str, str, str], Collection[Evse]]
"""The operator's EVSEs in the registry that are named so (`Ids`)."""


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

    def settling(self, delivery: Delivery, means: Means) -> Steps[Delivery]:
        """A delivery without what it takes away of EVSEs that are listed; `left` is `unknown` then.

        What the record says that an EVSE has now is not older than that another of its records is REMOVED.
        Yields every so often (`LOOKS_AT_ONCE`), so that a large delivery can be gone through in turns; what
        is listed may change in between.
        """
        reports = yield from self._lifting(delivery.reports)
        if not delivery.left and not (yield from _removing(reports)):
            return msgspec.structs.replace(delivery, reports=reports)
        told = yield from _telling(reports, means)
        kept = yield from self._keeping(reports, told, means)
        unknown = yield from self._leaving(delivery.left, told, means)
        return msgspec.structs.replace(delivery, reports=kept, unknown=unknown, left=[])

    def is_listed(self, evse: str) -> bool:
        """Whether a Location lists it other than REMOVED, by what tells it from others (`_name`)."""
        return evse in self._at

    def _lifting(self, reports: list[StatusReport]) -> Steps[list[StatusReport]]:
        if not self._removed:
            return reports
        lifted: list[StatusReport] = []
        for some in _parts(reports):
            lifted += map(self._lifted, some)
            yield
        return lifted

    def _keeping(
        self, reports: list[StatusReport], told: Collection[str], means: Means
    ) -> Steps[list[StatusReport]]:
        """Reports without those by which an EVSE is REMOVED that stays."""

        def goes(each: StatusReport) -> bool:
            if self.is_listed(_of(each)):
                return False
            return all(evse.key not in told for evse in means(each.evse, each.also, each.shared))

        kept: list[StatusReport] = []
        for some in _parts(reports):
            kept += [each for each in some if each.status is not Status.REMOVED or goes(each)]
            yield
        return kept

    def _leaving(self, left: list[Left], told: Collection[str], means: Means) -> Steps[list[str]]:
        """Keys of the EVSEs that left and are listed nowhere else."""
        unknown: list[str] = []
        for some in _parts(left):
            for evse_id, uid, kept in some:
                if self.is_listed(_name(uid, evse_id)):
                    continue
                found = means(evse_id or uid, uid if evse_id else "", kept)
                if len(found) == 1:
                    unknown += [evse.key for evse in found if evse.key not in told]
            yield
        return unknown

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


def _removing(reports: list[StatusReport]) -> Steps[bool]:
    """Whether one of them says that its EVSE is REMOVED."""
    for some in _parts(reports):
        if any(each.status is Status.REMOVED for each in some):
            return True
        yield
    return False


def _telling(reports: list[StatusReport], means: Means) -> Steps[set[str]]:
    """Keys of the EVSEs that have another status than REMOVED."""
    told: set[str] = set()
    for some in _parts(reports):
        told.update(
            evse.key
            for each in some
            if each.status is not Status.REMOVED
            for evse in means(each.evse, each.also, each.shared)
        )
        yield
    return told


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[first : first + LOOKS_AT_ONCE] for first in range(0, len(items), LOOKS_AT_ONCE))


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


def _name(uid: str, evse_id: str) -> str:
    """What tells an EVSE from others of its operator."""
    return evse_key(evse_id) or _by_uid(uid)


def _by_uid(uid: str) -> str:
    return f"uid {local_key(uid)}"


def _of(report: StatusReport) -> str:
    """Of a report, which has the EVSE id first where there is one."""
    return _name(report.also, report.evse) if report.also else _by_uid(report.evse)
