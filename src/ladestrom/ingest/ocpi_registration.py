"""The module credentials: a peer registers with us, changes its credentials, and leaves.

Knows states and tokens of peers. What credentials mean is `protocols.ocpi_credentials`'.

Source: OCPI 2.2.1 and 2.3.0, section 7; 2.1.1, `credentials`.
"""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakValueDictionary

import msgspec
import structlog

from ladestrom.errors import Conflict, SourceFailure
from ladestrom.ingest.ocpi_handlers import Asked, MethodNotOffered, ModuleServices
from ladestrom.ingest.ocpi_peers import digest, new_token
from ladestrom.protocols import ocpi, ocpi_credentials
from ladestrom.protocols.ocpi import Refused, Reply

logger = structlog.get_logger(__name__)

VERSIONS_PATH: Final = f"{ocpi.PREFIX}/versions"


class Registration:
    """Handles the module."""

    def __init__(self, services: ModuleServices) -> None:
        self._services = services
        self._registering: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By peer, while one of its requests is under way."""

    async def answer(self, asked: Asked) -> Reply:
        """Implements `Handler.answer`."""
        method, state = asked.request.method, asked.peer.state
        if state == "fixed":
            raise MethodNotOffered("your token is permanent; there are no credentials to exchange", ())
        if method == "GET":
            return self._own(asked, asked.token)
        if method == "POST" and state != "invited":
            raise MethodNotOffered(
                "you are registered; PUT changes your credentials", ("GET", "PUT", "DELETE")
            )
        if method != "POST" and state != "registered":
            raise MethodNotOffered("you are not registered; POST your credentials", ("GET", "POST"))
        lock = self._registering.setdefault(asked.peer.id, asyncio.Lock())
        if lock.locked():
            raise Refused(
                "your previous registration request is still being processed",
                ocpi.CLIENT_ERROR,
            )
        async with lock:
            if method == "DELETE":
                return await self._unregister(asked)
            return await self._register(asked)

    async def _register(self, asked: Asked) -> Reply:
        """Calls the peer back with its new token, and gives it one of ours (OCPI 2.2.1, section 7.1.2)."""
        said = ocpi_credentials.read(await asked.body())
        try:
            met = await self._services.calls.run(
                ocpi_credentials.introduce(said.url, said.token, asked.version)
            )
        except SourceFailure as error:
            raise Refused(str(error), ocpi.UNUSABLE_API) from error
        token = new_token()
        peer = msgspec.structs.replace(
            asked.peer,
            state="registered",
            token_sha256=digest(token),
            their_token=said.token,
            their_url=said.url,
            version=met.version,
            endpoints=tuple((each.identifier, each.role or "", each.url) for each in met.endpoints),
            roles=tuple((role.role, role.party, role.name) for role in said.roles),
            registered_at=self._services.clock(),
        )
        try:
            await self._services.store.put(peer, instead_of=asked.peer.token_sha256)
        except Conflict as error:
            raise Refused("another request has registered you in the meantime", ocpi.CLIENT_ERROR) from error
        await self._services.peers.refresh()
        logger.info("an OCPI peer registered", peer=peer.id, operator=peer.operator, version=met.version)
        return self._own(asked, token)

    async def _unregister(self, asked: Asked) -> Reply:
        """Forgets the peer: what it told is not known any more."""
        await self._services.store.drop(asked.peer.id)
        await self._services.peers.refresh()
        await self._services.peers.sign_off_left()
        logger.info("an OCPI peer unregistered", peer=asked.peer.id, operator=asked.peer.operator)
        return Reply()

    def _own(self, asked: Asked, token: str) -> Reply:
        url = f"{asked.root}{VERSIONS_PATH}"
        return Reply(ocpi_credentials.write(self._services.settings.own, token, url, asked.version))
