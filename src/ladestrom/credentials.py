"""Whose request it is: from headers and query to a credential, and to the address that it counts for.

Holds the keyring in force, and notes to the minute when keys were used. The keyring is replaced as a whole
when the store changed.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, Final

import msgspec
import structlog

from ladestrom.core.access import VISITOR, Credential, Keyring, Scope
from ladestrom.core.shares import Asker, PlaceLimits, Places, asking_address, is_loopback, network_of
from ladestrom.errors import KeyPending, LadestromError, NotAllowed, Unauthenticated
from ladestrom.model import Millis, Operator
from ladestrom.ports.keys import KeyRecord

logger = structlog.get_logger(__name__)

MINUTE_MS: Final = 60_000
QUERY_NAMES: Final = ("key", "apikey")
"""Both published forms of the NOBIL stream; understood on version 1 paths only."""
TICKET_S: Final = 60
TICKET_BYTES: Final = 24
TICKET_LIMITS: Final = PlaceLimits(
    total_max=100_000,
    per_key_max=5_000,
    per_address_max=5_000,
    visitors_max=5_000,
    visitors_per_address_max=50,
)
"""Tickets that were not used yet. A ticket opens one connection, so each holder may have as many of them. In
all, five times as many as consumers could come back within a minute."""
PROXIES_TOLD_MAX: Final = 16
"""Proxies that are warned of, once each."""


class Use(msgspec.Struct):
    """What was done with a key since the server started."""

    requests: int = 0
    """Requests that it was good for, those for streams among them."""
    refused: int = 0
    """Requests turned away although the key is known: not for this, waiting, ended, too many connections."""
    connections: int = 0
    """Connections to streams."""
    messages: int = 0
    """Messages handed to those that have ended; a snapshot counts as one."""
    bytes: int = 0
    """Likewise."""
    last_used_at: Millis | None = None
    """To the minute."""


class Doorkeeper:
    """Checks keys against the keyring in force; lets visitors look where `visitors` says so."""

    def __init__(self, keyring: Keyring, clock: Callable[[], Millis], *, visitors: bool = False) -> None:
        self.keyring = keyring
        self.visitors = visitors
        self.refused = 0
        """Requests turned away since the start."""
        self.uses: dict[str, Use] = {}
        """By key; of keys that were shown since the start and are there still."""
        self._clock = clock
        self._used: dict[str, Millis] = {}

    def credential(
        self,
        headers: Mapping[str, str],
        scope: Scope,
        query: Mapping[str, str] | None = None,
        *,
        basic: bool = False,
    ) -> Credential:
        """The credential of a request; a header wins over the query, which is looked at where it is given.

        With `basic`, HTTP Basic is understood too: the password is the key, whoever the user.

        Raises:
            Unauthenticated: no key, or none of ours, or it is revoked or expired.
            KeyPending: the key waits to be approved.
            NotAllowed: the key is not for this scope.
        """
        now = self._clock()
        text = None
        try:
            text = presented_key(headers, query, basic=basic)
            found = self.keyring.authenticate(text, now, scope)
        except LadestromError:
            self.refuse(self.keyring.owner(text))
            raise
        self._note(found.key_id, now).requests += 1
        return found

    def reads(self, headers: Mapping[str, str]) -> Credential:
        """The credential of who reads lists: all with the scope `stream`, its operator's with `report`.

        Raises:
            Unauthenticated: no key, or none of ours, or it is revoked or expired.
            KeyPending: the key waits to be approved.
            NotAllowed: it has neither scope.
        """
        try:
            text = presented_key(headers)
            self.keyring.authenticate(text, self._clock(), Scope.STREAM)
        except KeyPending:
            pass
        except NotAllowed:
            return self.credential(headers, Scope.REPORT)
        except LadestromError:
            pass
        return self.credential(headers, Scope.STREAM)

    def reporter(self, key_id: str) -> Operator:
        """The operator that a key reports for, with the rights that it has now.

        Asked whenever something was received: the key, or the rights, may have been taken away meanwhile.

        Raises:
            Unauthenticated: the key is gone, was revoked, or has expired.
            NotAllowed: it does not report, or waits to be approved.
        """
        try:
            return self.keyring.reporter(key_id, self._clock())
        except LadestromError:
            self.refuse(key_id if key_id in self.keyring else None)
            raise

    def holder(self, headers: Mapping[str, str], *, waiting: bool = True) -> KeyRecord:
        """Whose key a request carries, whatever the key is for; with `waiting`, one that waits too.

        What looks after a key is not counted with what it is used for.

        Raises:
            Unauthenticated: no key, or none of ours, or it is revoked or expired.
            KeyPending: the key waits to be approved.
        """
        now = self._clock()
        text = None
        try:
            text = presented_key(headers)
            found = self.keyring.holder(text, now)
            if found.pending and not waiting:
                raise KeyPending("the key is waiting for the administrator's approval")
        except LadestromError:
            self.refuse(self.keyring.owner(text))
            raise
        self._note(found.id, now)
        return found

    def use(self, key_id: str) -> Use:
        """What was done with a key; begun where it is new."""
        found = self.uses.get(key_id)
        if found is None:
            found = self.uses[key_id] = Use()
        return found

    def refuse(self, key_id: str | None) -> None:
        """Counts a request that is turned away; None where it is nobody's."""
        self.refused += 1
        if key_id is not None:
            self.use(key_id).refused += 1

    def _note(self, key_id: str, now: Millis) -> Use:
        minute = now - now % MINUTE_MS
        self._used[key_id] = minute
        use = self.use(key_id)
        use.last_used_at = minute
        return use

    def look(self, headers: Mapping[str, str]) -> Credential:
        """The credential of who wants to look: its key's, or that of visitors where they are let in.

        A key that is good but may not read is no worse there than none. One that is wrong, revoked or expired
        is refused all the same, so that whoever sent it learns of it.

        Raises:
            Unauthenticated: no key where visitors are not let in, or a wrong one.
            NotAllowed: the key is not for reading, and visitors are not let in.
        """
        if self.visitors and self._comes_without(headers):
            return VISITOR
        return self.credential(headers, Scope.STREAM)

    def _comes_without(self, headers: Mapping[str, str]) -> bool:
        """Whether a request has no key, or a good one that may not read."""
        try:
            text = presented_key(headers)
            if text is not None:
                self.keyring.authenticate(text, self._clock(), Scope.STREAM)
        except NotAllowed:
            return True
        except Unauthenticated:
            return False
        return text is None

    def is_live(self, key_id: str) -> bool:
        """Whether connections opened with this key may stay."""
        if key_id == VISITOR.key_id:
            return self.visitors
        return self.keyring.is_live(key_id, self._clock())

    def take_used(self) -> dict[str, Millis]:
        """Keys used since the last call, and the minute of their last use. Forgets keys that are no more."""
        used, self._used = self._used, {}
        for key_id in [key_id for key_id in self.uses if key_id not in self.keyring]:
            del self.uses[key_id]
        return used


def presented_key(
    headers: Mapping[str, str], query: Mapping[str, str] | None = None, *, basic: bool = False
) -> str | None:
    """The key that a request carries: `Authorization: Bearer` (or `Basic`), `X-Api-Key`, then the query.

    Raises:
        Unauthenticated: Authorization has another scheme, or is no `Basic` (RFC 7617).
    """
    authorization = headers.get("authorization")
    if authorization:
        scheme, _, key = authorization.partition(" ")
        if basic and scheme.lower() == "basic":
            return _password(key)
        if scheme.lower() != "bearer":
            raise Unauthenticated(
                "Authorization does not use the scheme Bearer; write: Authorization: Bearer KEY"
            )
        return key.strip()
    header = headers.get("x-api-key")
    if header:
        return header.strip()
    for name in QUERY_NAMES if query is not None else ():
        if query is not None and query.get(name):
            return query[name]
    return None


def _password(credentials: str) -> str:
    try:
        pair = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise Unauthenticated("Authorization says Basic, but is not Base64 of USER:KEY") from None
    return pair.partition(":")[2].strip()


class ClientAddresses:
    """Where requests come from: the client's IP address, where a proxy that is trusted names it."""

    def __init__(self, proxies: Collection[str] = ()) -> None:
        self._told: set[str] = set()
        self.trust(proxies)

    def trust(self, proxies: Collection[str]) -> None:
        """Believes these proxies from now on."""
        self._proxies = frozenset(asking_address(proxy, "", ()) for proxy in proxies)

    def network(self, peer: str, forwarded: str = "") -> str:
        """The address of a request, as `network_of` gives it.

        Args:
            peer: the other end of the connection.
            forwarded: the header `X-Forwarded-For`; empty where there is none.
        """
        return network_of(self._address(peer, forwarded))

    def sharer(self, peer: str, forwarded: str = "") -> str:
        """The same where the address has a share of its own, else empty.

        The machine's own address has none: it is that of all clients behind a local proxy that `keys.proxies`
        does not name, and each of them could use up what belongs to all.
        """
        address = self._address(peer, forwarded)
        return "" if is_loopback(address) or self._is_proxy(address) else network_of(address)

    def asker(self, credential: Credential, peer: str, forwarded: str = "") -> Asker:
        """Whom a request counts for."""
        return Asker(credential.key_id, self.sharer(peer, forwarded))

    def _address(self, peer: str, forwarded: str) -> str:
        address = asking_address(peer, forwarded, self._proxies)
        if (
            forwarded
            and len(self._told) < PROXIES_TOLD_MAX
            and not self._is_proxy(asking_address(peer, "", ()))
        ):
            self._tell(peer)
        return address

    def _is_proxy(self, address: str) -> bool:
        return address in self._proxies

    def _tell(self, peer: str) -> None:
        if peer not in self._told:
            self._told.add(peer)
            logger.warning(
                "a request came through a proxy that keys.proxies does not name; all clients of that proxy "
                "count as one address",
                proxy=peer,
            )


class Tickets:
    """Single-use tickets for browsers, which cannot send a key in a header of a stream's request."""

    def __init__(self, steady: Callable[[], Millis], limits: PlaceLimits = TICKET_LIMITS) -> None:
        """`steady` is a clock that nobody sets."""
        self._steady = steady
        self._open: OrderedDict[str, tuple[Millis, str | None, Asker, Credential]] = OrderedDict()
        self._places = Places("unused tickets", limits)

    def limit(self, limits: PlaceLimits) -> None:
        """Has these limits from now on."""
        self._places.limits = limits

    def issue(self, credential: Credential, origin: str | None, address: str = "") -> str:
        """A ticket that opens one stream within `TICKET_S`, for pages of this origin only.

        An empty origin stands for the server's own host, and for programs; None for whatever page a program
        gives the ticket to. It counts for its key and for the address (`ClientAddresses.sharer`).

        Raises:
            TooManyRequests: the key, the address or the visitors have too many tickets that were not used.
            Overloaded: there are too many in all.
        """
        now = self._steady()
        while self._open and next(iter(self._open.values()))[0] <= now:
            _, (_, _, expired, _) = self._open.popitem(last=False)
            self._places.give_back(expired)
        asker = Asker(credential.key_id, address)
        self._places.check(asker)
        self._places.take(asker)
        ticket = f"lst_ticket_{secrets.token_hex(TICKET_BYTES)}"
        self._open[ticket] = (now + TICKET_S * 1000, origin, asker, credential)
        return ticket

    def ask(self, ticket: str, origin: str) -> Coroutine[Any, Any, None] | None:
        """What has to be awaited before a ticket can be redeemed, where another process has it; None here."""
        del ticket, origin
        return None

    def redeem(self, ticket: str, origin: str) -> Credential:
        """The credential that the ticket was issued for; it is used up, whatever comes of it.

        Raises:
            Unauthenticated: there is no such ticket, or no more, or it is for pages of another origin.
        """
        found = self._open.pop(ticket, None)
        if found is not None:
            self._places.give_back(found[2])
        if found is None or found[0] <= self._steady():
            raise Unauthenticated("the ticket was used, has expired, or was never issued; get a new one")
        _, issued_to, _, credential = found
        if issued_to is not None and issued_to != origin:
            raise Unauthenticated("the ticket was issued for pages of another origin")
        return credential
