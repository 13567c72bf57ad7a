"""All that a protocol needs, on one made up for the purpose. Copy it to begin with another.

    {"points": [{"id": "NO*ABC*E1", "state": "free", "since": "2026-11-22T10:00:00Z"}], "next": "?page=2"}

`since` may be missing. A push brings some points; a pull asks page by page and brings all of them.

1.  Write down where what you know comes from: the specification, and its section where it decides.
2.  One vocabulary: a word that it does not have makes the EVSE UNKNOWN (`Gathering.word`); never guess.
3.  `read` takes bytes and gives a `Delivery`. It raises what it says and nothing else; one bad item costs no
    other. Golden samples and a fuzz target hold it to that.
4.  A `Push` answers in the protocol's own words; a `Pull` is a generator that asks, hands on, returns what
    to remember. Neither awaits, reads a clock or a file.
5.  One row in the table of `protocols`, or in the entry points of a package of your own. It says what the
    transport has to know: the path, whether a sender's messages are taken one after the other, ...
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Final
from urllib.parse import urljoin

import msgspec

from ladestrom.core.words import Vocabulary
from ladestrom.errors import LadestromError, MalformedBody, SourceFailure, TooLarge
from ladestrom.model import Millis, Operator, Reason, Receipt, Status
from ladestrom.ports.calls import Answered, Ask
from ladestrom.problem import MEDIA_TYPE, problem
from ladestrom.protocols import Row
from ladestrom.protocols.delivery import UNREADABLE, Delivery, Gathering, ParseLimits, millis
from ladestrom.protocols.interfaces import Answer, Memory, PullSettings, Request, Round, reading

OK: Final = 200
NOT_MODIFIED: Final = 304

STATUSES: Final = Vocabulary(
    {
        "free": Status.AVAILABLE,
        "busy": Status.CHARGING,
        "broken": Status.OUTOFORDER,
    }
)


class Point(msgspec.Struct, frozen=True, gc=False):
    """One item; unknown members are ignored."""

    id: str
    state: str
    since: datetime | None = None


class Page(msgspec.Struct, frozen=True):
    """One message."""

    points: list[msgspec.Raw]
    next: str | None = None
    """Address of the page that follows, of a pull."""


_decode_page = msgspec.json.Decoder(Page).decode
_decode_point = msgspec.json.Decoder(Point).decode


def read(body: bytes, source: str, limits: ParseLimits) -> tuple[Delivery, str | None]:
    """Reads one message: what it brings, and where the next page is.

    Raises:
        MalformedBody: it is no such message; nothing of it is used.
        TooLarge: it has more than `limits.items_max` points.
    """
    try:
        page = _decode_page(body)
    except (*UNREADABLE, msgspec.ValidationError) as error:
        raise MalformedBody(f"the message is no list of points ({error})") from error
    if len(page.points) > limits.items_max:
        raise TooLarge(f"the message has {len(page.points)} points; at most {limits.items_max} are taken")
    gathering = Gathering(source)
    for raw in page.points:
        try:
            point = _decode_point(raw)
        except (*UNREADABLE, msgspec.ValidationError) as error:
            gathering.refuse(Reason.INVALID_ITEM, str(error))
            continue
        at = None if point.since is None else millis(point.since)
        gathering.word(point.id, STATUSES.find(point.state), at, point.state)
    return gathering.delivery(), page.next


class BlueprintPush:
    """`POST`, answered with how many points were taken."""

    name = "blueprint"

    def receive(self, request: Request, operator: Operator, limits: ParseLimits) -> Delivery:
        """Reads one request.

        Raises:
            MalformedBody, TooLarge: as `read`.
        """
        return read(request.body, operator.name, limits)[0]

    def answer(self, request: Request, delivery: Delivery, receipt: Receipt) -> Answer:  # noqa: ARG002 - a push
        """Once it is durable."""
        taken = receipt.accepted + receipt.unchanged
        return Answer(OK, msgspec.json.encode({"taken": taken, "refused": len(receipt.refused)}))

    def refuse(self, request: Request, error: LadestromError) -> Answer:  # noqa: ARG002 - a push
        """Where nothing was taken. This protocol has no words of its own for that; ours are RFC 9457."""
        return Answer(error.status, problem(error), MEDIA_TYPE)


def pull(settings: PullSettings, memory: Memory, now: Millis) -> Round:  # noqa: ARG001 - a pull
    """Asks for all pages, unless the first says that nothing changed.

    Raises:
        SourceFailure: the source does not answer as it should.
        MalformedBody, TooLarge: as `read`.
    """
    headers = {"accept": "application/json"}
    if settings.secret is not None:
        headers["authorization"] = f"Bearer {settings.secret}"
    etag = memory.get("etag", "")
    url: str | None = settings.address
    first: Answered | None = None
    while url is not None:
        conditional = {"if-none-match": etag} if etag and first is None else {}
        answered = yield Ask(url, headers={**headers, **conditional})
        assert isinstance(answered, Answered)  # noqa: S101 - what an ask is sent
        if answered.status == NOT_MODIFIED and conditional:
            return memory
        if answered.status != OK:
            raise SourceFailure(f"the source answered {answered.status}")
        first = first or answered
        # Not read here: a large page is read in a process of its own.
        work = partial(read, answered.body, settings.source, settings.limits)
        delivery, following = yield from reading(answered.body, work)
        yield delivery
        url = None if following is None else urljoin(answered.url, following)
    return {"etag": first.headers.get("etag", "")} if first is not None else memory


PUSHES: Final = {
    "blueprint": Row(
        target="ladestrom.protocols._blueprint:BlueprintPush",
        help="An example.",
        path="/push/blueprint",  # as it would be if the row did not say so
        ordered=False,  # likewise: `since` says which of two words is newer
    ),
}
PULLS: Final = {
    "blueprint": Row(
        target="ladestrom.protocols._blueprint:pull",
        help="An example.",
        secret="A token: `Authorization: Bearer ...`.",  # noqa: S106 - says what it is
    ),
}
"""As the entry points of a package would name them."""
