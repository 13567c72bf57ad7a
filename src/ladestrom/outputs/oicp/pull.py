"""`POST /api/oicp/evsepull/...`: statuses and stations as EMPs pull them from a hub.

What is asked wrongly is refused as OICP does it, with 200 and a StatusCode; a request that this server has no
room for, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ladestrom.core.access import Credential
from ladestrom.core.choice import Choice
from ladestrom.core.oicp import UNAUTHORIZED
from ladestrom.core.selection import Selection
from ladestrom.core.view import is_listed
from ladestrom.edges.answers import COMPRESSED, AnyRequest
from ladestrom.edges.documents import POSITION_HEADER, Form, Tally
from ladestrom.edges.output import Reading
from ladestrom.edges.query import known, whole_number
from ladestrom.edges.walks import large_answer
from ladestrom.errors import BadRequest, LadestromError
from ladestrom.ingest.http_push import read_body
from ladestrom.model import Millis, evse_key
from ladestrom.outputs.oicp import questions
from ladestrom.outputs.oicp.crawls import Crawl, Crawls, Wanted
from ladestrom.outputs.oicp.encoder import (
    DONE,
    JSON,
    PULLED,
    Asked,
    Part,
    PulledRecord,
    StatusCode,
    Statuses,
    identified,
)
from ladestrom.outputs.oicp.questions import (
    NO_STATUS,
    PullData,
    PullStatuses,
    PullStatusesById,
    PullStatusesByOperator,
    Refused,
    data_error,
)
from ladestrom.quoting import quoted
from ladestrom.reader.subscriptions import Subscription

BODY_BYTES_MAX: Final = 64 * 1024
"""A hundred ids have 6 KB, a thousand operators 10 KB."""
PATH: Final = "/api/oicp/evsepull"
STATUSES: Final = f"{PATH}/v21/providers/{{provider:str}}/status-records"
BY_ID: Final = f"{STATUSES}-by-id"
BY_OPERATOR: Final = f"{STATUSES}-by-operator-id"
DATA: Final = f"{PATH}/v23/providers/{{provider:str}}/data-records"
SIZE: Final = 20
SIZE_MAX: Final = 2_000
"""As Hubject has them."""
PAGES_MAX: Final = 10_000_000
FORM: Final = "oicp_pull"

DATA_FORM: Final = "oicp_data"


class EvseStatuses(msgspec.Struct, frozen=True):
    """EvseStatusesType, of an answer without any."""

    operators: list[Any] = msgspec.field(name="OperatorEvseStatus")


class NoStatuses(msgspec.Struct, frozen=True):
    """eRoamingEvseStatus that is a refusal: it must have statuses, and has none."""

    statuses: EvseStatuses = msgspec.field(name="EvseStatuses")
    status: StatusCode = msgspec.field(name="StatusCode")


class StatusRecords(msgspec.Struct, frozen=True):
    """EvseStatusRecordsType."""

    records: list[PulledRecord] = msgspec.field(name="EvseStatusRecord")


class StatusesById(msgspec.Struct, frozen=True, omit_defaults=True):
    """eRoamingEvseStatusByID."""

    status: StatusCode = msgspec.field(name="StatusCode")
    records: StatusRecords | None = msgspec.field(default=None, name="EVSEStatusRecords")
    """In the order in which they were asked for; none in a refusal."""


class DataPage(msgspec.Struct, frozen=True):
    """A page of EvseDataRecords."""

    content: list[msgspec.Raw]
    number: int
    size: int
    numberOfElements: int  # noqa: N815 - OICP's
    totalElements: int  # noqa: N815 - likewise
    totalPages: int  # noqa: N815 - likewise
    first: bool
    last: bool
    status: StatusCode = msgspec.field(name="StatusCode")


class Fault(msgspec.Struct, frozen=True):
    """What is answered where data cannot be."""

    status: StatusCode = msgspec.field(name="StatusCode")


def handlers(reading: Reading) -> list[HTTPRouteHandler]:
    """The resources of EMPs."""
    pull = _Pull(reading)
    options: Mapping[str, Any] = {"status_code": 200, "opt": {COMPRESSED: True}}

    @post(STATUSES, **options)
    async def statuses(request: AnyRequest, provider: FromPath[str]) -> Response[Any]:
        """All statuses, or those around a place or of one word."""
        return await pull.statuses(request, provider)

    @post(BY_ID, **options)
    async def statuses_by_id(request: AnyRequest, provider: FromPath[str]) -> Response[Any]:
        """The statuses of some EVSEs."""
        return await pull.by_id(request, provider)

    @post(BY_OPERATOR, **options)
    async def statuses_by_operator(request: AnyRequest, provider: FromPath[str]) -> Response[Any]:
        """The statuses of some operators' EVSEs."""
        return await pull.by_operator(request, provider)

    @post(DATA, **options)
    async def data(request: AnyRequest, provider: FromPath[str]) -> Response[Any]:
        """Stations, in pages of EVSEs."""
        return await pull.data(request, provider)

    return [statuses, statuses_by_id, statuses_by_operator, data]


class _Pull:
    """All that is asked over one view."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._crawls = Crawls(reading.view, reading.door, self._note)

    def _note(self, crawl: Crawl, wanted: Wanted) -> None:
        documents = self._reading.documents
        tally = documents.tallies.setdefault(DATA_FORM, Tally())
        tally.made += 1
        tally.made_at = self._reading.clock()
        if wanted == Wanted():
            tally.position, tally.whole_at = str(crawl.position), tally.made_at
            tally.evses, tally.left_out = len(crawl.keys), crawl.left_out

    async def _within(
        self,
        request: AnyRequest,
        answer: Callable[[Credential], Coroutine[Any, Any, Response[Any]]],
        refusal: Callable[[StatusCode], msgspec.Struct],
    ) -> Response[Any]:
        """The answer, or a refusal in the words of OICP."""
        try:
            return await answer(self._reading.door.look(request.headers))
        except Refused as error:
            return await _sent(request, refusal(error.status))
        except LadestromError as error:
            if error.status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                raise
            return await _sent(request, refusal(Refused(UNAUTHORIZED, str(error)).status))

    async def statuses(self, request: AnyRequest, provider: str) -> Response[Any]:
        """Answers eRoamingPullEvseStatus."""

        async def answer(credential: Credential) -> Response[Any]:
            asked = await _read(request, PullStatuses, provider)
            within = questions.circle(asked.center)
            selected = questions.selected(within, asked.status or asked.status_capitals)
            return await self._by_operator(request, credential, Asked(within=within), selected)

        return await self._within(request, answer, _no_statuses)

    async def by_operator(self, request: AnyRequest, provider: str) -> Response[Any]:
        """Answers eRoamingPullEvseStatusByOperatorID."""

        async def answer(credential: Credential) -> Response[Any]:
            asked = await _read(request, PullStatusesByOperator, provider)
            wanted = Asked(operators=questions.operators(asked.operators))
            return await self._by_operator(request, credential, wanted, Selection())

        return await self._within(request, answer, _no_statuses)

    async def _by_operator(
        self, request: AnyRequest, credential: Credential, asked: Asked, selected: Selection
    ) -> Response[Any]:
        documents = self._reading.documents
        form: Form[Part] = Form(
            name=FORM,
            media_type=JSON,
            encoder=lambda: Statuses(PULLED, asked),
            variant=None if asked == Asked() else asked,
        )
        document = await documents.get(form, Choice(selected), credential.key_id)
        return await documents.sent(request, document)

    async def by_id(self, request: AnyRequest, provider: str) -> Response[Any]:
        """Answers eRoamingPullEvseStatusByID."""

        async def answer(_: Credential) -> Response[Any]:
            asked = await _read(request, PullStatusesById, provider)
            found = [PulledRecord(each, self._word(each)) for each in questions.evse_ids(asked.evses)]
            position = str(self._reading.view.position)
            return await _sent(request, StatusesById(DONE, StatusRecords(found)), position)

        return await self._within(request, answer, StatusesById)

    def _word(self, written: str) -> str:
        view = self._reading.view
        evse = view.directory.by_key(evse_key(written))
        state = None if evse is None else view.get(evse.station)
        if evse is None or state is None or view.station(state) is None or identified(evse) is None:
            return NO_STATUS
        held = state.changes.get(evse.key)
        shown = held is not None and is_listed(held.change)
        return (questions.word_of(held.change.status) if held is not None and shown else None) or NO_STATUS

    async def data(self, request: AnyRequest, provider: str) -> Response[Any]:
        """Answers eRoamingPullEvseData."""

        async def answer(credential: Credential) -> Response[Any]:
            asked = await _read(request, PullData, provider)
            number, size = _page(request)
            wanted = await self._wanted(asked)
            page = await self._crawls.page(credential.key_id, wanted, asked.notation, number, size)
            count = -(-page.total // size)
            made = DataPage(
                [msgspec.Raw(each) for each in page.records],
                number,
                size,
                len(page.records),
                page.total,
                count,
                number == 0,
                number >= count - 1,
                DONE,
            )
            return await _sent(request, made, str(page.position))

        return await self._within(request, answer, Fault)

    async def _wanted(self, asked: PullData) -> Wanted:
        within = questions.circle(asked.center)
        if within is not None and asked.last_call is not None:
            raise data_error("SearchCenter and LastCall exclude each other; omit one of them")
        selection = questions.selected(within)
        if asked.countries:
            selection = msgspec.structs.replace(selection, country=questions.countries(asked.countries))
        if asked.renewable or asked.compatible or asked.calibration:
            # No record says so.
            selection = questions.NOBODY
        return Wanted(
            selection,
            within,
            questions.operators(asked.operators) if asked.operators else frozenset(),
            frozenset(asked.accessibility or ()),
            frozenset(asked.modes or ()),
            bool(asked.open_always),
            None if asked.last_call is None else await self._since(asked.last_call),
        )

    async def _since(self, written: str) -> int:
        """The position at an instant.

        Raises:
            Refused: it is none, or it is not known what changed since.
            LogFailure: the log cannot be read now.
        """
        at = _instant(written)
        broadcast = self._reading.stream.broadcast
        if broadcast.lost(at, Subscription(Selection()), every=False) is not None:
            raise data_error(
                f"LastCall is {quoted(written, 40)}, and what changed since is not known any more; "
                "ask without LastCall for all records"
            )
        return min(await self._reading.log.before(at), self._reading.view.seq)


def _no_statuses(status: StatusCode) -> NoStatuses:
    return NoStatuses(EvseStatuses([]), status)


def _page(request: AnyRequest) -> tuple[int, int]:
    """Number and size of the page.

    Raises:
        Refused: one of them is none, or the query says something else.
    """
    try:
        query = known(request.query_params.multi_items(), ("page", "size"))
        return whole_number(query, "page", 0, 0, PAGES_MAX), whole_number(query, "size", SIZE, 1, SIZE_MAX)
    except BadRequest as error:
        raise data_error(str(error)) from error


def _instant(written: str) -> Millis:
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        raise data_error(f"LastCall is {quoted(written, 40)}; write a time as RFC 3339 has it") from None
    return round((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1_000)


async def _read(request: AnyRequest, kind: type[questions.T], provider: str) -> questions.T:
    body = await read_body(request.headers, request.receive, BODY_BYTES_MAX)
    return questions.read(body, kind, provider)


async def _sent(request: AnyRequest, content: msgspec.Struct, position: str = "") -> Response[Any]:
    answer = await large_answer(request, msgspec.json.encode(content), None)
    if position:
        answer.headers[POSITION_HEADER] = position
    return answer
