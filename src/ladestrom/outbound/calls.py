"""Some calls in a row to one peer: few, small, within one deadline, and to where its guard lets them.

Knows addresses. Must not know what is called for: a generator yields each request and reads the answer.
Redirects are followed on the same host only, with all headers; no other host is shown a token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from typing import Final, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx2

from ladestrom import __version__
from ladestrom.errors import SourceFailure
from ladestrom.model import Millis
from ladestrom.outbound.addresses import Guard
from ladestrom.outbound.fetching import import_late_modules
from ladestrom.ports.calls import Answered, Ask

CALLS_S_MAX: Final = 20.0
"""All calls of one conversation. Of a registration of OCPI: the peer waits for its answer meanwhile."""
ANSWER_BYTES_MAX: Final = 1024 * 1024
"""Versions, details and credentials of OCPI have some KiB."""
REDIRECTS_MAX: Final = 3
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

T = TypeVar("T")


class Calls:
    """Makes the requests of conversations, each over connections of its own."""

    def __init__(
        self, clock: Callable[[], Millis], guard: Guard, headers: Callable[[], Mapping[str, str]] = dict
    ) -> None:
        """Nothing is connected yet.

        Args:
            clock: gives the receive times.
            guard: where calls may lead.
            headers: gives the headers that each request gets beside its own; they prevail.
        """
        self._clock = clock
        self._guard = guard
        self._headers = headers

    async def run(self, conversation: Generator[Ask, Answered, T]) -> T:
        """Makes each request that a conversation yields, and gives what it returns.

        Raises:
            SourceFailure: an answer did not come, or its address is none that may be called.
        """
        try:
            async with asyncio.timeout(CALLS_S_MAX), await asyncio.to_thread(_client) as client:
                try:
                    ask = next(conversation)
                    while True:
                        ask = conversation.send(await self._fetch(client, ask))
                except StopIteration as over:
                    found: T = over.value
                    return found
        except TimeoutError:
            raise SourceFailure(f"the peer did not answer within {CALLS_S_MAX:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise SourceFailure(
                f"the peer cannot be called: {str(error)[:200] or type(error).__name__}"
            ) from error

    async def _fetch(self, client: httpx2.AsyncClient, ask: Ask) -> Answered:
        url = ask.url
        for _ in range(REDIRECTS_MAX + 1):
            answered = await self._one(client, ask, url)
            location = answered.headers.get("location", "")
            if answered.status not in REDIRECTS or not location:
                return answered
            target = urljoin(url, location)
            if _host(target) != _host(url) or (urlsplit(url).scheme, urlsplit(target).scheme) == (
                "https",
                "http",
            ):
                raise SourceFailure("the peer redirects to another host; register its final address")
            url = target
        raise SourceFailure(f"the peer redirects more than {REDIRECTS_MAX} times")

    async def _one(self, client: httpx2.AsyncClient, ask: Ask, url: str) -> Answered:
        parts = httpx2.URL(url)
        headers = {**ask.headers, **self._headers()}
        extensions: dict[str, str] = {}
        way = await self._guard.way(url)
        if way is not None:
            parts = parts.copy_with(host=way.addresses[0])
            headers["host"], extensions["sni_hostname"] = way.host, way.origin.host
        async with client.stream(
            ask.method, parts, headers=headers, content=ask.body or None, extensions=extensions
        ) as response:
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > ANSWER_BYTES_MAX:
                    raise SourceFailure(f"the peer answers with more than {ANSWER_BYTES_MAX} bytes")
            return Answered(
                url,
                response.status_code,
                {name.lower(): value for name, value in response.headers.items()},
                bytes(body),
                self._clock(),
            )


def _client() -> httpx2.AsyncClient:
    """In a thread: to read the authorities of the system takes some 20 ms."""
    import_late_modules()
    return httpx2.AsyncClient(
        trust_env=False,
        timeout=CALLS_S_MAX,
        headers={"user-agent": f"ladestrom/{__version__}"},
        # A connection is made to an address; another host at the same one would be taken for this one.
        limits=httpx2.Limits(max_keepalive_connections=0),
    )


def _host(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
