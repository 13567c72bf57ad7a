"""What a protocol is to the transports that carry it: pure verbs, called in the order that keeps the promise.

A push is received, submitted, and answered once what it brought is durable. A pull asks, and receives what
was answered. Must not know sockets, clocks or files; `now` is an argument.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import msgspec

from ladestrom.errors import LadestromError
from ladestrom.model import Millis, Operator, Receipt
from ladestrom.ports.calls import Ask
from ladestrom.protocols.delivery import Delivery, ParseLimits

T = TypeVar("T")


class Request(msgspec.Struct, frozen=True):
    """What an operator's system sent."""

    method: str
    path: str
    """Behind the path at which the protocol is served, without its first slash."""
    query: Mapping[str, str]
    """Values of a field that came more than once are joined by commas."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class Answer(msgspec.Struct, frozen=True):
    """What it is told."""

    status: int
    body: bytes
    media_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


ReadBack = Callable[[Request], Awaitable[Answer]]
"""Answers GET on the path of a push, where its senders may read what they sent.

Raises:
    LadestromError: `Push.refuse` says so in the protocol's own words.
"""


class Push(Protocol):
    """A protocol in which operators' systems send, over HTTP."""

    name: str

    def receive(self, request: Request, operator: Operator, limits: ParseLimits) -> Delivery:
        """Reads one request, a POST, of this operator: `operator.name` is the reports' source.

        Raises:
            LadestromError: nothing of it is used; `refuse` says so in the protocol's own words.
        """
        ...

    def answer(self, request: Request, delivery: Delivery, receipt: Receipt) -> Answer:
        """What is told once it is durable."""
        ...

    def refuse(self, request: Request, error: LadestromError) -> Answer:
        """What is told where nothing was taken: a wrong key, an unreadable body, a full queue.

        The request's body is empty where it was not read. Headers that the error asks for (RFC 9110:
        `Retry-After`, ...) are the transport's.
        """
        ...


class PullSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One source that is asked."""

    source: str
    """Name of the operator whose statuses it brings."""
    address: str
    secret: str | None = None
    """A token; the protocol says how it is shown."""
    options: Mapping[str, str] = msgspec.field(default_factory=dict)
    """What the protocol needs beside (`provider_id`, ...)."""
    limits: ParseLimits = ParseLimits()
    may_register: bool = False
    """Whether stations are wanted for the registry; without it they need not be read."""
    parties: tuple[str, ...] = ()
    """The operator's own (`NOABC`)."""
    own_party: str = ""
    """Ours, where the protocol says who asks."""


Memory = Mapping[str, str]
"""What a pull keeps from one round to the next (an ETag, the last `date_from`); kept over restarts."""
PARTIAL: Final = "partial"
"""In a memory, why the round brought part of what there is; shown to who runs the server."""


class Reading(msgspec.Struct, frozen=True):
    """Work on what came back. The transport does it in a process of its own where that is large."""

    work: Callable[[], Any]
    """Pure, and made of what can be pickled: a function of a module, its arguments by `partial`."""
    size_bytes: int
    """Of what is read."""


Part = Generator[Ask | Reading | Delivery, Any, T]
"""Part of a round: each `Ask` is sent what came back (`Answered`), each `Reading` what its work gives, or it
raises what that raises, and each `Delivery` is sent its receipt (`Receipt`)."""
Round = Part[Memory]
"""One round; it returns what to remember.

Raises what `Push.receive` does; the memory of the round before holds then.
"""


def reading(body: bytes, work: Callable[[], T]) -> Part[T]:
    """What `work` (see `Reading`) makes of a body."""
    read: T = yield Reading(work, len(body))
    return read


def inline(conversation: Round) -> Generator[Ask | Delivery, Any, Memory]:
    """The same round, with everything read at once."""
    proceed: Callable[[], Ask | Reading | Delivery] = partial(next, conversation)
    try:
        while True:
            step = proceed()
            if not isinstance(step, Reading):
                proceed = partial(conversation.send, (yield step))
                continue
            try:
                proceed = partial(conversation.send, step.work())
            except Exception as error:  # noqa: BLE001 - whatever it is, the round may know what to do
                proceed = partial(conversation.throw, error)
    except StopIteration as over:
        memory: Memory = over.value
        return memory
    finally:
        conversation.close()


Pull = Callable[[PullSettings, Memory, Millis], Round]
"""A protocol in which we ask."""


class Stream(Protocol):
    """A protocol in which we keep a connection, and are told.

    A function of a module, as large messages are read in a process of their own.
    """

    def __call__(self, frame: bytes, source: str, limits: ParseLimits) -> Delivery:
        """Reads one message. One that tells of no EVSE is an empty delivery.

        Raises:
            LadestromError: nothing of it is used.
        """
        ...
