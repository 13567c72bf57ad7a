"""`GET /datex2/v3/table.json`, `.xml`; `/datex2/v3/status.json`, `.xml`, with `?since=EPOCH-SEQ` a delta."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Sequence
from email.utils import formatdate
from functools import partial
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from ladestrom.core.access import Credential
from ladestrom.core.features import FEATURES
from ladestrom.core.selection import EVSE_FILTERS, Selection, selection
from ladestrom.core.view import StationState, View
from ladestrom.edges.answers import COMPRESSED, AnyRequest, matches, packed, takes_gzip
from ladestrom.edges.documents import FILTERS, POSITION_HEADER, Form
from ladestrom.edges.output import Opened, Reading
from ladestrom.edges.query import known
from ladestrom.edges.walks import (
    GZIP_BYTES_MIN,
    GZIP_LEVEL,
    STATIONS_PER_LOOK,
    THREAD_BYTES_MIN,
    Walks,
)
from ladestrom.errors import InvalidSelection, PositionLost
from ladestrom.model import Millis, Position
from ladestrom.outputs.datex2 import publication, statuses
from ladestrom.outputs.datex2.delta import Delta
from ladestrom.outputs.datex2.encoder import StatusJson, StatusXml, TableJson, TableXml, separated
from ladestrom.outputs.datex2.publication import Exchange, Making, Publisher
from ladestrom.outputs.datex2.statuses import Said
from ladestrom.reader.subscriptions import Subscription
from ladestrom.tasks import Turns

JSON: Final = "application/json"
XML: Final = "application/xml"
TABLE_JSON: Final = "/datex2/v3/table.json"
TABLE_XML: Final = "/datex2/v3/table.xml"
STATUS_JSON: Final = "/datex2/v3/status.json"
STATUS_XML: Final = "/datex2/v3/status.xml"
STATUS_PARAMETERS: Final = FILTERS | {"since"}


class Written(msgspec.Struct, frozen=True):
    """How a delta is written."""

    media_type: str
    head: Callable[[Making], bytes]
    site: Callable[[str, int, Sequence[Said]], bytes]
    end: Callable[[Making], bytes]
    is_separated: bool


AS_JSON: Final = Written(
    JSON,
    publication.statuses_json,
    statuses.as_json,
    lambda _: publication.STATUSES_JSON_END,
    is_separated=True,
)
AS_XML: Final = Written(
    XML, publication.statuses_xml, statuses.as_xml, publication.statuses_xml_end, is_separated=False
)


def forms(publisher: Publisher, clock: Callable[[], Millis], view: View) -> dict[str, Form[bytes]]:
    """The documents, by path."""

    def form(
        name: str, media_type: str, encoder: type[TableJson | TableXml | StatusJson | StatusXml]
    ) -> Form[bytes]:
        return Form(
            name=name,
            media_type=media_type,
            encoder=lambda: encoder(publisher, clock(), lambda: view.records_seq),
        )

    return {
        TABLE_JSON: form("datex2_table_json", JSON, TableJson),
        TABLE_XML: form("datex2_table_xml", XML, TableXml),
        STATUS_JSON: form("datex2_status_json", JSON, StatusJson),
        STATUS_XML: form("datex2_status_xml", XML, StatusXml),
    }


def open(reading: Reading) -> Opened:  # noqa: A001 - what every output's edge is opened by
    """Tables and statuses."""
    publisher = Publisher(reading.style.publisher_country, reading.style.publisher)
    made = forms(publisher, reading.clock, reading.view)
    deltas = _Deltas(reading, publisher)
    return Opened(
        routes=[
            reading.documents.route(TABLE_JSON, made[TABLE_JSON]),
            reading.documents.route(TABLE_XML, made[TABLE_XML]),
            _statuses(reading, deltas, STATUS_JSON, made[STATUS_JSON], AS_JSON),
            _statuses(reading, deltas, STATUS_XML, made[STATUS_XML], AS_XML),
        ]
    )


def _statuses(
    reading: Reading, deltas: _Deltas, path: str, form: Form[bytes], written: Written
) -> HTTPRouteHandler:
    @get(path, opt={COMPRESSED: True})
    async def status(request: AnyRequest) -> Response[Any]:
        """The statuses, or what became of them since a position."""
        credential = reading.door.look(request.headers)
        query = known(request.query_params.multi_items(), STATUS_PARAMETERS)
        since = query.get("since")
        if since is None:
            return await reading.documents.answer(request, form, reading.documents.chosen(query), credential)
        found = sorted(FEATURES.intersection(query))
        if found:
            raise InvalidSelection(
                f"{', '.join(found)}: changes since a position have no filters by features, as what passes "
                "them depends on the clock too; ask without since"
            )
        wanted = selection(query, names=EVSE_FILTERS)
        return await deltas.answer(request, written, wanted, Position.parse(since), credential)

    return status


class _Deltas:
    """Made for each who asks: hardly two of them have the same position."""

    def __init__(self, reading: Reading, publisher: Publisher) -> None:
        self._reading = reading
        self._publisher = publisher
        self._walks = Walks(reading.view, reading.door)

    async def answer(
        self,
        request: AnyRequest,
        written: Written,
        wanted: Selection,
        since: Position,
        credential: Credential,
    ) -> Response[Any]:
        """What changed since.

        Raises:
            PositionLost: it is not known what.
            TooManyRequests: too many answers to this key are waiting.
        """
        reading, view = self._reading, self._reading.view
        self._check(since, wanted)
        if matches(request, _tag(view.position, since)):
            return Response(None, status_code=304, headers=self._headers(view.position, since))
        found = Delta(view, wanted, since.seq)
        at, records_seq = reading.clock(), view.records_seq

        def uuids() -> list[str]:
            nonlocal at, records_seq
            at, records_seq = reading.clock(), view.records_seq
            return [state.uuid for state in view.changed_since(since.seq)]

        fault: Exception | None = None

        def visit(state: StationState) -> None:
            nonlocal fault
            try:
                found.visit(state)
            except Exception as error:  # noqa: BLE001 - whoever feeds the view is not to be hurt by it
                fault = error

        text, _ = await self._walks.through(credential.key_id, uuids, visit, lambda _: "")
        if fault is not None:
            raise fault
        # What was known of the position when this had to wait may be lost by now.
        self._check(since, wanted)
        position = Position.parse(text)
        making = Making(self._publisher, at, position, records_seq, Exchange.DELTA)
        turns, parts = Turns(), [written.head(making)]
        sites = (written.site(*each) for each in found.sites())
        for number, part in enumerate(separated(sites) if written.is_separated else sites):
            parts.append(part)
            if number % STATIONS_PER_LOOK == 0:
                await turns.rest()
        body = b"".join((*parts, written.end(making)))
        zipped = None
        if len(body) >= GZIP_BYTES_MIN and takes_gzip(request):
            compress = partial(gzip.compress, body, GZIP_LEVEL, mtime=0)
            zipped = compress() if len(body) < THREAD_BYTES_MIN else await asyncio.to_thread(compress)
        return packed(request, body, zipped, written.media_type, self._headers(position, since))

    def _check(self, since: Position, wanted: Selection) -> None:
        oldest = self._reading.stream.broadcast.lost(since, Subscription(wanted), every=False)
        if oldest is not None:
            raise PositionLost(
                f"what changed since {since} is not known; the oldest position from which it is is {oldest}. "
                "Ask without `since` for all statuses, and go on from the position that comes with them"
            )

    def _headers(self, position: Position, since: Position) -> dict[str, str]:
        return {
            "etag": _tag(position, since),
            "last-modified": formatdate(self._reading.documents.changed_at // 1000, usegmt=True),
            POSITION_HEADER: str(position),
            "cache-control": "private, no-cache",
        }


def _tag(position: Position, since: Position) -> str:
    """Of the form that tags of documents have (`edges.documents`)."""
    return f'"{position}-{since.seq:016x}"'
