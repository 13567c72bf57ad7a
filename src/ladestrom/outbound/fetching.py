"""One request of a source and its answer, within limits of time and size: redirects, TLS, gzip.

Knows HTTP. Must not know what is asked for: a protocol makes the request and reads the answer.

A redirect to another host gets none of the headers that may hold a secret, nor our certificate; one from
HTTPS to HTTP is not followed. Only the host that an administrator named may be a private one: a redirect, a
next page or whatever else the source names has to be on the public network, unless it is allowed `anywhere`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from importlib import import_module
from io import BytesIO
from types import TracebackType
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

import httpx2
import msgspec

from ladestrom import __version__
from ladestrom.errors import LadestromError, SourceFailure
from ladestrom.model import Millis
from ladestrom.outbound import tls
from ladestrom.outbound.addresses import Guard, Way
from ladestrom.ports.calls import Answered, Ask
from ladestrom.quoting import quoted
from ladestrom.unpacking import gunzip

REDIRECTS_MAX: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
KEEPING_METHOD: Final = frozenset({307, 308})
"""RFC 9110, section 15.4: what was a POST stays one. After the others comes a GET, as clients do."""
HARMLESS_HEADERS: Final = frozenset(
    {"accept", "accept-language", "content-type", "if-modified-since", "if-none-match"}
)
"""What another host gets of a request's headers."""
CONNECTIONS_MAX: Final = 4
"""Of one source: it is asked one thing at a time; redirects may lead elsewhere."""
CONNECT_S_MAX: Final = 10.0
PAUSE_S_MAX: Final = 30.0
"""Between two pieces of an answer."""
RETRY_AFTER_S_MAX: Final = 86_400
LATE_MODULES: Final = "anyio._backends._asyncio", "anyio._core._sockets"
"""What a client would import when it makes its first request, in the loop: some 40 ms."""


class FetchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one answer may be."""

    answer_bytes_max: int = 64 * 1024 * 1024
    """Before and after decompression."""
    answer_s_max: float = 60.0
    """From the request to the last byte of the answer, redirects included."""


class Fetcher:
    """The connections to one source. A context manager."""

    def __init__(
        self,
        limits: FetchLimits,
        clock: Callable[[], Millis],
        *,
        trust: ssl.SSLContext | None = None,
        bare_trust: ssl.SSLContext | None = None,
        proxy: str | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Nothing is connected yet.

        Args:
            limits: of an answer.
            clock: gives the receive times.
            trust: for the source itself, with the certificate that it is shown.
            bare_trust: for hosts that it redirects to, without one.
            proxy: address of an HTTP proxy.
            guard: where calls may lead; anywhere where it is None.
        """
        self.guard = guard or Guard(anywhere=True)
        self._trust, self._bare_trust = trust, bare_trust
        self.certificate_expires_at: Millis | None = None
        """Of the certificate that the source showed last."""
        self._limits = limits
        self._clock = clock
        self._client = _client(trust, proxy)
        self._elsewhere = _client(bare_trust, proxy) if bare_trust is not trust else self._client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()
        await self._elsewhere.aclose()

    async def fetch(self, ask: Ask) -> Answered:
        """Sends a request, follows redirects, and reads the answer.

        Raises:
            SourceFailure: there was no answer, or one over a limit, or a redirect that is not followed.
        """
        try:
            async with asyncio.timeout(self._limits.answer_s_max):
                return await self._follow(ask)
        except TimeoutError:
            raise SourceFailure(
                f"{shown(ask.url)} did not answer within {self._limits.answer_s_max:g} s"
            ) from None
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise SourceFailure(f"{shown(ask.url)}: {_why(error)}") from error

    async def _follow(self, ask: Ask) -> Answered:
        origin = _origin(ask.url)
        redirects = 0
        while True:
            is_origin = _origin(ask.url) == origin or _is_upgrade(origin, _origin(ask.url))
            answered = await self._one(ask, is_origin=is_origin)
            location = answered.headers.get("location", "")
            if answered.status not in REDIRECTS or not location:
                return answered
            redirects += 1
            if redirects > REDIRECTS_MAX:
                raise SourceFailure(f"{shown(ask.url)} redirects more than {REDIRECTS_MAX} times")
            ask = _redirected(ask, answered.status, location, origin)

    async def _one(self, ask: Ask, *, is_origin: bool) -> Answered:
        way = await self.guard.way(ask.url)
        if way is None:
            client = self._client if is_origin else self._elsewhere
            return await self._asked(client, ask, None, "", is_origin=is_origin)
        # A client for this request alone: connections are told apart by the address that they are made to,
        # and one to another host at the same address is not this host's.
        trust = self._trust if is_origin else self._bare_trust
        async with _client(trust, None) as client:
            for address in way.addresses[:-1]:
                try:
                    return await self._asked(client, ask, way, address, is_origin=is_origin)
                except (httpx2.ConnectError, httpx2.ConnectTimeout):
                    continue
            return await self._asked(client, ask, way, way.addresses[-1], is_origin=is_origin)

    async def _asked(
        self, client: httpx2.AsyncClient, ask: Ask, way: Way | None, address: str, *, is_origin: bool
    ) -> Answered:
        headers = {"user-agent": f"ladestrom/{__version__}", "accept-encoding": "gzip", **_lower(ask.headers)}
        url = httpx2.URL(ask.url)
        extensions: dict[str, str] = {}
        if way is not None:
            url = url.copy_with(host=address)
            headers["host"], extensions["sni_hostname"] = way.host, way.origin.host
        async with client.stream(
            ask.method, url, headers=headers, content=ask.body or None, extensions=extensions
        ) as response:
            if is_origin:
                self._look_at_certificate(response)
            limit = self._limits.answer_bytes_max
            declared = response.headers.get("content-length", "")
            if declared.isascii() and declared.isdigit() and int(declared) > limit:
                raise SourceFailure(f"the answer has {declared} bytes; at most {limit} are read")
            # It gives out what it gathered without a copy, which of the largest answers takes 20 ms.
            body = BytesIO()
            async for piece in response.aiter_raw():
                body.write(piece)
                if body.tell() > limit:
                    raise SourceFailure(f"the answer is larger than {limit} bytes")
            return Answered(
                ask.url,
                response.status_code,
                {name.lower(): value for name, value in response.headers.items()},
                await _plain(body.getvalue(), response.headers.get("content-encoding", ""), limit),
                self._clock(),
            )

    def _look_at_certificate(self, response: httpx2.Response) -> None:
        stream = response.extensions.get("network_stream")
        found = None if stream is None else tls.server_expires_at(stream.get_extra_info("ssl_object"))
        if found is not None:
            self.certificate_expires_at = found


def retry_after_s(answered: Answered) -> float:
    """Seconds of a `Retry-After` (RFC 9110, section 10.2.3); 0 for its date form or none."""
    written = answered.headers.get("retry-after", "")
    return float(min(int(written), RETRY_AFTER_S_MAX)) if written.isascii() and written.isdigit() else 0.0


def shown(url: str) -> str:
    """An address without what may be secret in it: its query, and a name and password."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return "the address"
    return f"{parts.scheme}://{host}{port}{parts.path}"[:200]


def import_late_modules() -> None:
    """Before the first request, in a thread."""
    for name in LATE_MODULES:
        import_module(name)


def _client(trust: ssl.SSLContext | None, proxy: str | None) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        verify=True if trust is None else trust,
        trust_env=False,
        proxy=proxy,
        limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
        timeout=httpx2.Timeout(PAUSE_S_MAX, connect=CONNECT_S_MAX),
    )


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").lower(), port


def _is_upgrade(before: tuple[str, str, int], after: tuple[str, str, int]) -> bool:
    """From HTTP to HTTPS on the same host, each at its own port."""
    return before == ("http", after[1], 80) and (after[0], after[2]) == ("https", 443)


def _redirected(ask: Ask, status: int, location: str, origin: tuple[str, str, int]) -> Ask:
    url = urljoin(ask.url, location)
    target = _origin(url)
    if target[0] not in {"http", "https"}:
        raise SourceFailure(f"{shown(ask.url)} redirects to {quoted(url, 80)}, which is not an HTTP address")
    if _origin(ask.url)[0] == "https" and target[0] == "http":
        raise SourceFailure(f"{shown(ask.url)} redirects from HTTPS to HTTP; that is not followed")
    headers: Mapping[str, str] = _lower(ask.headers)
    if target != origin and not _is_upgrade(origin, target):
        headers = {name: value for name, value in headers.items() if name in HARMLESS_HEADERS}
    if status in KEEPING_METHOD:
        return Ask(url, ask.method, headers, ask.body)
    return Ask(url, "HEAD" if ask.method == "HEAD" else "GET", headers)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


async def _plain(body: bytes, encoding: str, limit: int) -> bytes:
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            try:
                return await asyncio.to_thread(gunzip, body, limit)
            except LadestromError as error:
                raise SourceFailure(f"the answer cannot be unpacked ({error})") from error
        case other:
            raise SourceFailure(f"the answer is packed with {quoted(other, 40)}, and gzip was asked for")


def _why(error: Exception) -> str:
    """What went wrong, in the words of the innermost cause: TLS says more than `connection failed`."""
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__ or cause
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not believed ({cause.verify_message})"
    return (str(error) or type(error).__name__)[:200]
