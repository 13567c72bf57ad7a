"""Where all transports hand in what their protocols understood, and get a receipt for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from heapq import merge
from itertools import chain, count, islice
from typing import Final

import msgspec

from ladestrom.errors import OWN_FAILURES, LadestromError, PartlyTaken, Taken
from ladestrom.ingest.location_store import LocationStore
from ladestrom.ingest.quarantine import Kept
from ladestrom.ingest.registrar import Registrar
from ladestrom.ingest.supervision import ITEMS_PER_LOOK, Kind, SourceIdentity, Supervision
from ladestrom.model import ADJUSTED_MAX, Beginning, Feed, Ids, Millis, Operator, Order, Receipt, Refusal
from ladestrom.ports.writer import Writer
from ladestrom.protocols.delivery import Delivery
from ladestrom.protocols.interfaces import Request
from ladestrom.tasks import Turns, parts

PART_REPORTS_MAX: Final = 5_000
"""Handed to the hub at once, refused ones likewise; some 20 ms, after which others have their turn."""


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """How a delivery came, beside who sent it."""

    of: str = ""
    """The one of several that speak in one protocol for one operator, such as a charge point."""
    began: Beginning | None = None
    """When the round began that it is part of."""
    max_age_s: int | None = None
    """Of the source; None is as its operator has it."""
    by_receipt: bool | None = None
    """Likewise."""


PUSHED: Final = Arrival()


class Intake:
    """Takes deliveries. One object per server."""

    def __init__(
        self,
        writer: Writer,
        supervision: Supervision | None = None,
        registrar: Registrar | None = None,
        locations: LocationStore | None = None,
    ) -> None:
        self._writer = writer
        self._registrar = registrar
        self._locations = locations
        self.supervision = supervision or Supervision(writer.now)

    async def take(
        self,
        operator: Operator,
        delivery: Delivery,
        *,
        protocol: str = "",
        identity: SourceIdentity | None = None,
        arrival: Arrival | None = None,
    ) -> Receipt:
        """Returns once what was accepted is durable.

        Args:
            operator: whose statuses these are; its rights are those that it has now.
            delivery: what its message brought.
            protocol: in which the operator sent it.
            identity: the source, where it is one that we asked or followed.
            arrival: what is known of how it came; a push like any other where it is None.

        Raises:
            PartlyTaken: a part of it is in the log; taking all of it again does no harm.
            Overloaded, LogFailure: nothing of it was taken; the operator may try again.
        """
        operator = self._writer.rights(operator)
        source = identity or SourceIdentity.push(operator.name, protocol)
        health = self.supervision.health(source)
        how = arrival or PUSHED
        feed = feed_of(operator, source, delivery.order, how)
        # A part of what a source has arrives when it does; what is said to be all is as old as its beginning.
        began = how.began if how.began is not None or not delivery.complete else self._writer.begin()
        if delivery.stations and operator.may_register and self._registrar is not None:
            # First, as its statuses are refused where its EVSEs are not known.
            await self._registrar.register(operator, delivery)
        if delivery.documents is not None and self._locations is not None:
            delivery = await self._locations.pulled(operator, delivery)
        try:
            receipt = await self._submit(operator, delivery, feed, began)
            try:
                await self._sign_off_after(operator, delivery, feed, began)
            except OWN_FAILURES as error:
                raise _partly([receipt], delivery, len(delivery.reports), error) from error
        except OWN_FAILURES:
            raise
        except LadestromError as error:
            self.supervision.failed(health, error)
            raise
        await self.supervision.taken(health, delivery, receipt)
        return receipt

    async def tried(self, operator: Operator, delivery: Delivery, protocol: str) -> Receipt:
        """What `take` would answer now; nothing is taken or counted. Its stations are not looked at."""
        operator = self._writer.rights(operator)
        feed = feed_of(operator, SourceIdentity.push(operator.name, protocol), delivery.order)
        return await self._writer.tried(operator, delivery.reports, delivery.refused, feed)

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
        identity = SourceIdentity.push(operator.name, protocol)
        kept = _kept(identity, error, self._writer.now())
        if request is not None:
            kept = msgspec.structs.replace(
                kept,
                method=request.method,
                path=request.path,
                media_type=request.headers.get("content-type", ""),
            )
        self.supervision.unreadable(self.supervision.health(identity), kept, body)

    def begin(self) -> Beginning:
        """A round begins in which a source is asked, or a request of which the delivery may be complete."""
        return self._writer.begin()

    async def sign_off(
        self,
        operator: Operator,
        feed: str,
        evses: Collection[str] | None = None,
        *,
        before: Beginning | None = None,
    ) -> int:
        """A feed is lost: the EVSEs that were heard last on it become unknown. Says how many.

        Args:
            operator: whose it is.
            feed: its name.
            evses: only these, as they are written.
            before: only what was heard before this.
        """
        return await self._writer.sign_off(operator.name, only=evses, feed=feed, before=before)

    async def keep_only(self, operator: Operator, feed: str, evses: Iterable[Ids]) -> int:
        """The source has told of all EVSEs that it has on a feed; others that it told on it are unknown."""
        return await self._writer.sign_off(operator.name, keep=evses, feed=feed, by=operator)

    async def sign_off_left(self, configured: ConfiguredFeeds) -> int:
        """What was heard last on feeds that are not configured any more is unknown. Says how many EVSEs."""
        return await self._writer.sign_off_left(configured.has_left)

    async def confirm(self, operator: Operator, feed: str) -> int:
        """What the source told on a feed holds: none of it is silent. Says how many EVSEs that are."""
        return await self._writer.confirm(operator, feed)

    async def _sign_off_after(
        self, operator: Operator, delivery: Delivery, feed: Feed, began: Beginning | None
    ) -> None:
        """What a delivery says is unknown, or does not name although it names all, is unknown."""
        if delivery.unknown:
            await self._writer.sign_off(operator.name, only=delivery.unknown, feed=feed.name, by=operator)
        if delivery.complete:
            await self._writer.sign_off(
                operator.name, keep=Named(delivery), within=delivery.within, before=began, by=operator
            )

    async def _submit(
        self, operator: Operator, delivery: Delivery, feed: Feed, began: Beginning | None
    ) -> Receipt:
        reports, refused = delivery.reports, delivery.refused
        if len(reports) + len(refused) <= PART_REPORTS_MAX:
            return await self._writer.submit(operator, reports, refused, feed, began)
        # What the parser refused goes first, so that each part counts its own places only.
        before = [
            await self._writer.submit(operator, (), some, feed, began)
            for some in parts(refused, PART_REPORTS_MAX)
        ]
        places = _places(refused)
        taken: list[Receipt] = []
        for some in parts(reports, PART_REPORTS_MAX):
            try:
                part = await self._writer.submit(operator, some, (), feed, began)
            except OWN_FAILURES as error:
                if not taken:
                    raise
                raise _partly([*before, *taken], delivery, len(taken) * PART_REPORTS_MAX, error) from error
            taken.append(_placed(part, list(islice(places, len(some)))))
        return await _joined(before, taken)


def feed_of(operator: Operator, source: SourceIdentity, order: Order, arrival: Arrival = PUSHED) -> Feed:
    """On which feed a source's words come.

    What a peer of OCPI pushes and what it answers when it is asked are one feed, as its stamps and our
    requests say which of two is newer. Each connection of a charge point's is one with those before.
    """
    pushes = source.kind is Kind.PUSH or order is Order.UPDATES
    name = f"{operator.name}/{source.protocol if pushes else source.name}"
    if arrival.of:
        name += f"/{arrival.of}"
    max_age_s = operator.max_age_s if arrival.max_age_s is None else arrival.max_age_s
    by_receipt = operator.by_receipt if arrival.by_receipt is None else arrival.by_receipt
    return Feed(name, order, by_receipt, max_age_s)


class ConfiguredFeeds(msgspec.Struct, frozen=True):
    """The feeds of all that is configured: pushes, sources, charge points and OCPI peers."""

    pushes: frozenset[str]
    """Protocols in which any operator may push, whether it has a key or not."""
    feeds: frozenset[str]
    """Names of the others' feeds."""

    def has_left(self, operator: str, feed: str) -> bool:
        """Whether what spoke for this operator on a feed is not configured any more."""
        rest = feed.removeprefix(f"{operator}/")
        return rest != feed and rest not in self.pushes and feed not in self.feeds


def _partly(
    receipts: Sequence[Receipt], delivery: Delivery, reports: int, error: LadestromError
) -> PartlyTaken:
    """The failure of a delivery of which so many reports were decided before, with these receipts."""
    refused = len(delivery.refused)
    total = refused + len(delivery.reports)
    told = Taken(
        refused + reports,
        sum(each.accepted for each in receipts),
        sum(each.unchanged for each in receipts),
        sum(len(each.refused) for each in receipts),
    )
    rest = (
        "what it does not name could not be taken back" if told.items == total else "the rest was not taken"
    )
    return PartlyTaken(
        f"{told.items} of {total} items were decided ({told.accepted} accepted, {told.unchanged} unchanged, "
        f"{told.refused} refused) and are in the log; {rest}: {error}. Send the whole delivery again",
        told,
    )


class Named(Iterable[Ids]):
    """The EVSEs that a complete delivery says are there.

    Their ids are made while they are gone through, and none is kept: the garbage collector would go through
    100,000 of them in one step, in 25 ms.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._named, self._reports = delivery.named, delivery.reports

    def __iter__(self) -> Iterator[Ids]:
        yield from self._named
        for report in self._reports:
            yield report.evse, report.also, report.shared


def _places(refused: Sequence[Refusal]) -> Iterator[int]:
    """Place in the message of each report, the items that the parser refused counted."""
    taken = iter(refused)
    skipped = next(taken, None)
    for place in count():
        if skipped is not None and skipped.index == place:
            skipped = next(taken, None)
        else:
            yield place


def _placed(part: Receipt, places: Sequence[int]) -> Receipt:
    """The receipt of a part, with the places that its items have in the whole."""

    def placed(items: Sequence[Refusal]) -> tuple[Refusal, ...]:
        return tuple(Refusal(places[each.index], each.reason, each.detail) for each in items)

    return msgspec.structs.replace(part, refused=placed(part.refused), adjusted=placed(part.adjusted))


async def _joined(before: Sequence[Receipt], taken: Sequence[Receipt]) -> Receipt:
    """One receipt of all parts: of what the parser refused, and of the reports; both in order of places."""
    receipts = [*before, *taken]
    refused: list[Refusal] = []
    in_order = merge(
        *(chain.from_iterable(each.refused for each in some) for some in (before, taken)),
        key=lambda refusal: refusal.index,
    )
    turns = Turns()
    while some := list(islice(in_order, ITEMS_PER_LOOK)):
        refused += some
        await turns.rest()
    return Receipt(
        sum(each.accepted for each in receipts),
        sum(each.unchanged for each in receipts),
        tuple(refused),
        receipts[-1].position,
        sum(each.stale for each in receipts),
        tuple(islice(chain.from_iterable(each.adjusted for each in taken), ADJUSTED_MAX)),
        receipts[0].received_at,
        tuple(chain.from_iterable(each.observed for each in taken)),
        receipts[-1].durable_at,
    )


def _kept(identity: SourceIdentity, error: LadestromError, now: Millis) -> Kept:
    return Kept(
        source=identity.name,
        operator=identity.operator,
        protocol=identity.protocol,
        kind=identity.kind,
        received_at=now,
        code=error.code,
        detail=str(error),
    )
