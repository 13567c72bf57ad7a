"""What a role asks of whatever serves a transport, and what it gives it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

import msgspec
from prometheus_client.registry import Collector

from ladestrom.config import Settings
from ladestrom.core.directory import Directory
from ladestrom.credentials import Doorkeeper
from ladestrom.ingest.intake import Intake
from ladestrom.ingest.location_store import LocationStore
from ladestrom.ingest.parsing import ParsingProcess
from ladestrom.model import Millis, Operator
from ladestrom.ports.charge_points import ChargePoint
from ladestrom.ports.peers import Peer
from ladestrom.ports.sources import SourceRecord
from ladestrom.ports.stores import Stores

Application = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]
"""An ASGI application."""


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """What transports share."""

    settings: Settings
    """As they are at the start; `Serving.reconfigure` tells of later ones."""
    intake: Intake
    locations: LocationStore
    directory: Directory
    store: Stores
    door: Doorkeeper
    parsing: ParsingProcess
    clock: Callable[[], Millis]
    operator: Callable[[str], Operator | None]
    """An operator by its name, as the store has it now."""
    over_view: Callable[[str], Any]
    """Makes what needs the readers' view, such as what answers GET for a push, by its `module:attribute`."""


class Rights(Protocol):
    """Who may deliver, as the store has it at one revision."""

    @property
    def operators(self) -> Mapping[str, Operator]:
        """By name."""
        ...

    @property
    def points(self) -> Sequence[ChargePoint]: ...

    @property
    def peers(self) -> Sequence[Peer]: ...


class Route(msgspec.Struct, frozen=True):
    """Where something is served."""

    path: str
    application: Application
    exact: bool = False
    """Whether only the path itself, and nothing below it."""
    compressed: bool = True
    """Whether answers may be compressed for those who accept it."""
    takes_posts: bool = False
    """Whether POST to the path itself needs nothing of the HTTP framework: answers are not compressed, and
    the application answers every error itself."""


class Serving:
    """What serves the protocols of one transport. It overrides what it needs."""

    @property
    def routes(self) -> Sequence[Route]:
        """Where it serves."""
        return ()

    @property
    def failures(self) -> Mapping[str, int]:
        """Deliveries refused as a whole, by error code."""
        return {}

    @property
    def collectors(self) -> Sequence[Collector]:
        """Metrics of its own."""
        return ()

    @property
    def ping_s(self) -> float | None:
        """How often its WebSockets have to be pinged at least; None where it does not matter."""
        return None

    @property
    def feeds(self) -> Iterable[str]:
        """Names of the feeds of those who may deliver, where these are known one by one."""
        return ()

    @property
    def sources(self) -> Iterable[SourceRecord]:
        """What the server is to ask because of those who may deliver."""
        return ()

    def reconfigure(self, settings: Settings) -> None:
        """Takes what changed of the settings."""

    def follow(self, rights: Rights) -> None:
        """Goes by these rights from now on."""

    async def follow_registry(self) -> None:
        """Takes that EVSEs came, went or moved, and signs off those who may not deliver any more.

        Raises:
            LadestromError: the log failed; what is still to do is done the next time.
        """

    async def touch(self) -> None:
        """Writes to the store when those who deliver were last seen."""

    def leave(self) -> None:
        """The server is about to stop: nobody is taken for gone any more."""

    async def drain(self) -> None:
        """Returns when all that was taken is stored."""
