"""Tickets that another process issued: whether one is good is asked there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, Final

import msgspec

from ladestrom.core.access import Credential
from ladestrom.credentials import Tickets
from ladestrom.errors import LadestromError, NotReady, Unauthenticated
from ladestrom.inner import PREFIX
from ladestrom.inner.client import NO_WRITER, Inner
from ladestrom.inner.service import Redeemed, Told

ANSWERS_MAX: Final = 1_000
"""Kept for connections that are about to be opened. Each is taken at once, unless its client left."""


class WritersTickets(Tickets):
    """Those that the process that writes has."""

    def __init__(self, inner: Inner) -> None:
        super().__init__(lambda: 0)
        self._inner = inner
        self._answers: OrderedDict[tuple[str, str], Told | LadestromError] = OrderedDict()

    def issue(self, credential: Credential, origin: str | None, address: str = "") -> str:
        """Not here.

        Raises:
            NotReady: always. Requests for tickets are passed on (`edges.output.Opened.remembers`).
        """
        del credential, origin, address
        raise NotReady(NO_WRITER)

    def ask(self, ticket: str, origin: str) -> Coroutine[Any, Any, None] | None:
        """Finds out whether a ticket is good; `redeem` says so then."""
        return self._ask(ticket, origin)

    async def _ask(self, ticket: str, origin: str) -> None:
        found: Told | LadestromError
        try:
            body = msgspec.msgpack.encode(Redeemed(ticket, origin))
            status, answer = await self._inner.exchange("POST", f"{PREFIX}tickets", body)
            found = msgspec.msgpack.decode(answer, type=Told) if status == 200 else NotReady(NO_WRITER)  # noqa: PLR2004 - OK
        except LadestromError as error:
            found = error
        while len(self._answers) >= ANSWERS_MAX:
            self._answers.popitem(last=False)
        self._answers[ticket, origin] = found

    def redeem(self, ticket: str, origin: str) -> Credential:
        """The credential that the ticket was issued for.

        Raises:
            Unauthenticated: there is no such ticket, or no more, or it is for pages of another origin.
            NotReady: the process that issues tickets is away.
        """
        found = self._answers.pop((ticket, origin), None)
        if isinstance(found, LadestromError):
            raise found
        if found is None or found.credential is None:
            raise Unauthenticated("the ticket was never issued" if found is None else found.detail)
        return found.credential
