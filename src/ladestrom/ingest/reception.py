"""Where all transports hand in what their protocols understood: the one way from a delivery to a receipt."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from ladestrom.errors import OWN_FAILURES, LadestromError, PartlyTaken, Taken
from ladestrom.hub import Hub
from ladestrom.ingest.quarantine import Kept
from ladestrom.ingest.registrar import Registrar
from ladestrom.ingest.supervision import Origin, Supervision
from ladestrom.model import Millis, Operator, Receipt, Refusal
from ladestrom.protocols.conversation import Request
from ladestrom.protocols.delivery import Delivery

PART_REPORTS_MAX: Final = 5_000
"""Handed to the hub at once; some 20 ms, after which others have their turn."""


class Reception:
    """One object per server."""

    def __init__(
        self, hub: Hub, supervision: Supervision | None = None, registrar: Registrar | None = None
    ) -> None:
        self._hub = hub
        self._registrar = registrar
        self.supervision = supervision or Supervision(hub.now)

    async def take(
        self,
        operator: Operator,
        delivery: Delivery,
        *,
        protocol: str = "",
        origin: Origin | None = None,
    ) -> Receipt:
        """Returns once what was accepted is durable.

        Args:
            operator: whose statuses these are; its rights are those that it has now.
            delivery: what its message brought.
            protocol: in which the operator sent it.
            origin: the source, where it is one that we asked or followed.

        Raises:
            PartlyTaken: a part of it is in the log; taking all of it again does no harm.
            Overloaded, LogFailure: nothing of it was taken; the operator may try again.
        """
        operator = self._hub.rights(operator)
        health = self.supervision.health(origin or Origin.push(operator.name, protocol))
        if delivery.stations and operator.may_register and self._registrar is not None:
            # First, as its statuses are refused where its EVSEs are not known.
            await self._registrar.register(operator, delivery)
        try:
            receipt = await self._submit(operator, delivery)
            try:
                await self._sign_off_after(operator, delivery)
            except OWN_FAILURES as error:
                raise _partly(receipt, delivery, len(delivery.reports), error) from error
        except OWN_FAILURES:
            raise
        except LadestromError as error:
            self.supervision.failed(health, error)
            raise
        self.supervision.taken(health, delivery, receipt)
        return receipt

    def tried(self, operator: Operator, delivery: Delivery) -> Receipt:
        """What `take` would answer now; nothing is taken or counted. Its stations are not looked at."""
        return self._hub.tried(self._hub.rights(operator), delivery.reports, delivery.refused)

    def unreadable(
        self,
        operator: Operator,
        protocol: str,
        body: bytes,
        error: LadestromError,
        request: Request | None = None,
    ) -> None:
        """An operator's message was not understood: counted, and kept in quarantine. Does not wait.

        For errors of the message itself, not for wrong keys or full queues. `request` is what it came with;
        its headers and query are not kept.
        """
        origin = Origin.push(operator.name, protocol)
        kept = _kept(origin, error, self._hub.now())
        if request is not None:
            kept = msgspec.structs.replace(
                kept,
                method=request.method,
                path=request.path,
                media_type=request.headers.get("content-type", ""),
            )
        self.supervision.unreadable(self.supervision.health(origin), kept, body)

    async def sign_off(
        self, operator: Operator, evses: Collection[str] | None = None, *, keep: Collection[str] = ()
    ) -> int:
        """The source is lost: its EVSEs become unknown, all or those written here. Says how many.

        An EVSE whose status another source told last keeps it, and so do those of `keep`.
        """
        return await self._hub.sign_off(operator.name, only=evses, keep=keep)

    async def confirm(self, operator: Operator) -> int:
        """The source showed that all it told holds: none of it is silent. Says how many EVSEs that are."""
        return await self._hub.confirm(operator.name)

    async def _sign_off_after(self, operator: Operator, delivery: Delivery) -> None:
        """What a delivery says is unknown, or does not name although it names all, is unknown."""
        if delivery.unknown:
            await self._hub.sign_off(operator.name, only=delivery.unknown)
        if delivery.complete:
            await self._hub.sign_off(operator.name, keep=_named(delivery), within=delivery.within)

    async def _submit(self, operator: Operator, delivery: Delivery) -> Receipt:
        reports = delivery.reports
        if len(reports) <= PART_REPORTS_MAX:
            return await self._hub.submit(operator, reports, delivery.refused)
        # What the parser refused goes first, so that each part counts its own places only.
        receipt = await self._hub.submit(operator, (), delivery.refused)
        places = _places(len(reports), delivery.refused)
        for start in range(0, len(reports), PART_REPORTS_MAX):
            try:
                part = await self._hub.submit(operator, reports[start : start + PART_REPORTS_MAX])
            except OWN_FAILURES as error:
                if start == 0:
                    raise
                raise _partly(receipt, delivery, start, error) from error
            receipt = _joined(receipt, part, places, start)
        refused = sorted(receipt.refused, key=lambda refusal: refusal.index)
        return msgspec.structs.replace(receipt, refused=tuple(refused))


def _partly(receipt: Receipt, delivery: Delivery, reports: int, error: LadestromError) -> PartlyTaken:
    """The failure of a delivery of which so many reports were decided before."""
    refused = len(delivery.refused)
    total = refused + len(delivery.reports)
    told = Taken(refused + reports, receipt.accepted, receipt.unchanged, len(receipt.refused))
    rest = (
        "what it does not name could not be taken back" if told.items == total else "the rest was not taken"
    )
    return PartlyTaken(
        f"{told.items} of {total} items were decided ({told.accepted} accepted, {told.unchanged} unchanged, "
        f"{told.refused} refused) and are in the log; {rest}: {error}. Send the whole delivery again",
        told,
    )


def _named(delivery: Delivery) -> set[str]:
    """The EVSEs that a complete delivery says are there, by all their ids."""
    named = set(delivery.named)
    for report in delivery.reports:
        named.add(report.evse)
        if report.also:
            named.add(report.also)
    return named


def _places(reports: int, refused: Sequence[Refusal]) -> list[int]:
    """Place in the message of each report, the items that the parser refused counted."""
    taken = {refusal.index for refusal in refused}
    places: list[int] = []
    place = 0
    while len(places) < reports:
        if place not in taken:
            places.append(place)
        place += 1
    return places


def _joined(whole: Receipt, part: Receipt, places: Sequence[int], start: int) -> Receipt:
    return Receipt(
        whole.accepted + part.accepted,
        whole.unchanged + part.unchanged,
        whole.refused
        + tuple(
            Refusal(places[start + refusal.index], refusal.reason, refusal.detail) for refusal in part.refused
        ),
        part.position,
        whole.stale + part.stale,
        whole.observed + part.observed,
        part.durable_at,
    )


def _kept(origin: Origin, error: LadestromError, now: Millis) -> Kept:
    return Kept(
        source=origin.name,
        operator=origin.operator,
        protocol=origin.protocol,
        kind=origin.kind,
        received_at=now,
        code=error.code,
        detail=str(error),
    )
