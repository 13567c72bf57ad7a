"""`GET /api/v2/catalogue`: made of the table of outputs and of their contracts, so that none is forgotten."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from email.utils import formatdate
from typing import Any, Final

import msgspec
from litestar import Response, get

from ladestrom.core.access import Scope
from ladestrom.edges.answers import AnyRequest, matches, root_of
from ladestrom.edges.contract.rows import WS, Operation, Part
from ladestrom.edges.documents import POSITION_HEADER
from ladestrom.edges.output import Opened, Reading
from ladestrom.edges.query import known
from ladestrom.model import Millis
from ladestrom.outputs import OUTPUTS, Output
from ladestrom.outputs.catalogue.encoder import MEDIA_TYPE, About, Dataset, Offered, catalogue

PATH: Final = "/api/v2/catalogue"
JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
KEPT_MAX: Final = 16
"""Documents that are kept: one for each address under which clients reach the server."""
FACTS_MS: Final = 60_000
"""How old may be what is said of the stations: their countries and licences."""
NOT_TOLD: Final = frozenset({"text/javascript"})
"""Media types of what is another form's content, for scripts."""


def datasets() -> list[Dataset]:
    """All outputs that tell of stations or statuses."""
    return [_dataset(output) for output in OUTPUTS if output.tells]


def _dataset(output: Output) -> Dataset:
    return Dataset(
        name=output.name,
        title=output.title,
        tells=output.tells,
        standard=output.standard,
        offered=[*_begun(output), *_offered(output.contract)],
    )


def _begun(output: Output) -> Iterator[Offered]:
    if output.address:
        first = output.contract.operations[0]
        yield Offered(
            path=output.address, title=first.summary, description=first.description, media_type=JSON
        )


def _offered(part: Part) -> Iterator[Offered]:
    streams = {channel.path for channel in part.channels}
    for operation in part.operations:
        if operation.path in streams or not _is_had(operation):
            continue
        for media_type in _media_types(operation):
            yield Offered(
                path=operation.path,
                title=operation.summary,
                description=operation.description,
                media_type=media_type,
            )
    for channel in part.channels:
        yield Offered(
            path=channel.path,
            title=channel.title,
            description=channel.description.partition("\n\n")[0].replace("\n", " ").strip(),
            media_type=JSON if channel.server == WS else EVENTS,
            is_pushed=True,
        )


def _is_had(operation: Operation) -> bool:
    """Whether it is got as a whole, by who reads."""
    return operation.method == "get" and "{" not in operation.path and operation.scope is Scope.STREAM


def _media_types(operation: Operation) -> Sequence[str]:
    content: Mapping[str, Any] = operation.answers.get(200, {}).get("content", {})
    if operation.answer is not None:
        return (JSON,)
    return [each for each in content if each not in NOT_TOLD]


class _Facts(msgspec.Struct, frozen=True):
    """What is known of the stations."""

    countries: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()


class _Catalogue:
    """That of one server, by the address under which it is asked for."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._at = reading.clock()
        self._datasets: list[Dataset] | None = None
        self._facts = _Facts()
        self._facts_of: tuple[int, Millis] = (-1, 0)
        self._made: OrderedDict[tuple[str, _Facts], bytes] = OrderedDict()

    async def body(self, root: str) -> bytes:
        """The document."""
        if self._datasets is None:
            # Contracts are loaded when somebody asks for them.
            self._datasets = await asyncio.to_thread(datasets)
        facts = self._known()
        made = self._made.get((root, facts))
        if made is None:
            style = self._reading.style
            about = About(
                root=root,
                publisher=style.publisher,
                publisher_country=style.publisher_country,
                contact=self._reading.contact,
                licences=facts.licences,
                countries=facts.countries,
                at=self._at,
            )
            made = self._made[root, facts] = msgspec.json.encode(catalogue(self._datasets, about)) + b"\n"
            while len(self._made) > KEPT_MAX:
                self._made.popitem(last=False)
        return made

    def _known(self) -> _Facts:
        """Of the stations as they are, or were a minute ago."""
        reading, view = self._reading, self._reading.view
        seq, at = self._facts_of
        now = reading.clock()
        if seq == view.records_seq or (seq >= 0 and now - at < FACTS_MS):
            return self._facts
        shown = [each for each in view.directory.stations.values() if each.vanished_at is None]
        own = reading.style.licence
        found = {own} if own else {each.details.licence for each in shown}
        self._facts = _Facts(
            tuple(sorted({each.country for each in shown})), tuple(sorted(each for each in found if each))
        )
        self._facts_of = view.records_seq, now
        return self._facts


def open(reading: Reading) -> Opened:  # noqa: A001 - what every output's edge is opened by
    """The document; like the contracts, it needs no key."""
    made = _Catalogue(reading)
    since_s = reading.clock() // 1000

    @get(PATH)
    async def document(request: AnyRequest) -> Response[Any]:
        """What is offered."""
        known(request.query_params.multi_items(), ())
        body = await made.body(root_of(request, reading.url_public))
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = {
            "etag": tag,
            "last-modified": formatdate(since_s, usegmt=True),
            POSITION_HEADER: str(reading.view.position),
            "cache-control": f"public, max-age={FACTS_MS // 1000}",
            "vary": "host",
        }
        if matches(request, tag):
            return Response(None, status_code=304, headers=headers)
        return Response(body, media_type=MEDIA_TYPE, headers=headers)

    return Opened(routes=[document])
