"""What an output is to the server that offers it (`ladestrom.outputs` has the table).

Knows what outputs are made of and what they give; must not know any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from litestar.types import ControllerRouterHandler

from ladestrom.core.view import View
from ladestrom.credentials import ClientAddresses, Doorkeeper, Tickets
from ladestrom.edges.connection import StreamEdge
from ladestrom.edges.documents import Documents
from ladestrom.edges.events import EventConnection
from ladestrom.edges.websocket import WebSocketConnection
from ladestrom.formats.dialect import Style
from ladestrom.model import Change, Entry, Millis
from ladestrom.ports.log import Followed


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What an output's edge is made of."""

    view: View
    log: Followed
    door: Doorkeeper
    tickets: Tickets
    addresses: ClientAddresses
    stream: StreamEdge
    style: Style
    documents: Documents
    clock: Callable[[], Millis]
    history_changes_max: int
    """Changes that are kept for those who ask what was."""
    skew_ms: int
    """How far an observation may be ahead of the server's clock."""
    url_public: str
    """Where clients reach the server, as the settings say; empty where they do not."""
    contact: str
    """Where visitors can ask questions, likewise."""


class Fold(Protocol):
    """What an output keeps beside the view, fed by the same entries."""

    def load(self, changes: Iterable[Change]) -> None:
        """Begins with the changes in force."""
        ...

    def follow(self, entries: Sequence[Entry]) -> None:
        """Takes entries that the view took just now."""
        ...

    def recall(self) -> Coroutine[Any, Any, None]:
        """Reads what it needs of the log, in the background, once the server serves; ends then."""
        ...


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """An output as one server offers it."""

    routes: Sequence[ControllerRouterHandler] = ()
    sockets: Mapping[str, type[WebSocketConnection]] = {}
    """By path: what serves a WebSocket there."""
    events: Mapping[str, type[EventConnection]] = {}
    """By path: what serves a stream of events there."""
    fold: Fold | None = None
    remembers: Sequence[str] = ()
    """Paths of routes that have to remember something for later, as tickets: in a server of several processes
    the one that writes answers them."""


Open = Callable[[Reading], Opened]
"""Makes an output's edge."""
