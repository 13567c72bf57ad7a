"""Playback of a recording: who sends what, when, over which connection.

An EVSE always goes through the same lane, and a lane sends one batch after the other: what was recorded
of one EVSE arrives in its order. Knows the reporter; knows no files and no terminal.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Final

from ladestrom.core.digests import wire_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ladestrom.client.reports import Observation, Reporter, ReportReceipt

LANES_MAX: Final = 64
"""Connections to one server; above, they only wait for each other."""


def lanes(observations: Sequence[Observation], count: int) -> list[list[Observation]]:
    """Deals the observations out by EVSE; within a lane they keep their order."""
    dealt: list[list[Observation]] = [[] for _ in range(count)]
    lane_of: dict[str, list[Observation]] = {}
    for each in observations:
        lane = lane_of.get(each.evse)
        if lane is None:
            lane = lane_of[each.evse] = dealt[zlib.crc32(wire_key(each.evse).encode()) % count]
        lane.append(each)
    return dealt


async def play(
    observations: Sequence[Observation],
    reporter: Reporter,
    *,
    batch: int,
    connections: int,
    speed: float | None,
    told: Callable[[Sequence[Observation], ReportReceipt], None],
) -> None:
    """Sends everything, and returns when the last receipt is there.

    Args:
        observations: in order of `observed_at`.
        reporter: with at least `connections` connections.
        batch: most items of one request, 1 to 10,000.
        connections: lanes that send at the same time, 1 to 64.
        speed: recorded seconds for each second that passes; None sends as fast as receipts come.
        told: is called with each batch and its receipt.

    Raises:
        NotReady, Unauthenticated, NotAllowed, BadRequest: as `Reporter.report`; the other lanes stop.
    """
    if not observations:
        return
    loop = asyncio.get_running_loop()
    first_at, started_s = observations[0].observed_at, loop.time()

    def due_at() -> float:
        """Up to which recorded instant observations are due."""
        if speed is None:
            return float("inf")
        return first_at + (loop.time() - started_s) * 1000.0 * speed

    async def run(lane: Sequence[Observation]) -> None:
        at = 0
        while at < len(lane):
            if speed is not None:
                await asyncio.sleep((lane[at].observed_at - due_at()) / 1000.0 / speed)
            limit, end = due_at(), at + 1
            while end < len(lane) and end - at < batch and lane[end].observed_at <= limit:
                end += 1
            sent = lane[at:end]
            told(sent, await reporter.report(sent))
            at = end

    try:
        async with asyncio.TaskGroup() as group:
            for lane in lanes(observations, connections):
                group.create_task(run(lane))
    except BaseExceptionGroup as errors:
        # The first that failed stopped the others: it alone tells what is wrong.
        raise errors.exceptions[0] from None
