"""Documents: outputs that are one whole, made once for all who ask, sent to each as fast as it takes them.

Knows views, requests and bytes; not what any document says (`formats.documents.Encoder`). A document of one
form and one selection is made at most once a second, in turns with all else of the loop; it is kept while
somebody asks for it. Its bytes are never joined: they are sent, packed and compared in chunks (`bodies`).
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from itertools import chain
from typing import Any, Final, Generic, TypeVar

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from ladestrom.core.access import Credential
from ladestrom.core.choice import Choice
from ladestrom.core.features import FEATURES, features
from ladestrom.core.selection import EVSE_FILTERS, selection
from ladestrom.core.view import StationState, View, is_listed
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.answers import COMPRESSED, AnyRequest, Asking, matches, takes_gzip
from ladestrom.edges.bodies import Body, packed, unpacked
from ladestrom.edges.once import Once
from ladestrom.edges.query import known
from ladestrom.edges.walks import GZIP_BYTES_MIN, THREAD_BYTES_MIN, Walks
from ladestrom.errors import LadestromError
from ladestrom.formats import licences
from ladestrom.formats.documents import HIDDEN, Encoder, LeftOut, Seen
from ladestrom.model import Millis, Position, Station
from ladestrom.tasks import Turns

T = TypeVar("T")

INTERVAL_S_MIN: Final = 1.0
"""Between two times that a document begins to be made: what is asked for meanwhile may be so old."""
MAKING_SHARE: Final = 4
"""A document that takes long to make is made at most this part of the time."""
KEPT_BYTES_MAX: Final = 128 * 1024 * 1024
"""Of all documents as they are kept. What was not asked for longest is dropped first."""
KEPT_MAX: Final = 1_000
"""Documents, likewise."""
KEPT_IDLE_S: Final = 60.0
SENDING_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of documents that are not kept any more, as there is a newer one, and are still being sent. Beyond it,
those who took longest over theirs are cut off."""
SENT_GRACE_S: Final = 30.0
SENT_BYTES_PER_S_MIN: Final = 16 * 1024
"""Who takes less of a document is cut off, once the time of grace is over."""
PIECES_PER_LOOK: Final = 64
"""Joined between two looks at the clock."""
CUT: Final = "ladestrom.cut"
"""In the scope's extensions: ends the connection at once (`server.http`)."""
FILTERS: Final = EVSE_FILTERS | FEATURES
EVERYTHING: Final = Choice()
MINUTE_MS: Final = 60_000
POSITION_HEADER: Final = "ladestrom-position"


class Kind(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A kind of document, as it is told of and sent."""

    name: str
    """Of the output, in metrics and for whoever runs the server."""
    media_type: str
    headers: Mapping[str, str] = {}
    """Beside those that all documents have."""
    variant: Hashable = None
    """What tells it from others of its name: what its encoder leaves away beside the selection."""


class Form(Kind, Generic[T], frozen=True, kw_only=True, eq=False):
    """One that is made as a whole."""

    encoder: Callable[[], Encoder[T]]
    """Makes what makes one document."""
    is_timed: bool = False
    """Whether it says when states were last observed, so that a confirmation makes another document."""


class Wrapping(msgspec.Struct, frozen=True):
    """What is put around a document for one consumer, such as the call of a function."""

    media_type: str
    before: bytes
    after: bytes


class Document:
    """One that was made."""

    __slots__ = (
        "begun_s",
        "chunks",
        "digest",
        "form",
        "gzip",
        "interval_s",
        "licences",
        "made_of",
        "modified_s",
        "packing",
        "position",
        "size",
        "tag",
        "used_s",
    )

    def __init__(self, form: Kind, body: Body, digest: bytes, position: Position) -> None:
        self.form = form
        self.chunks = body.chunks
        """As they are; None where they are kept packed alone."""
        self.size = body.size
        self.digest = digest
        self.position = position
        """At which it holds. Not always the one at which it began to."""
        self.tag = f"{position}-{digest.hex()}"
        self.gzip = body.packed
        """The same, packed: of a large one, or once somebody wanted it so."""
        self.packing = asyncio.Lock()
        self.licences: Sequence[str] = ()
        """Addresses of the licences of what is in it."""
        self.modified_s = 0
        """Seconds since the Unix epoch."""
        self.made_of = (0, 0)
        self.begun_s = 0.0
        self.used_s = 0.0
        self.interval_s = INTERVAL_S_MIN

    @property
    def kept_bytes(self) -> int:
        return (0 if self.chunks is None else self.size) + sum(map(len, self.gzip or ()))

    async def packed(self) -> Sequence[bytes]:
        """Its bytes with gzip."""
        async with self.packing:
            if self.gzip is None:
                chunks = self.chunks or ()
                self.gzip = (
                    packed(chunks)
                    if self.size < THREAD_BYTES_MIN
                    else await asyncio.to_thread(packed, chunks)
                )
            return self.gzip


class Tally(msgspec.Struct):
    """What is known of one form's documents since the server started."""

    made: int = 0
    worked_s: float = 0.0
    """Taken of the loop."""
    made_at: Millis = 0
    """When the last one was begun, whatever its selection."""
    position: str = ""
    """Of the last one without filters, as is all that follows; empty while there was none."""
    whole_at: Millis = 0
    bytes: int = 0
    evses: int = 0
    left_out: LeftOut = msgspec.field(default_factory=LeftOut)


Key = tuple[str, Hashable, Choice]
Made = Document | LadestromError


class Documents:
    """All documents over one view."""

    def __init__(self, view: View, door: Doorkeeper, clock: Callable[[], Millis], licence: str = "") -> None:
        """None is made yet. `licence` is that of all data, as the settings say it."""
        self.tallies: dict[str, Tally] = {}
        """By name of the form; of those that were made."""
        self.swept: list[Callable[[], None]] = []
        """Called whenever what nobody asks for is dropped."""
        self.changed_at = clock()
        """When the view took its last entry, for which whoever feeds it says `moved`."""
        self._view = view
        self._door = door
        self.clock = clock
        self._licence = licence
        self._walks = Walks(view, door)
        self._kept: OrderedDict[Key, Document] = OrderedDict()
        """The one that was not asked for longest comes first."""
        self._once: Once[Key, Document] = Once("document")
        self._sending: OrderedDict[int, _Sending] = OrderedDict()
        """By the identity of the document's chunks, in the order in which they began to be sent."""

    @property
    def kept_bytes(self) -> int:
        """Of all that are kept."""
        return sum(document.kept_bytes for document in self._kept.values())

    def moved(self, at: Millis | None = None) -> None:
        """The view took entries just now, or with `at`, its last one was taken then."""
        self.changed_at = self.clock() if at is None else at

    # -- answers -----------------------------------------------------------------------------------------

    def route(self, path: str, form: Form[Any]) -> HTTPRouteHandler:
        """Where a document is asked for, with the filters of lists; by visitors too, where these look."""

        @get(path, opt={COMPRESSED: True})
        async def document(request: AnyRequest) -> Response[Any]:
            """The document."""
            credential = self._door.look(request.headers)
            query = known(request.query_params.multi_items(), FILTERS)
            return await self.answer(request, form, self.chosen(query), credential)

        return document

    def chosen(self, query: Mapping[str, str]) -> Choice:
        """What a request's filters choose.

        Raises:
            InvalidSelection: one of them cannot be understood.
        """
        selected, wanted = selection(query, names=EVSE_FILTERS), features(query)
        # What is open now is of one minute: those who ask within it ask for the same.
        at = self.clock() // MINUTE_MS * MINUTE_MS if wanted.open_now else 0
        return Choice(selected, wanted, at)

    async def answer(
        self, request: AnyRequest, form: Form[Any], wanted: Choice, credential: Credential
    ) -> Response[Any]:
        """The document, or that the consumer has it; of a handler with the option `COMPRESSED`.

        Raises:
            TooManyRequests: this key has too many other documents made.
        """
        document = await self.get(form, wanted, credential.key_id)
        return await self.sent(request, document, is_conditional=True)

    async def sent(
        self,
        request: Asking,
        document: Document,
        *,
        is_conditional: bool = False,
        headers: Mapping[str, str] | None = None,
        wrapping: Wrapping | None = None,
    ) -> Response[Any]:
        """The answer with a document; of a handler with the option `COMPRESSED`.

        Args:
            request: what it is for.
            document: what is sent.
            is_conditional: whether a consumer that has it is told so. GET is.
            headers: sent too, in either case.
            wrapping: what is put around it for this one; it is not packed then.
        """
        is_packed = wrapping is None and document.size >= GZIP_BYTES_MIN and takes_gzip(request)
        tag = f'"{document.tag}-gzip"' if is_packed else f'"{document.tag}"'
        shared = "public" if self._door.visitors else "private"
        told = {
            "etag": tag,
            "last-modified": _http_date(document.modified_s),
            POSITION_HEADER: str(document.position),
            "cache-control": f"{shared}, max-age={math.ceil(document.interval_s)}",
            "vary": "accept-encoding",
            **document.form.headers,
        }
        if document.licences:
            told["link"] = ", ".join(f'<{one}>; rel="license"' for one in document.licences)
        told.update(headers or {})
        if is_conditional and _has(request, tag, document.modified_s):
            return Response(None, status_code=304, headers=told)
        chunks = document.chunks
        if is_packed or chunks is None:
            before = document.gzip
            chunks = await document.packed()
            if before is None:
                self._drop()
        media_type = document.form.media_type
        if is_packed:
            told["content-encoding"] = "gzip"
            return _DocumentResponse(self, chunks, media_type, told)
        is_unpacked = document.chunks is None
        unpacked_size = document.size if is_unpacked else None
        if wrapping is not None:
            media_type = wrapping.media_type
        return _DocumentResponse(self, chunks, media_type, told, unpacked_size, wrapping)

    async def get(self, form: Form[Any], wanted: Choice, key_id: str) -> Document:
        """The document: one that is kept and is not older than may be, or a new one.

        Raises:
            TooManyRequests: this key has too many other documents made.
        """
        key = (form.name, form.variant, wanted)
        while True:
            now_s = asyncio.get_running_loop().time()
            kept = self._kept.get(key)
            if kept is not None and (
                kept.made_of == self._state(form) or now_s - kept.begun_s < kept.interval_s
            ):
                kept.used_s = now_s
                self._kept.move_to_end(key)
                return kept
            made = await self._once.made(key, lambda: self._make(form, wanted, key_id))
            if made is not None:
                return made

    def licences(self, registers: Iterable[str]) -> Sequence[str]:
        """Addresses of the licences of what is from registers with these licences."""
        found = {licences.address(one) for one in (self._licence, *registers)}
        return sorted(one for one in found if one is not None)

    def sweep(self) -> None:
        """Drops what nobody asks for any more."""
        for each in self.swept:
            each()
        now_s = asyncio.get_running_loop().time()
        for key, document in list(self._kept.items()):
            if now_s - document.used_s < KEPT_IDLE_S:
                break
            del self._kept[key]
        self._drop()

    # -- making ------------------------------------------------------------------------------------------

    def _state(self, form: Form[Any]) -> tuple[int, int]:
        """What a document made now would be made of."""
        return self._view.seq, self._view.confirmations if form.is_timed else 0

    async def _make(self, form: Form[T], wanted: Choice, key_id: str) -> Made:
        making = _Making(self._view, form, wanted)
        try:
            await self._walks.through(
                key_id,
                lambda: making.begin(self.clock(), self.changed_at),
                making.visit,
                lambda view: str(view.position),
            )
        except LadestromError as error:
            return error
        if making.fault is not None:
            raise making.fault
        body, digest = await making.assembled()
        key = (form.name, form.variant, wanted)
        before = self._kept.pop(key, None)
        made = Document(form, body, digest, making.position)
        made.licences = self.licences(making.licences)
        is_by_clock = form.is_timed or wanted.features.open_now
        made.modified_s = modified_s(making.begun_at, None if is_by_clock else making.changed_at)
        if before is not None and before.digest == digest:
            # The position moved on, and nothing of this changed: those who have it have it still.
            before.position, made = making.position, before
        made.made_of = making.made_of
        made.begun_s, made.used_s = making.begun_s, asyncio.get_running_loop().time()
        made.interval_s = making.interval_s
        self._kept[key] = made
        self._note(making, made)
        self._drop()
        return made

    def _note(self, making: _Making[Any], made: Document) -> None:
        tally = self.tallies.setdefault(made.form.name, Tally())
        tally.made += 1
        tally.worked_s += making.worked_s
        tally.made_at = making.begun_at
        if making.wanted == EVERYTHING and made.form.variant is None:
            tally.position, tally.whole_at, tally.bytes = str(made.position), making.begun_at, made.size
            tally.evses, tally.left_out = making.evses, making.encoder.left_out

    # -- keeping and sending -----------------------------------------------------------------------------

    def _drop(self) -> None:
        """What is too much: kept documents first, then consumers that have been taking old ones for long."""
        kept = self.kept_bytes
        while len(self._kept) > (KEPT_MAX if kept <= KEPT_BYTES_MAX else 1):
            _, dropped = self._kept.popitem(last=False)
            kept -= dropped.kept_bytes
        current = {id(each) for document in self._kept.values() for each in (document.chunks, document.gzip)}
        old = [sending for number, sending in self._sending.items() if number not in current]
        size = sum(sending.size for sending in old)
        for sending in old:
            if size <= SENDING_BYTES_MAX:
                break
            size -= sending.size
            for deadline in sending.deadlines:
                if not deadline.expired():
                    deadline.reschedule(0)

    def begin_sending(self, chunks: Sequence[bytes], deadline: asyncio.Timeout) -> None:
        """Somebody takes these bytes from now on; who is told that its time is up has to let go of them."""
        sending = self._sending.get(id(chunks))
        if sending is None:
            sending = self._sending[id(chunks)] = _Sending(chunks, set())
        sending.deadlines.add(deadline)

    def end_sending(self, chunks: Sequence[bytes], deadline: asyncio.Timeout) -> None:
        """It does not any more."""
        sending = self._sending[id(chunks)]
        sending.deadlines.discard(deadline)
        if not sending.deadlines:
            del self._sending[id(chunks)]


class _Sending:
    """Those who take the same bytes."""

    __slots__ = ("chunks", "deadlines", "size")

    def __init__(self, chunks: Sequence[bytes], deadlines: set[asyncio.Timeout]) -> None:
        self.chunks = chunks
        self.size = sum(map(len, chunks))
        self.deadlines = deadlines


class Making(ABC):
    """What is made of all stations that were chosen, in the making."""

    def __init__(self, view: View, wanted: Choice) -> None:
        self.wanted = wanted
        self.position = view.position
        self.begun_at, self.begun_s = 0, 0.0
        self.changed_at = 0
        """When the view had taken its last entry."""
        self.worked_s = 0.0
        """Taken of the loop."""
        self.evses = 0
        """That were selected."""
        self.licences: set[str] = set()
        """Of the registers that its stations are from."""
        self.fault: Exception | None = None
        self._view = view
        self._time = asyncio.get_running_loop().time
        self._order: Sequence[str] = ()

    def begin(self, at: Millis, changed_at: Millis) -> Sequence[str]:
        """It is of this moment. Gives the stations to visit, in order."""
        view, wanted = self._view, self.wanted
        self.position = view.position
        self.begun_at, self.begun_s = at, self._time()
        self.changed_at = changed_at
        self._order = sorted(wanted.selection.station) if wanted.selection.station else view.uuids()
        return self._order

    def visit(self, state: StationState) -> None:
        """Takes a station. Whoever feeds the view may call this, and is not to be hurt by it."""
        if self.fault is not None:
            return
        started_s = self._time()
        try:
            self.take(state)
        except Exception as error:  # noqa: BLE001 - it is raised where what is made is waited for
            self.fault = error
        self.worked_s += self._time() - started_s

    @abstractmethod
    def take(self, state: StationState) -> None:
        """Takes a station."""
        ...

    def licensed(self, station: Station) -> None:
        """It has something of this station."""
        if station.details.licence is not None:
            self.licences.add(station.details.licence)

    @property
    def interval_s(self) -> float:
        """How old what is made may be before it is made again."""
        return max(INTERVAL_S_MIN, MAKING_SHARE * self.worked_s)


class _Making(Making, Generic[T]):
    """A document in the making."""

    def __init__(self, view: View, form: Form[T], wanted: Choice) -> None:
        super().__init__(view, wanted)
        self.encoder = form.encoder()
        self.made_of = (0, 0)
        self._is_timed = form.is_timed
        self._parts: dict[str, T] = {}

    def begin(self, at: Millis, changed_at: Millis) -> Sequence[str]:
        """It is of this moment, confirmations too."""
        self.made_of = (self._view.seq, self._view.confirmations if self._is_timed else 0)
        return super().begin(at, changed_at)

    def take(self, state: StationState) -> None:
        """Takes a station: its part of the document."""
        seen = self._seen(state)
        part = None if seen is None else self.encoder.part(seen)
        if seen is not None and part is not None:
            self._parts[state.uuid] = part
            self.licensed(seen.station)

    def _seen(self, state: StationState) -> Seen | None:
        view, wanted = self._view, self.wanted
        station = view.station(state)
        if station is None or not wanted.selection.covers(station, (), state.sources()):
            return None
        listed = []
        for evse in station.evses:
            held = state.changes.get(evse.key)
            if held is None:
                continue
            if is_listed(held.change):
                listed.append((evse, held))
            else:
                self.encoder.left_out.add(evse, HIDDEN)
        chosen = listed if wanted == EVERYTHING else list(wanted.evses(station, state))
        if not chosen:
            return None
        self.evses += len(chosen)
        return Seen(station, view.records[station.uuid].seq, listed, chosen, view.observed_at)

    async def assembled(self) -> tuple[Body, bytes]:
        """Its bytes, and a digest of what of them does not depend on the position. To be asked for once."""
        turns = Turns()
        digest = hashlib.blake2b(digest_size=8)
        body = Body()
        body.add(self.encoder.head(self.position))
        taken = self._taken()
        for count, piece in enumerate(self.encoder.pieces(taken)):
            body.add(piece)
            digest.update(piece)
            if count % PIECES_PER_LOOK == 0:
                await turns.rest()
        body.end()
        self.worked_s += turns.worked_s
        return body, digest.digest()

    def _taken(self) -> Iterator[T]:
        for uuid in self._order:
            part = self._parts.pop(uuid, None)
            if part is not None:
                yield part


class _DocumentResponse(Response[None]):
    """A document on its way to one consumer."""

    def __init__(
        self,
        documents: Documents,
        chunks: Sequence[bytes],
        media_type: str,
        headers: Mapping[str, str],
        unpacked_size: int | None = None,
        wrapping: Wrapping | None = None,
    ) -> None:
        """`unpacked_size` is that of what these are packed of, where that is sent."""
        super().__init__(None, media_type=media_type, headers=dict(headers))
        self.documents = documents
        self.chunks = chunks
        self.unpacked_size = unpacked_size
        self.around = (b"", b"") if wrapping is None else (wrapping.before, wrapping.after)

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:  # noqa: ANN401 - Litestar's form
        """Implements `Response.to_asgi_response`."""
        size = sum(map(len, self.chunks)) if self.unpacked_size is None else self.unpacked_size
        size += sum(map(len, self.around))
        made = _SentInChunks(
            headers={name: value for name, value in self.headers.items() if value is not None},
            media_type=self.media_type,
            status_code=200,
            content_length=size,
        )
        made.documents, made.chunks, made.size = self.documents, self.chunks, size
        made.is_unpacked = self.unpacked_size is not None
        made.around = self.around
        return made


class _SentInChunks(ASGIResponse):
    """Sends one chunk when the one before was taken."""

    documents: Documents
    chunks: Sequence[bytes]
    size: int
    is_unpacked: bool
    around: tuple[bytes, bytes]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's form
        """Implements the ASGI application."""
        await self.start_response(send=send)
        try:
            async with asyncio.timeout(SENT_GRACE_S + self.size / SENT_BYTES_PER_S_MIN) as deadline:
                self.documents.begin_sending(self.chunks, deadline)
                try:
                    chunks: Iterable[bytes] = unpacked(self.chunks) if self.is_unpacked else self.chunks
                    left, (before, after) = self.size, self.around
                    for chunk in chain(filter(None, (before,)), chunks, filter(None, (after,))):
                        left -= len(chunk)
                        await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
                finally:
                    self.documents.end_sending(self.chunks, deadline)
        except TimeoutError:
            cut = (scope.get("extensions") or {}).get(CUT)
            if cut is None:
                raise
            cut["cut"]()
            while (await receive())["type"] != "http.disconnect":
                pass


def modified_s(begun_at: Millis, changed_at: Millis | None) -> int:
    """When what was begun then became what it is, in whole seconds: two that differ begin a second apart at
    least, so no two have the same. `changed_at` is when the view took its last entry; None for what depends
    on the clock.
    """
    at = begun_at // 1000
    return at if changed_at is None else min(at, changed_at // 1000 + 1)


def application(response: Response[Any]) -> ASGIResponse:
    """The ASGI application of what `Documents.sent` gives."""
    if isinstance(response, _DocumentResponse):
        return response.to_asgi_response()
    return ASGIResponse(status_code=response.status_code, headers=dict(response.headers))


def _has(request: Asking, tag: str, modified_s: int) -> bool:
    """Whether the consumer has the document (RFC 9110, section 13.2.2): the date counts without tags only."""
    if "if-none-match" in request.headers:
        return matches(request, tag)
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        return modified_s <= parsedate_to_datetime(since).timestamp()
    except (ValueError, OverflowError, TypeError):
        # Section 13.1.3: what is no date is ignored.
        return False


def _http_date(at_s: int) -> str:
    return format_datetime(datetime.fromtimestamp(at_s, UTC), usegmt=True)
