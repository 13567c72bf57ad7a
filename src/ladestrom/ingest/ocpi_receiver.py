"""The Receiver of Locations: statuses and stations that peers push.

Knows rights and the order of things: before a sender is answered, the statuses of its Location are durable,
and so is the Location. What a message means is `protocols.ocpi_receiver`'; where Locations are kept is the
location store's.
"""

from __future__ import annotations

from http import HTTPStatus

from ladestrom.core.locations import native_id
from ladestrom.errors import BadRequest, Unauthenticated
from ladestrom.ingest.ocpi_handlers import Asked, ModuleServices
from ladestrom.ingest.ocpi_peers import DELIVERING, PROTOCOL
from ladestrom.model import Operator
from ladestrom.ports.peers import Peer
from ladestrom.protocols import ocpi, ocpi_credentials, ocpi_receiver
from ladestrom.protocols.ocpi import Refused, Reply


class LocationsReceiver:
    """Handles the module."""

    def __init__(self, services: ModuleServices) -> None:
        self._services = services

    async def answer(self, asked: Asked) -> Reply:
        """Implements `Handler.answer`."""
        if asked.peer.state == "invited":
            raise Unauthenticated("this token is for the registration only; POST your credentials first")
        where = ocpi_receiver.target(asked.path)
        self._check_party(asked.peer, asked.operator, where.party)
        key = (asked.operator.name, native_id(where.party, where.location))
        if asked.request.method == "GET":
            async with self._services.locations.held(key) as document:
                return ocpi_receiver.get(document, where)
        body = await asked.body()
        async with self._services.locations.held(key) as document:
            # The body took its time, and so did those who changed this Location before.
            operator = self._still(asked, where.party)
            sent = ocpi_receiver.Sent(
                body=body,
                version=asked.version,
                source=operator.name,
                received_at=self._services.clock(),
                limits=self._services.settings.parse,
                with_stations=operator.may_register,
            )
            change = ocpi_receiver.put if asked.request.method == "PUT" else ocpi_receiver.patch
            try:
                outcome = change(document, where, sent)
            except Refused as error:
                if error.reply.code != ocpi.UNKNOWN_LOCATION:
                    self._unreadable(asked, sent.body, error)
                raise
            made = document if outcome.document is None else outcome.document
            records = await self._services.locations.records(operator.name)
            # Others of this operator's requests have to know now what this Location lists.
            records.put(key[1], document, made)
            try:
                delivery = await self._services.locations.settled(records, operator, outcome.delivery)
                receipt = await self._services.intake.take(operator, delivery, protocol=PROTOCOL)
                if made is not None and made != document:
                    await self._services.locations.put(key, made, document)
            except BaseException:
                records.put(key[1], made, document)
                raise
        return ocpi_receiver.told(outcome, receipt)

    def _still(self, asked: Asked, party: str) -> Operator:
        """The operator of a request, with the rights that it has now.

        Raises:
            Unauthenticated: its token is not good any more.
            Refused: it may not speak for this party any more.
        """
        peer = self._services.peers.of(asked.token)
        operator = (
            None if peer is None or peer.id != asked.peer.id else self._services.operator(peer.operator)
        )
        if peer is None or operator is None or peer.state not in DELIVERING:
            raise Unauthenticated("the token is no longer valid")
        self._check_party(peer, operator, party)
        return operator

    def _check_party(self, peer: Peer, operator: Operator, party: str) -> None:
        roles = tuple(ocpi_credentials.Role(*role) for role in peer.roles)
        if operator.all or ocpi_credentials.allowed(roles, operator.parties, party):
            return
        if not roles and operator.prefixes:
            # A peer with a fixed token has told no roles; whose its EVSEs are is looked at one by one.
            return
        raise Refused(
            f"{party[:2]}*{party[2:]} is not one of your parties", ocpi.UNKNOWN_LOCATION, HTTPStatus.NOT_FOUND
        )

    def _unreadable(self, asked: Asked, body: bytes, error: Refused) -> None:
        said = BadRequest(str(error))
        self._services.intake.unreadable(asked.operator, PROTOCOL, body, said, asked.request)
