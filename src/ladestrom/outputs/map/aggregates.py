"""Aggregates for those who look: numbers, what goes on, and what was.

Follows the broadcast, batch by batch, and after a start reads what the log has of the last day, in small
steps that leave the loop to others.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from heapq import nsmallest
from time import monotonic, perf_counter
from typing import Final

import structlog
from msgspec.structs import replace

from ladestrom.core.access import VISITOR
from ladestrom.core.view import View
from ladestrom.edges.connection import StreamEdge
from ladestrom.errors import LadestromError
from ladestrom.formats.wire import instant
from ladestrom.model import NEVER, Change, Entry, Evse, Millis, Station, StatusChanged
from ladestrom.outputs.map.activity import MINUTE_MS, MINUTES, Activity, Town
from ladestrom.outputs.map.chart import Chart
from ladestrom.outputs.map.encoder import (
    ROWS_AT_ONCE,
    Consumers,
    Groups,
    Overview,
    PlaceActivity,
    StationHistory,
    station_history,
)
from ladestrom.outputs.map.gazetteer import nearest
from ladestrom.outputs.map.history import History, Segment
from ladestrom.outputs.map.station_counts import GROUPS, OCCUPIED, StationCounts
from ladestrom.ports.log import Followed
from ladestrom.tasks import Turns

logger = structlog.get_logger(__name__)

HOUR_MS: Final = 3_600_000
HOURS_MAX: Final = 24
RECALL_ENTRIES_MIN: Final = 500
"""Entries of the log read at once: some 3 ms of a thread, and less of the loop."""
RECALL_ENTRIES_MAX: Final = 4_000
"""As many where the loop has so much to do that each step waits long for its turn."""
RECALL_LATE_S: Final = 0.05
"""A step that takes so long was waiting for its turn."""
REST_S: Final = 0.01
"""Between two steps."""
EVSE_CHANGES_MAX: Final = 1_000
"""Changes of an EVSE that are told, the newest: one in 86 s for a day."""
STATION_CHANGES_MAX: Final = 20_000
"""And of a station: 2 MB, and some 40 ms of the loop."""
OVERVIEW_S_MAX: Final = 1.0
"""How old an overview is that one gets."""
PLACES_S_MAX: Final = 10.0
"""How old its numbers by place are: they take a look at every station."""
PLACES_SHOWN_MAX: Final = 12

Census = tuple[int, int, int]
"""Stations, EVSEs and occupied EVSEs."""


class Aggregates:
    """Of one view (`edges.output.Fold`)."""

    def __init__(
        self,
        view: View,
        stream: StreamEdge,
        log: Followed,
        clock: Callable[[], Millis],
        *,
        changes_max: int,
        skew_ms: int,
    ) -> None:
        self.counts = StationCounts()
        self.chart = Chart(view, self.counts, clock)
        self.activity = Activity()
        self.history = History(self.counts, changes_max, skew_ms)
        self._view = view
        self._stream = stream
        self._log = log
        self._clock = clock
        self._changes_max = changes_max
        self._skew_ms = skew_ms
        self._started_at = clock()
        self.activity.begin(self._started_at)
        self._made: tuple[float, Overview] | None = None
        self._places: tuple[float, int, list[PlaceActivity]] | None = None
        """When they were looked at, the number of stations, and the busiest places."""
        self._where: dict[Town, tuple[float, float]] = {}
        """Where a station of each place is: longitude and latitude."""
        self._minute = self._started_at // MINUTE_MS
        self._unsettled: deque[tuple[Millis, array[int]]] = deque(maxlen=MINUTES)
        """Minutes and their changes by number of station, that were not counted by place yet."""
        self._lock = asyncio.Lock()

    def load(self, changes: Iterable[Change]) -> None:
        """Begins with the changes in force."""
        self.counts.load(changes)

    def follow(self, entries: Sequence[Entry]) -> None:
        """Takes entries that the view took just now."""
        now = self._clock()
        changed = [entry for entry in entries if isinstance(entry, StatusChanged)]
        self.history.take(changed, self.counts.take(changed))
        self.activity.beat(len(changed), now)
        if now // MINUTE_MS > self._minute:
            self._turn(now)

    def _turn(self, now: Millis) -> None:
        """Puts the changes of the running minute aside, to be counted by place when somebody asks."""
        self._unsettled.append((self._minute * MINUTE_MS, self.counts.take_recent()))
        self._minute = max(now // MINUTE_MS, self._minute)

    async def _settle(self) -> None:
        self._turn(self._clock())
        uuids, turns = self.counts.uuids, Turns()
        while self._unsettled:
            at, changed = self._unsettled.popleft()
            for start in range(0, len(changed), ROWS_AT_ONCE):
                part = enumerate(changed[start : start + ROWS_AT_ONCE], start)
                self.activity.settle([(uuids[n], count) for n, count in part if count], self._place_of, at)
                await turns.rest()

    def _place_of(self, uuid: str) -> Town | None:
        station = self._view.directory.stations.get(uuid)
        return None if station is None else _place(station)

    # -- what was ------------------------------------------------------------------------------------------

    async def recall(self) -> None:
        """Fills activity and history from the log; ends once it is in step."""
        try:
            await self._recall_activity()
            await self._recall(self._log)
        except LadestromError as error:
            logger.warning("the history begins now: the log could not be read", error=str(error))
            self.history.begin(self._clock())
            self.history.go_on(self._view.seq)

    async def _recall_activity(self) -> None:
        """How much went on before the start: entries between two instants, records of stations among them.

        Nothing is read but sequences at instants, so that a week costs what an hour does.
        """
        log, until = self._log, self._started_at
        end = await log.before(until)
        for counts in self.activity.past:
            bounds = counts.bounds(until)
            seqs = [await log.before(at) for at in bounds]
            for at, first, last in zip(bounds, seqs, [*seqs[1:], end], strict=True):
                counts.fill(at, max(0, last - first))
            await asyncio.sleep(REST_S)

    async def _recall(self, log: Followed) -> None:
        view, history = self._view, self.history
        earliest = self._clock() - HOURS_MAX * HOUR_MS - self._skew_ms
        by_time = await log.before(earliest)
        after = max(by_time, view.seq - self._changes_max)
        history.begin(earliest if after == by_time >= log.first else None)
        step = RECALL_ENTRIES_MIN
        while after < view.seq:
            began_s = perf_counter()
            entries = await log.read(after, min(step, view.seq - after))
            if not entries:
                after = max(after + 1, log.first - 1)
                continue
            if entries[0].seq != after + 1:
                # The log was trimmed meanwhile.
                history.begin(entries[0].change.received_at)
            history.recall(entries)
            self._recall_places(entries)
            after = entries[-1].seq
            await asyncio.sleep(REST_S)
            is_late = perf_counter() - began_s > RECALL_LATE_S
            step = min(step * 2, RECALL_ENTRIES_MAX) if is_late else max(step // 2, RECALL_ENTRIES_MIN)
        history.go_on(after)

    def _recall_places(self, entries: Sequence[Entry]) -> None:
        """Counts by place what changed in the hour before the start; what comes since then is told."""
        until = self._started_at
        since = until - MINUTES * MINUTE_MS
        if entries[-1].change.received_at < since:
            return
        recent: Counter[tuple[str, Millis]] = Counter(
            (entry.change.station, entry.change.received_at // MINUTE_MS)
            for entry in entries
            if isinstance(entry, StatusChanged) and since <= entry.change.received_at < until
        )
        for (uuid, minute), count in recent.items():
            place = self._place_of(uuid)
            if place is not None:
                self.activity.fill_place(place, minute * MINUTE_MS, count)

    def history_of(self, station: Station, hours: int) -> StationHistory:
        """What the EVSEs of a station were."""
        until = self._clock()
        start = until - hours * HOUR_MS
        since = self.history.since
        complete = until if since is None else min(max(since, start), until)
        most = min(EVSE_CHANGES_MAX, STATION_CHANGES_MAX // max(len(station.evses), 1) + 1)
        found = {
            evse: _since_told(self.history.segments(evse.key, self._change_of(evse), complete, until, most))
            for evse in station.evses
        }
        complete = max([complete, *(segments[0].at for segments in found.values())])
        return station_history(station, str(self._view.position), (start, until, complete), found)

    def _change_of(self, evse: Evse) -> Change | None:
        found = self._view.change_of(evse)
        return None if found is None else found.change

    # -- what goes on --------------------------------------------------------------------------------------

    async def overview(self) -> Overview:
        """Numbers of the whole board; made once a second at most."""
        async with self._lock:
            if self._made is None or monotonic() - self._made[0] > OVERVIEW_S_MAX:
                if self._places is None or monotonic() - self._places[0] > PLACES_S_MAX:
                    await self._settle()
                    self._places = monotonic(), *await self._look_at_places()
                self._made = monotonic(), self._overview(*self._places[1:])
            return self._made[1]

    def _overview(self, stations: int, places: list[PlaceActivity]) -> Overview:
        now, counts, stream = self._clock(), self.counts, self._stream
        groups = counts.grouped()
        kinds = Counter(connection.kind for connection in stream.connections)
        return Overview(
            position=str(self._view.position),
            at=instant(now) or "",
            started_at=instant(self._started_at) or "",
            stations=stations,
            evses=sum(groups),
            statuses={status.value: count for status, count in counts.statuses().items()},
            errors=counts.errors(),
            groups=Groups(**dict(zip(GROUPS, groups, strict=True))),
            consumers=Consumers(len(stream.connections), kinds["v1"], kinds["v2"], kinds["events"]),
            visitors=stream.by_key[VISITOR.key_id],
            changes_total=self.activity.total,
            seconds=self.activity.seconds(now),
            minutes=self.activity.minutes(now),
            tens=self.activity.tens(now),
            hours=self.activity.hours(now),
            kept_from=instant(self._log.oldest_at) if self._log.first > 1 else None,
            places=places,
        )

    async def _look_at_places(self) -> tuple[int, list[PlaceActivity]]:
        """Stations with an EVSE, and the busiest places; gone through in slices."""
        census = await self._take_census()
        changes = self.activity.places()
        busiest: list[PlaceActivity] = []
        places, turns = list(census), Turns()
        for start in range(0, len(places), ROWS_AT_ONCE):
            part = places[start : start + ROWS_AT_ONCE]
            rows = (
                PlaceActivity(*place, *census[place], changes.get(place, 0), *self._where[place])
                for place in part
            )
            busiest = nsmallest(PLACES_SHOWN_MAX, [*busiest, *rows], key=_rank)
            await turns.rest()
        return sum(stations for stations, _, _ in census.values()), busiest

    async def _take_census(self) -> dict[Town, Census]:
        found: dict[Town, Census] = {}
        self._where = {}
        counts, directory, turns = self.counts, self._view.directory, Turns()
        rows = zip(*counts.by_station(), strict=True)
        # Stations that come meanwhile are not in it.
        for number, (uuid, groups) in enumerate(zip(counts.uuids, rows, strict=False), 1):
            station, evses = directory.stations.get(uuid), sum(groups)
            if station is not None and station.vanished_at is None and evses:
                place = _place(station)
                before = found.get(place, (0, 0, 0))
                self._where[place] = station.longitude, station.latitude
                found[place] = before[0] + 1, before[1] + evses, before[2] + groups[OCCUPIED]
            if number % ROWS_AT_ONCE == 0:
                await turns.rest()
        return found


def _since_told(segments: list[Segment]) -> list[Segment]:
    """The first one begins when its change says that it did: what is before it is not known better."""
    first, *others = segments
    return [replace(first, at=first.stamp), *others] if NEVER < first.stamp < first.at else segments


def _place(station: Station) -> Town:
    city = station.city or station.details.municipality
    return station.country, city or nearest(round(station.latitude, 2), round(station.longitude, 2))


def _rank(place: PlaceActivity) -> tuple[float, float, str, str]:
    """Most changes first, then the largest share occupied."""
    return -place.changes_hour, -place.occupied / place.evses, place.country, place.place
