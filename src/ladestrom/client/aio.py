"""A follower of the NOBIL real-time stream, on asyncio.

Moves frames between a socket and `session.Session`, and waits; it decides nothing. What is decided
(whether to resume, how long to stay away, what is wrong) is in `session`.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from ladestrom.client.session import (
    FRAME_BYTES_MAX,
    Fault,
    FaultKind,
    Raw,
    Session,
    Skipped,
    Snapshot,
    Update,
    refusal,
)
from ladestrom.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from websockets.http11 import Response

OPEN_TIMEOUT_S: Final = 10.0
PING_INTERVAL_S: Final = 20.0
"""A dead connection is noticed within two of these."""
CLOSE_TIMEOUT_S: Final = 2.0
FRAMES_QUEUED_MAX: Final = 64
"""Frames read ahead of the caller; above, the socket is not read, and the server conflates."""
PROBLEM_BYTES_MAX: Final = 16 * 1024


class Opened(msgspec.Struct, frozen=True):
    """A connection stands."""

    since: str | None
    """The position from which the missed updates were asked for; None asked for a snapshot."""


class Received(msgspec.Struct, frozen=True):
    """A frame, and what it meant."""

    event: Snapshot | Update | Raw | Skipped
    frame: bytes


class Lost(msgspec.Struct, frozen=True):
    """The connection has gone, or could not be made; the next one is tried by itself."""

    why: str
    retry_in_s: float
    fault: FaultKind | None = None
    """What the server did wrong, where that was the reason."""


class _Problem(msgspec.Struct):
    """RFC 9457, section 3."""

    title: str = ""
    detail: str = ""


async def follow(
    server: str,
    key: str | None,
    session: Session,
    *,
    selection: Mapping[str, str] | None = None,
    chance: Callable[[], float] = random.random,
) -> AsyncGenerator[Opened | Received | Lost, None]:
    """Follows the stream for ever, over as many connections as it takes.

    Close it with `aclose` (`contextlib.aclosing`); the socket is then closed too.

    Args:
        server: `http://HOST[:PORT]`, with the path under which the API is served, if any.
        key: sent in the `Authorization` header; None for servers that ask for none.
        session: what was known before; it is carried on, and `session.board` is up to date at each event.
        selection: query parameters of the stream: `country`, `station`, `bbox`, `operator`, `types`.
        chance: random numbers in [0, 1) for the delays.

    Raises:
        BadRequest, Unauthenticated, NotAllowed, NotFound: the server will not serve this; coming back
            without changing something is no use.
    """
    loop = asyncio.get_running_loop()
    while True:
        asked_s = 0.0
        opened_s: float | None = None
        fault: FaultKind | None = None
        try:
            async with _connection(server, key, session.since, selection or {}) as connection:
                since = session.since
                session.open()
                opened_s = loop.time()
                yield Opened(since)
                while True:
                    frame = await connection.recv(decode=False)
                    event = session.receive(frame)
                    if isinstance(event, Fault):
                        fault, why = event.kind, f"{event.kind}: {event.detail}"
                        break
                    yield Received(event, frame)
        except InvalidStatus as error:
            why, asked_s = _refused(error.response)
        except ConnectionClosed as error:
            why = _closed(error)
        except InvalidURI as error:
            raise BadRequest(str(error)) from error
        except (OSError, InvalidHandshake, TimeoutError) as error:
            why = str(error) or type(error).__name__
        lasted_s = 0.0 if opened_s is None else loop.time() - opened_s
        wait_s = session.lose(chance(), lasted_s=lasted_s, retry_after_s=asked_s)
        yield Lost(why, wait_s, fault)
        await asyncio.sleep(wait_s)


def _connection(server: str, key: str | None, since: str | None, selection: Mapping[str, str]) -> connect:
    query = dict(selection)
    if since is not None:
        query["since"] = since
    return connect(
        stream_address(server, query),
        additional_headers=None if key is None else {"Authorization": f"Bearer {key}"},
        open_timeout=OPEN_TIMEOUT_S,
        ping_interval=PING_INTERVAL_S,
        ping_timeout=PING_INTERVAL_S,
        close_timeout=CLOSE_TIMEOUT_S,
        max_size=FRAME_BYTES_MAX,
        max_queue=FRAMES_QUEUED_MAX,
    )


def stream_address(server: str, query: Mapping[str, str]) -> str:
    """Address of the version 1 stream on a server given as `http(s)://` or `ws(s)://`.

    Raises:
        BadRequest: it is no such address.
    """
    try:
        parts = urlsplit(server)
    except ValueError as error:
        raise BadRequest(f"{server!r} is not a server's address: {error}") from error
    scheme = {"http": "ws", "ws": "ws", "https": "wss", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise BadRequest(f"{server!r} is not a server's address; write http://HOST:PORT")
    path = parts.path.rstrip("/") + "/api/v1/stream"
    return urlunsplit((scheme, parts.netloc, path, urlencode(query, safe=",:"), ""))


def _refused(response: Response) -> tuple[str, float]:
    """What the answer to the upgrade says, and for how long to stay away."""
    body = response.body or b""
    try:
        problem = msgspec.json.decode(body[:PROBLEM_BYTES_MAX], type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem()
    detail = problem.detail or problem.title or f"{response.status_code} {response.reason_phrase}"
    error = refusal(response.status_code, detail)
    if error is not None:
        raise error
    return detail, retry_after_s(response.headers.get("Retry-After"))


def _closed(error: ConnectionClosed) -> str:
    if error.rcvd is None:
        return "the connection broke" if error.sent is None else f"closed by us: {error.sent}"
    permanent = refusal(error.rcvd.code, error.rcvd.reason)
    if permanent is not None:
        raise permanent from error
    return f"closed with {error.rcvd.code}" + (f" ({error.rcvd.reason})" if error.rcvd.reason else "")


def retry_after_s(header: str | None) -> float:
    """Seconds of a `Retry-After` header (RFC 9110, section 10.2.3); 0 for its date form or none."""
    return float(header) if header is not None and header.isascii() and header.isdigit() else 0.0
