"""A reporter: posts observations to the plain report interface and counts the receipts, on asyncio.

Knows `POST /api/v2/reports` and nothing of where observations come from. A batch is sent again, with the
same `Idempotency-Key`, until its receipt is there: whether the first sending was taken or not, it counts
once.
"""

from __future__ import annotations

import asyncio
import gzip
import random
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Final, Self

import httpx2
import msgspec

from ladestrom.client.aio import retry_after_s
from ladestrom.client.session import DELAY_MAX_S, WORTH_RETRYING, delay_s, refusal
from ladestrom.errors import BadRequest, LadestromError, NotReady, TooLarge
from ladestrom.model import Millis, Status
from ladestrom.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

REPORT_ITEMS_MAX: Final = 10_000
REPORT_BYTES_MAX: Final = 8 * 1024 * 1024
"""What the interface takes in one request."""
RESPONSE_TIMEOUT_S: Final = 30.0
PATIENCE_S: Final = 120.0
"""How long one batch is tried before the reporter gives up: several restarts' worth."""
GZIP_LEVEL: Final = 1


class Observation(msgspec.Struct, frozen=True, gc=False):
    """What is reported of one EVSE; also its form on the wire."""

    evse: str
    """EVSE id in any written form, registry key, or uid."""
    status: Status
    observed_at: Millis
    error: int = 0


class RefusedItem(msgspec.Struct, frozen=True, gc=False):
    """One item that was not taken, and why."""

    index: int
    """Place in the batch, from 0."""
    reason: str
    detail: str = ""


class ReportReceipt(msgspec.Struct, frozen=True):
    """The server's answer, sent when the accepted items are durable.

    `accepted + unchanged + len(refused)` is the number of items sent.
    """

    accepted: int
    unchanged: int
    refused: tuple[RefusedItem, ...]
    position: str
    """`EPOCH-SEQ` at which the accepted items are in the log."""
    stale: int = 0
    """Those of `unchanged` that were older than what the board has, where the server tells."""


class Tally(msgspec.Struct):
    """What became of everything that a reporter sent."""

    requests: int = 0
    retries: int = 0
    sent: int = 0
    """Items whose receipt is there."""
    accepted: int = 0
    unchanged: int = 0
    stale: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    """By reason."""

    @property
    def adds_up(self) -> bool:
        """Whether the receipts account for every item."""
        return self.sent == self.accepted + self.unchanged + self.refused.total()


class _Problem(msgspec.Struct):
    """RFC 9457, section 3."""

    title: str = ""
    detail: str = ""
    code: str = ""


_receipt = msgspec.json.Decoder(ReportReceipt)
_encoder = msgspec.json.Encoder()


class Reporter:
    """Sends batches over at most `connections_max` connections. An asynchronous context manager.

    Raises:
        BadRequest: `server` is no address.
    """

    def __init__(
        self,
        server: str,
        key: str | None,
        *,
        compress: bool = False,
        connections_max: int = 4,
        patience_s: float = PATIENCE_S,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.tally = Tally()
        self._compress = compress
        self._patience_s = patience_s
        self._chance = chance
        self._address = report_address(server)
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        if compress:
            headers["Content-Encoding"] = "gzip"
        self._client = httpx2.AsyncClient(
            headers=headers,
            timeout=RESPONSE_TIMEOUT_S,
            limits=httpx2.Limits(max_connections=connections_max, max_keepalive_connections=connections_max),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def report(self, observations: Sequence[Observation]) -> ReportReceipt:
        """Sends one batch and returns its receipt; the accepted ones are durable then.

        Raises:
            TooLarge: more than the interface takes in one request; send less.
            NotReady: no receipt within the patience; sending the same later is harmless.
            Unauthenticated, NotAllowed, BadRequest: the request as a whole was refused; sending it
                again is no use.
        """
        if len(observations) > REPORT_ITEMS_MAX:
            raise TooLarge(f"{len(observations)} items in one batch; the limit is {REPORT_ITEMS_MAX}")
        body = _encoder.encode(observations)
        if len(body) > REPORT_BYTES_MAX:
            raise TooLarge(f"a batch of {len(body)} bytes; the limit is {REPORT_BYTES_MAX}")
        if self._compress:
            body = gzip.compress(body, GZIP_LEVEL)
        receipt = await self._deliver(body, uuid.uuid4().hex)
        self._count(receipt, len(observations))
        return receipt

    async def _deliver(self, body: bytes, idempotency_key: str) -> ReportReceipt:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._patience_s
        failures = 0
        while True:
            self.tally.requests += 1
            answer, why, asked_s = await self._post(body, idempotency_key)
            if answer is not None:
                return answer
            wait_s = max(delay_s(failures, self._chance()), min(asked_s, DELAY_MAX_S))
            failures += 1
            if loop.time() + wait_s > deadline_s:
                raise NotReady(f"no receipt within {self._patience_s:g} s; the last attempt: {why}")
            await asyncio.sleep(wait_s)
            self.tally.retries += 1

    async def _post(self, body: bytes, idempotency_key: str) -> tuple[ReportReceipt | None, str, float]:
        """The receipt; or none, why, and for how long the server wants to be left alone."""
        try:
            response = await self._client.post(
                self._address, content=body, headers={"Idempotency-Key": idempotency_key}
            )
        except httpx2.TransportError as error:
            return None, f"{type(error).__name__} {error}".rstrip(), 0.0
        if response.status_code == httpx2.codes.OK:
            try:
                return _receipt.decode(response.content), "", 0.0
            except msgspec.DecodeError as error:
                raise BadRequest(f"{self._address} answers, but not with a receipt: {error}") from error
        detail = _detail(response)
        error_for_good = _refusal(response.status_code, detail)
        if error_for_good is not None:
            raise error_for_good
        return None, detail, retry_after_s(response.headers.get("Retry-After"))

    def _count(self, receipt: ReportReceipt, items: int) -> None:
        tally = self.tally
        tally.sent += items
        tally.accepted += receipt.accepted
        tally.unchanged += receipt.unchanged
        tally.stale += receipt.stale
        tally.refused.update(each.reason for each in receipt.refused)


def report_address(server: str) -> str:
    """Address of the report interface of a server given as `http(s)://`.

    Raises:
        BadRequest: it is no such address.
    """
    try:
        url = httpx2.URL(server)
    except httpx2.InvalidURL as error:
        raise BadRequest(f"{quoted(server)} is not a server's address: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise BadRequest(f"{quoted(server)} is not a server's address; write http://HOST:PORT")
    return str(url).rstrip("/") + "/api/v2/reports"


def _detail(response: httpx2.Response) -> str:
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem()
    said = problem.detail or problem.title or response.reason_phrase
    return f"{response.status_code} {said}".rstrip()


IN_PASSING: Final = WORTH_RETRYING | {409, 502, 503, 504}
"""Answers that may be better next time. A server that is not ready answers 503, its proxy in its place
502 or 504; 409 tells that the first sending of the same batch is still being worked on."""


def _refusal(status: int, detail: str) -> LadestromError | None:
    """The error of an answer that is final; None for one that may be better next time."""
    return None if status in IN_PASSING else refusal(status, detail) or BadRequest(detail)
