"""Who reports, and how freshly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import AnyRequest, json_answer
from ladestrom.edges.query import known
from ladestrom.formats.freshness import SourceFreshness
from ladestrom.formats.wire import instant
from ladestrom.ports.signals import Signals, Tally


class OperatorFreshness(msgspec.Struct, frozen=True):
    """What one operator delivered since the server started."""

    operator: str
    last_report_at: str | None
    reports: int
    changes: int
    stale: int
    refused: dict[str, int]
    sources: list[SourceFreshness]


Sources = Callable[[str | None], Sequence[SourceFreshness]]
"""Those of an operator, or all."""


def freshness(name: str, tally: Tally, sources: Sequence[SourceFreshness]) -> OperatorFreshness:
    """One operator's row."""
    return OperatorFreshness(
        name,
        instant(tally.last_report_at),
        tally.reports,
        tally.changes,
        tally.stale,
        {reason.value: count for reason, count in sorted(tally.refused.items())},
        list(sources),
    )


def handlers(signals: Signals, door: Doorkeeper, sources: Sources) -> list[HTTPRouteHandler]:
    """The route handlers."""

    @get("/api/v2/operators", sync_to_thread=False)
    def operators(request: AnyRequest) -> Response[Any]:
        """Who reports, and how freshly."""
        door.look(request.headers)
        known(request.query_params.multi_items(), ())
        rows = [
            freshness(name, tally, sources(name)) for name, tally in sorted(signals.known_tallies().items())
        ]
        return json_answer(msgspec.json.encode(rows))

    return [operators]
