"""What an operator sees of itself with its key: its rights, how fresh it is, and what it was refused.

Knows paths and answers. Must not know where refusals are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from ladestrom.core.access import Reach, Scope
from ladestrom.core.view import View
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import AnyRequest, json_answer
from ladestrom.edges.operators import OperatorFreshness
from ladestrom.formats.freshness import RefusedItem, RefusedItems
from ladestrom.model import Operator
from ladestrom.tasks import background

STATIONS_PER_TURN: Final = 1_000
"""Stations counted before other work of the loop gets its turn: a few milliseconds."""

REFUSALS_MAX: Final = 1_000
"""As many as are kept of one operator."""


class OwnOperator(msgspec.Struct, frozen=True):
    """An operator as it sees itself."""

    operator: str
    parties: tuple[str, ...]
    prefixes: tuple[str, ...]
    all: bool
    registers: bool
    stale_after_s: int
    evses: int
    stations: int
    freshness: OperatorFreshness


class OwnServices(msgspec.Struct, frozen=True, kw_only=True):
    """What the endpoints need of the server."""

    door: Doorkeeper
    view: View
    freshness: Callable[[str], OperatorFreshness]
    refused: Callable[[str | None], Iterator[RefusedItem]]
    """Of an operator, or of all."""
    stale_after_s: Callable[[], int]
    """Where an operator has no limit of its own."""


def handlers(services: OwnServices) -> list[HTTPRouteHandler]:
    """The route handlers."""

    def own(request: AnyRequest) -> Operator:
        key_id = services.door.credential(request.headers, Scope.REPORT).key_id
        return services.door.reporter(key_id)

    @get("/api/v2/operators/self")
    async def operator(request: AnyRequest) -> Response[Any]:
        """The operator whose key it is: its rights, what they cover, and how fresh its reports are."""
        found = own(request)
        evses, stations = await _covered(services.view, found)
        return json_answer(
            msgspec.json.encode(
                OwnOperator(
                    operator=found.name,
                    parties=found.parties,
                    prefixes=found.prefixes,
                    all=found.all,
                    registers=found.may_register,
                    stale_after_s=found.stale_after_s or services.stale_after_s(),
                    evses=evses,
                    stations=stations,
                    freshness=services.freshness(found.name),
                )
            )
        )

    @get("/api/v2/operators/self/refusals", sync_to_thread=False)
    def refusals(request: AnyRequest) -> Response[Any]:
        """What the operator was refused, the last 1,000 items since the server started."""
        return _refused(services.refused(own(request).name))

    @get("/api/v2/admin/refusals", sync_to_thread=False)
    def all_refusals(request: AnyRequest) -> Response[Any]:
        """What operators were refused: the last 1,000 items, or with `operator` those of one."""
        services.door.credential(request.headers, Scope.ADMIN)
        return _refused(services.refused(request.query_params.get("operator")))

    return [operator, refusals, all_refusals]


async def _covered(view: View, operator: Operator) -> tuple[int, int]:
    covers = Reach(operator).covers
    evses = stations = 0
    for number, station in enumerate(list(view.directory.stations.values()), 1):
        if station.vanished_at is None:
            own = sum(map(covers, station.evses))
            evses += own
            stations += own > 0
        if number % STATIONS_PER_TURN == 0:
            await background().turn()
    return evses, stations


def _refused(found: Iterator[RefusedItem]) -> Response[bytes]:
    return json_answer(msgspec.json.encode(RefusedItems(list(islice(found, REFUSALS_MAX)))))
