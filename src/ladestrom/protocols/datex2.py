"""DATEX II status publications (CEN/TS 16157-10, version 3.5 and later), pushed and pulled, XML and JSON.

Knows how messages travel: what body is which, acknowledgements of Exchange 2020, and asking only for what is
new. What the publications say is read by `datex2_xml` and `datex2_json` and decided by `datex2_status`. Must
not know the registry: points are named by the ids that a table publication gave them, or by EVSE ids.
"""

from __future__ import annotations

import html
from datetime import UTC, datetime
from functools import partial
from typing import Final

from ladestrom.errors import BadRequest, LadestromError, MalformedBody
from ladestrom.markup import is_markup
from ladestrom.model import Millis, Operator, Receipt
from ladestrom.problem import MEDIA_TYPE, problem
from ladestrom.protocols import datex2_json, datex2_xml, plain
from ladestrom.protocols.conditional import asked, remembered
from ladestrom.protocols.datex2_status import Exchange, Extent, Publication, delivery
from ladestrom.protocols.delivery import Delivery, ParseLimits, shown
from ladestrom.protocols.interfaces import Answer, Memory, PullSettings, Request, Round, reading
from ladestrom.quoting import quoted

XML: Final = "application/xml"
JSON: Final = "application/json"
BEGIN_BYTES: Final = 1_024
"""Looked at for the first character that is no white space."""

EXTENT: Final = "extent"
"""Name of the query parameter and of the option that say what a publication holds."""
REFUSALS_TOLD_MAX: Final = 10
"""In an acknowledgement, which has one text for all of them."""
SPECIFICATION: Final = "2020"
"""Exchange specification that is named where the message names none."""


class Datex2Delivery(Delivery, frozen=True, kw_only=True, gc=False):
    """A delivery, and what its acknowledgement needs."""

    exchange: Exchange | None = None
    """How it was exchanged; None where the message does not say, and gets a plain receipt."""
    is_xml: bool = False


def receive(body: bytes, source: str, limits: ParseLimits, extent: Extent | None = None) -> Datex2Delivery:
    """Reads one message, XML or JSON as its first character says.

    `extent` says whether it holds all points of its sender, where that is known better than the message says.

    Raises:
        MalformedBody: it is neither XML nor JSON, or holds no status publication; nothing of it is used.
        TooLarge: it has more points than `limits.items_max`; nothing of it is used.
    """
    is_xml = is_markup(body[:BEGIN_BYTES])
    publication = datex2_xml.read(body, limits.items_max) if is_xml else datex2_json.read(body)
    if not publication.found:
        _explain(publication)
    made = delivery(publication, source, limits, extent)
    return Datex2Delivery(
        reports=made.reports,
        refused=made.refused,
        complete=made.complete,
        unmapped=made.unmapped,
        exchange=publication.exchange,
        is_xml=is_xml,
    )


def _explain(publication: Publication) -> None:
    if publication.table:
        raise MalformedBody(
            "the message holds no EnergyInfrastructureStatusPublication; "
            "import stations with `ladestrom import datex`"
        )
    # Exchange 2020, keep alive: a container without a payload.
    if publication.exchange is None:
        raise MalformedBody("the message holds no EnergyInfrastructureStatusPublication")


class Datex2:
    """Publications sent to us. `?extent=snapshot` or `?extent=delta` overrules their container."""

    name = "datex2"

    def receive(self, request: Request, operator: Operator, limits: ParseLimits) -> Datex2Delivery:
        """Implements `Push.receive`."""
        extent = _extent(request.query.get(EXTENT))
        return receive(request.body, operator.name, limits, extent)

    def answer(self, request: Request, delivery: Delivery, receipt: Receipt) -> Answer:  # noqa: ARG002 - a push
        """An acknowledgement where the message came in a container in XML, else the plain receipt.

        The JSON schema of the AFIR profile has no return information, and so no form of an acknowledgement.

        Source: DATEX II Exchange 2020, ReturnInformation.
        """
        if not isinstance(delivery, Datex2Delivery) or delivery.exchange is None or not delivery.is_xml:
            return Answer(200, plain.answer(receipt))
        at, status = _iso(receipt.received_at), _return_status(receipt)
        return Answer(200, _xml(delivery.exchange, at, status, _told(receipt)), XML)

    def refuse(self, request: Request, error: LadestromError) -> Answer:  # noqa: ARG002 - a push
        """Problem details: what is not taken is told by the status of HTTP, which every sender looks at."""
        return Answer(error.status, problem(error), MEDIA_TYPE)


def _extent(word: str | None) -> Extent | None:
    if word is None:
        return None
    try:
        return Extent(word)
    except ValueError:
        raise BadRequest(
            f"{EXTENT} is {quoted(shown(word))}; it is {Extent.SNAPSHOT.value} or {Extent.DELTA.value}"
        ) from None


def _return_status(receipt: Receipt) -> str:
    """ExchangeReturnEnum: `fail` where nothing of the message was of use."""
    return "fail" if receipt.refused and not receipt.accepted and not receipt.unchanged else "ack"


def _told(receipt: Receipt) -> str:
    told = f"{receipt.accepted} accepted, {receipt.unchanged} unchanged, {len(receipt.refused)} refused"
    refused = "".join(
        f"; point {refusal.index} {refusal.reason}: {refusal.detail}"
        for refusal in receipt.refused[:REFUSALS_TOLD_MAX]
    )
    return f"{told}, position {receipt.position}{refused}"


def _iso(at: Millis) -> str:
    instant = datetime.fromtimestamp(at / 1000, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _xml(exchange: Exchange, at: str, status: str, reason: str) -> bytes:
    protocol, version, reason = (
        html.escape(_printable(text))
        for text in (exchange.protocol or "other", exchange.version or SPECIFICATION, reason)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<con:messageContainer xmlns:con="http://datex2.eu/schema/3/messageContainer"'
        ' xmlns:ex="http://datex2.eu/schema/3/exchangeInformation"'
        ' xmlns:com="http://datex2.eu/schema/3/common" modelBaseVersion="3">'
        '<con:exchangeInformation modelBaseVersion="3"><ex:exchangeContext>'
        f"<ex:codedExchangeProtocol>{protocol}</ex:codedExchangeProtocol>"
        f"<ex:exchangeSpecificationVersion>{version}</ex:exchangeSpecificationVersion>"
        "<ex:supplierOrCisRequester/></ex:exchangeContext><ex:dynamicInformation>"
        "<ex:exchangeStatus>online</ex:exchangeStatus>"
        f"<ex:messageGenerationTimestamp>{at}</ex:messageGenerationTimestamp>"
        f"<ex:returnInformation><ex:returnStatus>{status}</ex:returnStatus><ex:returnStatusReason>"
        f'<com:values><com:value lang="en">{reason}</com:value></com:values>'
        "</ex:returnStatusReason></ex:returnInformation></ex:dynamicInformation>"
        "</con:exchangeInformation></con:messageContainer>\n"
    ).encode()


def _printable(text: str) -> str:
    """Text without what XML 1.0 cannot hold."""
    return "".join(each if each.isprintable() else " " for each in text)


def pull(settings: PullSettings, memory: Memory, now: Millis) -> Round:
    """Asks for a publication at an address, and for its whole only where it changed or was not read for long.

    The option `extent` says what the publication holds, where it does not say so, or wrongly. A certificate
    is the transport's matter.

    Raises:
        SourceFailure: the answer is neither a publication nor says that there is nothing new.
        MalformedBody, TooLarge: as `receive`.
    """
    extent = _extent(settings.options.get(EXTENT))
    answered = yield from asked(settings, memory, now, f"{JSON}, {XML}")
    if answered is None:
        return memory
    body = answered.body
    yield (yield from reading(body, partial(receive, body, settings.source, settings.limits, extent)))
    return remembered(answered, now)
