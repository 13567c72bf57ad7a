"""The peers of OCPI that may speak to us, found by the tokens that they show.

Knows tokens and states of peers. Must not know what a request is about.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ladestrom import tasks
from ladestrom.errors import Unauthenticated
from ladestrom.ingest.http_poll import ANYWHERE, PUBLIC_ONLY
from ladestrom.ingest.intake import Intake, feed_of
from ladestrom.ingest.supervision import SourceIdentity
from ladestrom.model import Operator, Order
from ladestrom.ports.peers import Peer, Peers
from ladestrom.ports.sources import SourceRecord
from ladestrom.protocols import ocpi, ocpi_credentials, ocpi_locations, ocpi_pull

PROTOCOL: Final = "ocpi"
READ_AGAIN_S: Final = 0.2
"""How often the peers are read for the sake of a token that is not known: it may be a minute old."""
TOKEN_PREFIX: Final = "lst_ocpi_"  # noqa: S105 - what tokens begin with, so that none is ever logged
TOKEN_BYTES: Final = 24
DELIVERING: Final = frozenset({"registered", "fixed"})
"""States in which a peer's statuses count."""


def new_token() -> str:
    """A token for a peer to show."""
    return TOKEN_PREFIX + secrets.token_hex(TOKEN_BYTES)


def digest(token: str) -> bytes:
    """What is kept of a token that a peer shows."""
    return hashlib.sha256(token.encode("ascii")).digest()


class KnownPeers:
    """The peers as the store had them when it was last read."""

    def __init__(self, store: Peers, intake: Intake, operator: Callable[[str], Operator | None]) -> None:
        """Knows no peer yet: `follow` tells of them.

        Args:
            store: where peers are kept.
            intake: where what left is signed off.
            operator: finds an operator by its name.
        """
        self._store = store
        self._intake = intake
        self._operator = operator
        self._by_token: dict[bytes, Peer] = {}
        self._left: set[str] = set()
        """Operators whose last peer left, until what it told is unknown."""
        self._read_at = 0.0
        self._reading: asyncio.Task[None] | None = None

    def follow(self, peers: Iterable[Peer]) -> None:
        """Takes the peers as the store has them: what is gone may nothing from now on.

        What an operator told whose last peer left is to be signed off then (`sign_off_left`).
        """
        before = {peer.operator for peer in self._by_token.values() if peer.state in DELIVERING}
        self._by_token = {peer.token_sha256: peer for peer in peers}
        here = {peer.operator for peer in self._by_token.values() if peer.state in DELIVERING}
        self._left = (self._left | before) - here

    async def sign_off_left(self) -> None:
        """What operators told whose last peer left is unknown.

        Raises:
            NotReady: that could not be logged; the next call tries it again.
        """
        for name in sorted(self._left):
            evses: list[str] = []
            after, turns = "", tasks.Turns()
            while some := await self._store.locations(name, after):
                for after, document in some:  # noqa: B007 - the last is where the next ones begin
                    evses += ocpi_locations.evse_ids(document)
                    await turns.rest()
            operator = self._operator(name) or Operator(name)
            feed = feed_of(operator, SourceIdentity.push(name, PROTOCOL), Order.UPDATES).name
            await self._intake.sign_off(operator, feed, evses)
            self._left.discard(name)

    async def refresh(self) -> None:
        """Takes the peers as the store has them now."""
        self.follow(await self._store.every())

    def of(self, token: str) -> Peer | None:
        """The peer that this token is good for now."""
        return self._by_token.get(digest(token))

    async def authenticated(self, headers: Mapping[str, str]) -> tuple[Peer, str]:
        """Whose a request is, and the token that it shows.

        Raises:
            Unauthenticated: it shows none that is good.
        """
        tokens = ocpi.presented(headers.get("authorization"))
        if not tokens:
            raise Unauthenticated("write: Authorization: Token TOKEN, in Base64 from OCPI 2.2 on")
        found = self.find(tokens)
        if found is None:
            await self._read_again()
            found = self.find(tokens)
        if found is None:
            raise Unauthenticated("the token is unknown or no longer valid")
        return found

    def find(self, tokens: Iterable[str]) -> tuple[Peer, str] | None:
        """The peer that one of these tokens is good for, as far as it is known, and which."""
        for token in tokens:
            peer = self.of(token)
            if peer is not None:
                return peer, token
        return None

    async def _read_again(self) -> None:
        """Reads the peers again: a peer that is being registered may call before we know of its token."""
        if self._reading is None or self._reading.done():
            self._reading = tasks.start(self._read(), "reading of OCPI peers", tasks.awaited)
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._read_at + READ_AGAIN_S - loop.time()))
        self._read_at = loop.time()
        await self.refresh()


def reconciled(peers: Iterable[Peer], every_s: int, *, anywhere: bool) -> list[SourceRecord]:
    """Sources that ask each registered peer for everything, `every_s` apart; none where that is 0.

    `anywhere` is whether their addresses may be private ones.
    """
    found: list[SourceRecord] = []
    for peer in peers if every_s else ():
        endpoints = [ocpi.Endpoint(identifier, url, role) for identifier, role, url in peer.endpoints]
        locations = ocpi.endpoint(endpoints, "locations", "SENDER")
        if peer.state != "registered" or locations is None or peer.their_token is None:
            continue
        options = {"whole_every_s": "0", ocpi_pull.VERSION: peer.version or ""}
        options[ANYWHERE if anywhere else PUBLIC_ONLY] = "yes"
        cpos = [party for role, party, _ in peer.roles if role == "CPO"]
        if asked := cpos or [party for _, party, _ in peer.roles]:
            options[ocpi_pull.TO] = asked[0]
        if peer.version in ocpi_credentials.FLAT and peer.roles:
            options["party"] = peer.roles[0][1]
        registered_at = peer.registered_at or peer.made_at
        found.append(
            SourceRecord(
                name=f"ocpi:{peer.id}",
                operator=peer.operator,
                protocol=PROTOCOL,
                address=locations.url,
                options=options,
                secret=peer.their_token,
                poll_s=every_s,
                added_at=registered_at,
                changed_at=registered_at,
            )
        )
    return found
