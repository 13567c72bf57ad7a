"""What happens at charging stations: one process of events per EVSE, from one random source.

Each EVSE moves through phases by the table `NEXT`; how long it stays in one follows from the hour of the week
(when cars come), from its power (how long they charge) and from `DWELLS` (everything else). Knows stations
and curves. Must not know the clock, the network, or how operators report: the same seed, stations and start
give the same events.
"""

from __future__ import annotations

import math
from enum import IntEnum
from heapq import heapify, heapreplace
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ladestrom.model import Evse, Millis, Station, Status
from ladestrom.simulator.hours import CURVES, HOUR_MS, WEEK_H, Use, hour_of_week
from ladestrom.simulator.towns import ROADS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

EVENTS_MAX: Final = 1_000_000
"""Of one call to `until`: about 100 MB."""

DWELL_MS_MIN: Final = 5_000
"""Shortest stay in a phase: a plug is not pulled faster, and it keeps an EVSE's instants apart."""

DWELL_MS_MAX: Final = 30 * 24 * HOUR_MS
"""Longest stay, whatever the tail of the distribution says."""

MINUTE_MS: Final = 60_000


class Phase(IntEnum):
    """What an EVSE is in the middle of."""

    FREE = 0
    RESERVED = 1
    CHARGING = 2
    OVERSTAY = 3
    """The car is full, the place is not free."""
    DEGRADED = 4
    """A fault is reported, charging is still possible."""
    FAULTED = 5
    CLOSED = 6
    """Taken out of service by its operator: maintenance, building work."""
    LOST = 7
    """The operator's system cannot reach it."""


class Look(NamedTuple):
    """What the operator says while the EVSE is in a phase."""

    status: Status
    error: bool


LOOKS: Final[tuple[Look, ...]] = (
    Look(Status.AVAILABLE, error=False),
    Look(Status.RESERVED, error=False),
    Look(Status.CHARGING, error=False),
    Look(Status.BLOCKED, error=False),
    Look(Status.AVAILABLE, error=True),
    Look(Status.OUTOFORDER, error=True),
    Look(Status.INOPERATIVE, error=False),
    Look(Status.UNKNOWN, error=False),
)
"""By phase; no two are the same, so every move is a change."""

NEXT: Final[dict[Phase, dict[Phase, float]]] = {
    Phase.FREE: {
        Phase.CHARGING: 0.955,
        Phase.RESERVED: 0.03,
        Phase.LOST: 0.006,
        Phase.FAULTED: 0.004,
        Phase.DEGRADED: 0.003,
        Phase.CLOSED: 0.002,
    },
    Phase.RESERVED: {Phase.CHARGING: 0.85, Phase.FREE: 0.15},
    Phase.CHARGING: {Phase.FREE: 0.815, Phase.OVERSTAY: 0.18, Phase.FAULTED: 0.005},
    Phase.OVERSTAY: {Phase.FREE: 1.0},
    Phase.DEGRADED: {Phase.FREE: 0.8, Phase.FAULTED: 0.2},
    Phase.FAULTED: {Phase.FREE: 0.9, Phase.CLOSED: 0.1},
    Phase.CLOSED: {Phase.FREE: 1.0},
    Phase.LOST: {Phase.FREE: 0.95, Phase.FAULTED: 0.05},
}
"""Where an EVSE goes when its time in a phase is over, and how likely. The figures are assumptions."""


class Dwell(NamedTuple):
    """A log-normal time: half of all are shorter than the median."""

    median_min: float
    sigma: float

    @property
    def mean_h(self) -> float:
        return self.median_min / 60 * math.exp(self.sigma**2 / 2)


DWELLS: Final[dict[Phase, Dwell]] = {
    Phase.RESERVED: Dwell(12, 0.5),
    Phase.DEGRADED: Dwell(240, 0.9),
    Phase.FAULTED: Dwell(420, 1.0),
    Phase.CLOSED: Dwell(900, 0.8),
    Phase.LOST: Dwell(25, 1.1),
}
"""Of the phases whose length does not depend on the power."""


class Class(NamedTuple):
    """EVSEs up to `power_kw`: how long cars charge, stay on, and how many come a day."""

    power_kw: float
    charging: Dwell
    overstay: Dwell
    sessions_per_day: float
    uses: tuple[tuple[Use, float], ...]


_SLOW_USES: Final = ((Use.ERRANDS, 0.4), (Use.COMMUTING, 0.35), (Use.HOME, 0.25))

CLASSES: Final[tuple[Class, ...]] = (
    Class(
        9, Dwell(240, 0.7), Dwell(70, 0.9), 1.0, ((Use.HOME, 0.5), (Use.COMMUTING, 0.35), (Use.ERRANDS, 0.15))
    ),
    Class(15, Dwell(180, 0.7), Dwell(60, 0.9), 1.4, _SLOW_USES),
    Class(45, Dwell(115, 0.7), Dwell(50, 0.9), 1.9, _SLOW_USES),
    Class(90, Dwell(32, 0.5), Dwell(9, 0.7), 5.0, ((Use.TOWN, 1.0),)),
    Class(200, Dwell(26, 0.5), Dwell(7, 0.7), 8.0, ((Use.TOWN, 1.0),)),
    Class(500, Dwell(21, 0.45), Dwell(6, 0.7), 10.0, ((Use.TOWN, 1.0),)),
    Class(math.inf, Dwell(38, 0.4), Dwell(10, 0.6), 5.0, ((Use.TOWN, 1.0),)),
)
"""In order of power. The figures are assumptions within what operators publish of utilisation."""

DEFAULT_POWER_KW: Final = 11.0
"""Of an EVSE whose register does not say."""

NEGLIGIBLE: Final = 1e-9
"""Visits of a phase that are left out of the sum."""

POPULARITY_SIGMA: Final = 0.4
"""How far stations differ in how many come."""

_ROADSIDE: Final = frozenset(road.name for road in ROADS)


class Point(NamedTuple):
    """An EVSE of the traffic, with what decides its pace."""

    evse: Evse
    station: Station
    connector: int
    """Its first connector in the station's order, from 0."""
    kind: Class
    use: Use
    sessions_per_day: float


class Event(msgspec.Struct, frozen=True, gc=False):
    """An EVSE is something else from this instant on."""

    at: Millis
    point: int
    """Index into `Traffic.points`."""
    status: Status
    error: bool


def _points(stations: Sequence[Station], rng: Random) -> list[Point]:
    points = []
    for station in stations:
        popularity = rng.lognormvariate(-(POPULARITY_SIGMA**2) / 2, POPULARITY_SIGMA)
        uses: dict[float, Use] = {}
        first: dict[int, int] = {}
        power_kw: dict[int, float] = {}
        for place, outlet in enumerate(station.outlets):
            first.setdefault(outlet.evse, place)
            power_kw[outlet.evse] = max(power_kw.get(outlet.evse, 0), outlet.connector.max_kw or 0)
        for index, evse in enumerate(station.evses):
            power = power_kw.get(index) or DEFAULT_POWER_KW
            kind = next(kind for kind in CLASSES if power <= kind.power_kw)
            use = uses.get(kind.power_kw)
            if use is None:
                use = rng.choices([use for use, _ in kind.uses], [share for _, share in kind.uses])[0]
                if use is Use.TOWN and station.address in _ROADSIDE:
                    use = Use.TRAVEL
                uses[kind.power_kw] = use
            points.append(
                Point(evse, station, first.get(index, 0), kind, use, kind.sessions_per_day * popularity)
            )
    return points


_Timing = tuple[tuple[float, float], ...]
"""By phase: mu and sigma of the logarithm of milliseconds."""

_CHOICES: Final = tuple(
    tuple(zip(accumulate(NEXT[phase].values()), NEXT[phase], strict=True)) for phase in Phase
)
"""`NEXT` as running sums, by phase."""


def _dwell(kind: Class, phase: Phase) -> Dwell:
    match phase:
        case Phase.CHARGING:
            return kind.charging
        case Phase.OVERSTAY:
            return kind.overstay
        case _:
            return DWELLS[phase]


def _timing(kind: Class) -> _Timing:
    timed = [_dwell(kind, phase) for phase in Phase if phase is not Phase.FREE]
    return ((math.nan, math.nan), *((math.log(dwell.median_min * MINUTE_MS), dwell.sigma) for dwell in timed))


def _visits() -> dict[Phase, float]:
    """How often each phase is entered between two times of being free, on average."""
    visits = dict.fromkeys(Phase, 0.0)
    entering = dict(NEXT[Phase.FREE])
    while entering:
        onward: dict[Phase, float] = {}
        for phase, often in entering.items():
            visits[phase] += often
            for then, share in NEXT[phase].items():
                if then is not Phase.FREE and often * share > NEGLIGIBLE:
                    onward[then] = onward.get(then, 0) + often * share
        entering = onward
    return visits


class Traffic:
    """The events of all EVSEs in order of time, from `start` on.

    What each EVSE is at `start` is drawn from what it would be after a long time, for the hour of the week,
    so that nothing has to settle first.
    """

    def __init__(self, stations: Sequence[Station], rng: Random, start: Millis) -> None:
        self.points: Final = tuple(_points(stations, rng))
        self.start: Final = start
        self.reached = start
        """Up to here everything was given."""
        self._rng: Final = rng
        timings = {kind.power_kw: _timing(kind) for kind in CLASSES}
        self._timings: Final = [timings[point.kind.power_kw] for point in self.points]
        self._phases: Final[list[Phase]] = []
        self._since: Final[list[Millis]] = []
        self._due: Final[list[tuple[Millis, int]]] = []
        self._begin()
        heapify(self._due)

    def board(self) -> list[Event]:
        """What every EVSE is now and since when, in order of `points`.

        Before the first `until` the instants lie at or before `start`.
        """
        return [
            Event(since, index, *LOOKS[phase])
            for index, (since, phase) in enumerate(zip(self._since, self._phases, strict=True))
        ]

    def until(self, at: Millis, events_max: int = EVENTS_MAX) -> list[Event]:
        """The events after those already given, up to and including the instant `at`, in order of time.

        At most `events_max`; where there are more, the next call gives them. Two events of one EVSE are at
        least `DWELL_MS_MIN` apart.
        """
        due, phases, since, random = self._due, self._phases, self._since, self._rng.random
        events: list[Event] = []
        while due and due[0][0] <= at and len(events) < events_max:
            now, index = due[0]
            phase = _chosen(_CHOICES[phases[index]], random())
            phases[index] = phase
            since[index] = now
            heapreplace(due, (now + self._dwell_ms(index, phase, now), index))
            events.append(Event(now, index, *LOOKS[phase]))
        is_all = not due or due[0][0] > at
        self.reached = max(self.reached, at if is_all else events[-1].at)
        return events

    def _dwell_ms(self, index: int, phase: Phase, now: Millis) -> int:
        if phase is Phase.FREE:
            point = self.points[index]
            amount = self._rng.expovariate(point.sessions_per_day / 24)
            dwell_ms = int(CURVES[point.use].wait_h(hour_of_week(now), amount) * HOUR_MS)
        else:
            mu, sigma = self._timings[index][phase]
            dwell_ms = int(self._rng.lognormvariate(mu, sigma))
        return min(max(dwell_ms, DWELL_MS_MIN), DWELL_MS_MAX)

    def _begin(self) -> None:
        """Draws phase, age and end of phase of every EVSE as of `start`.

        An alternating renewal process: the time share of a phase is its mean length, times how often it is
        entered. The stay that is met at an instant is a length-biased one, which for a log-normal time is
        log-normal again with mu + sigma^2, and is met at a uniform place.
        """
        rng, start = self._rng, self.start
        hour = hour_of_week(start)
        visits = _visits()
        shares: dict[tuple[float, Use], tuple[tuple[float, Phase], ...]] = {}
        for index, point in enumerate(self.points):
            key = (point.kind.power_kw, point.use)
            if key not in shares:
                shares[key] = _shares(point.kind, point.use, hour, visits)
            busy = shares[key]
            per_hour = point.sessions_per_day / 24
            draw = rng.random() * (1 + per_hour * busy[-1][0])
            if draw < 1:
                phase = Phase.FREE
                age_ms = int(rng.expovariate(per_hour) * HOUR_MS)
                left_ms = self._dwell_ms(index, phase, start)
            else:
                phase = _chosen(busy, (draw - 1) / per_hour)
                mu, sigma = self._timings[index][phase]
                length_ms = rng.lognormvariate(mu + sigma**2, sigma)
                age_ms = int(rng.random() * length_ms)
                left_ms = int(length_ms) - age_ms
            self._phases.append(phase)
            self._since.append(start - min(age_ms, DWELL_MS_MAX))
            self._due.append((start + min(max(left_ms, DWELL_MS_MIN), DWELL_MS_MAX), index))


def _chosen(running: tuple[tuple[float, Phase], ...], draw: float) -> Phase:
    for limit, phase in running:
        if draw < limit:
            return phase
    return running[-1][1]


def _shares(
    kind: Class, use: Use, hour: float, visits: dict[Phase, float]
) -> tuple[tuple[float, Phase], ...]:
    """Hours in each phase per hour of being free, as running sums, where one car an hour comes on average.

    Who is there now came during one mean stay before now: that part of the curve counts.
    """
    curve = CURVES[use]
    running, total = [], 0.0
    for phase in Phase:
        if phase is not Phase.FREE:
            mean_h = min(_dwell(kind, phase).mean_h, WEEK_H)
            total += visits[phase] * (curve.until(hour) - curve.until(hour - mean_h))
            running.append((total, phase))
    return tuple(running)
