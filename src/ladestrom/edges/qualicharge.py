"""What operators read back where they deliver as to QualiCharge: `GET /dynamique/status/...`.

A key that reports reads the points that its operator may report on; one that reads the streams reads all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import msgspec

from ladestrom.core.access import Reach, Scope
from ladestrom.core.view import View
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.output import Reading
from ladestrom.errors import BadRequest, NotAllowed, NotFound, TooLarge
from ladestrom.formats.irve_dynamique import PointStatus, point_status
from ladestrom.formats.wire import Observed
from ladestrom.model import NEVER, Evse, Millis, Operator
from ladestrom.protocols.delivery import millis, shown
from ladestrom.protocols.interfaces import Answer, ReadBack, Request
from ladestrom.quoting import quoted
from ladestrom.tasks import background

STATUS: Final = "status"
POINTS_MAX: Final = 50_000
"""In one answer: some 10 MiB."""
STATIONS_PER_TURN: Final = 500
"""Looked at before other work of the loop gets its turn: some 2 ms."""


def reader(reading: Reading) -> ReadBack:
    """Answers GET over one view."""
    view, observed, door = reading.view, reading.view.observed_at, reading.door

    async def read(request: Request) -> Answer:
        operator = _operator(request, door)
        section, _, point = request.path.partition("/")
        if section != STATUS:
            raise NotFound(f"statuses are at {STATUS}/")
        if not point:
            return _answer([status async for status in _list(request, operator, view, observed)])
        directory = view.directory
        if operator is None:
            found = directory.find(point) or directory.find_uid(point)
        else:
            found, _ = directory.resolve(point, "", Reach(operator).covers)
        status = _status(found[0], view, observed) if len(found) == 1 else None
        if status is None:
            raise NotFound(f"no status is known of {quoted(shown(point))}")
        return _answer(status)

    return read


def _operator(request: Request, door: Doorkeeper) -> Operator | None:
    """Whose points may be read; None for all."""
    try:
        door.credential(request.headers, Scope.STREAM, basic=True)
    except NotAllowed:
        return door.reporter(door.credential(request.headers, Scope.REPORT, basic=True).key_id)
    return None


async def _list(
    request: Request, operator: Operator | None, view: View, observed: Observed
) -> AsyncIterator[PointStatus]:
    after = _instant(request.query.get("from"))
    reach = None if operator is None else Reach(operator)
    count = 0
    async for evse in _wanted(view, _named(request, "pdc"), _named(request, "station")):
        if reach is not None and not reach.covers(evse):
            continue
        status = _status(evse, view, observed, after)
        if status is not None:
            count += 1
            if count > POINTS_MAX:
                raise TooLarge(f"there are more than {POINTS_MAX} statuses; ask with station, pdc or from")
            yield status


async def _wanted(view: View, points: frozenset[str], stations: frozenset[str]) -> AsyncIterator[Evse]:
    """EVSEs with these ids and of these stations; all of them where neither is given."""
    told: set[str] = set()
    for point in sorted(points):
        for evse in view.directory.meant(point):
            told.add(evse.key)
            yield evse
    if points and not stations:
        return
    for turn, uuid in enumerate(view.uuids()):
        if turn % STATIONS_PER_TURN == 0:
            await background().turn()
        state = view.get(uuid)
        station = None if state is None else view.station(state)
        if station is None or (stations and stations.isdisjoint((station.native_id, station.uuid))):
            continue
        for evse in station.evses:
            if evse.key not in told:
                yield evse


def _status(evse: Evse, view: View, observed: Observed, after: Millis = NEVER) -> PointStatus | None:
    held = view.change_of(evse)
    if held is None:
        return point_status(evse, None, NEVER)
    observed_at = observed(held.seq, held.change)
    return None if observed_at < after else point_status(evse, held.change, observed_at)


def _named(request: Request, name: str) -> frozenset[str]:
    return frozenset(part.strip() for part in request.query.get(name, "").split(",") if part.strip())


def _instant(text: str | None) -> Millis:
    if not text:
        return NEVER
    try:
        # A plus sign that was not escaped arrives as a space.
        return millis(datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text))
    except (ValueError, OverflowError):
        raise BadRequest(f"from={quoted(shown(text))} is not an ISO 8601 time") from None


def _answer(body: object) -> Answer:
    return Answer(200, msgspec.json.encode(body))
