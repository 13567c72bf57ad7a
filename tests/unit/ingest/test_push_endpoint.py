"""The endpoint of a push: who is asked, in which order messages are taken, and at what time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs
from tests.building import NOW, make_operator
from tests.patience import come_true

from ladestrom.core.access import Keyring, Scope, create_key
from ladestrom.credentials import Doorkeeper
from ladestrom.errors import BadRequest, LadestromError, MalformedBody, TooLarge
from ladestrom.ingest import http_push
from ladestrom.ingest.http_push import PushEndpoint, PushLimits, PushServices
from ladestrom.ingest.idempotency import Receipts
from ladestrom.ingest.intake import Arrival
from ladestrom.model import Beginning, Operator, Position, Receipt
from ladestrom.protocols import Row
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import Answer, Request

PATH = "/api/test"
KEY, RECORD = create_key(
    bytes(20), bytes(8), name="k", scopes=[Scope.REPORT], operator="abc", created_at=NOW, expires_at=None
)
BEARER = {"authorization": f"Bearer {KEY}"}


class Push:
    """A protocol that notes what it is asked."""

    name = "test"
    last: ClassVar[Push]
    """The one that was made last."""

    def __init__(self) -> None:
        Push.last = self
        self.requests: list[Request] = []

    def receive(self, request: Request, operator: Operator, limits: ParseLimits) -> Delivery:
        assert operator == make_operator()
        if request.body == b"broken":
            raise MalformedBody("it is broken")
        if request.body == b"mistake":
            raise KeyError("mistake")
        self.requests.append(request)
        return Delivery(reports=[])

    def answer(self, request: Request, delivery: Delivery, receipt: Receipt) -> Answer:
        return Answer(201, b"taken " + request.body, "text/plain", (("x-told", "yes"),))

    def refuse(self, request: Request, error: LadestromError) -> Answer:
        return Answer(error.status, error.code.encode(), "text/plain")


class Unordered(Push):
    """Served by a row that does not say that its messages are ordered."""


class SayingSoItself(Push):
    """Of a package that was written before rows said whether messages are ordered."""

    sequential = True


class Intake:
    """Takes deliveries when its gate is open, and notes how many at once."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = 0
        self.most = 0
        self.unreadables: list[bytes] = []

    def begin(self) -> Beginning:
        return Beginning(1, NOW)

    async def take(
        self, operator: Operator, delivery: Delivery, *, protocol: str = "", arrival: Arrival | None = None
    ) -> Receipt:
        assert (protocol, arrival) == ("test", None)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        return Receipt(0, 0, (), Position("epoch", 1))

    def unreadable(self, operator: Operator, protocol: str, body: bytes, *_: object) -> None:
        self.unreadables.append(body)


class Peer:
    """One endpoint, and what it says."""

    def __init__(self, protocol: type[Push] = Push, **options: Any) -> None:
        self.intake = Intake()
        door = Doorkeeper(Keyring([RECORD], [make_operator()]), lambda: NOW)
        receipts: Receipts[Answer] = Receipts(10, 1, lambda: NOW)
        services = PushServices(self.intake, door, receipts, PushLimits(body_bytes_max=100))  # type: ignore[arg-type]
        row = Row(target=f"{__name__}:{protocol.__name__}", help="", path=PATH, ordered=protocol is Push)
        self.endpoint = PushEndpoint(row, services, **options)
        self.push = Push.last
        self.reads = 0

    async def send(
        self,
        path: str = PATH,
        body: bytes = b"",
        *,
        method: str = "POST",
        headers: Mapping[str, str] = BEARER,
        query: bytes = b"",
    ) -> tuple[int, bytes, dict[str, str]]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            self.reads += 1
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "raw_path": path.encode(),
            "path": "/cut/by/a/router",
            "query_string": query,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("192.0.2.1", 1),
        }
        await self.endpoint(scope, receive, send)
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], sent[1]["body"], told


async def test_a_message_is_received_taken_and_answered() -> None:
    peer = Peer()
    status, body, headers = await peer.send(
        f"{PATH}/a%2Ab/", b"body", query=b"extent=snapshot&pdc=1&pdc=2&empty="
    )
    assert (status, body, headers["x-told"]) == (201, b"taken body", "yes")
    (request,) = peer.push.requests
    assert (request.path, request.body, request.method) == ("a*b", b"body", "POST")
    assert request.query == {"extent": "snapshot", "pdc": "1,2"}


async def test_a_query_with_too_many_fields_says_nothing() -> None:
    peer = Peer()
    query = b"&".join(b"%d=1" % number for number in range(http_push.QUERY_FIELDS_MAX + 1))
    await peer.send(query=query)
    assert peer.push.requests[0].query == {}


@pytest.mark.parametrize("path", ["/api/testing", "/api/test%20more"])
async def test_a_path_that_only_begins_alike_is_another(path: str) -> None:
    status, body, _ = await Peer().send(path)
    assert (status, body) == (404, b"not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
async def test_only_post_delivers(method: str) -> None:
    peer = Peer()
    status, body, headers = await peer.send(method=method)
    assert (status, headers["allow"]) == (405, "OPTIONS, POST")
    assert body == (b"" if method == "HEAD" else b"method_not_allowed")


async def test_where_statuses_can_be_read_get_is_answered_without_a_key_being_looked_at_here() -> None:
    async def read(request: Request) -> Answer:
        return Answer(200, request.path.encode())

    peer = Peer(read_back=read)
    assert (await peer.send(f"{PATH}/x/", method="GET", headers={}))[:2] == (200, b"x")
    status, body, headers = await peer.send(f"{PATH}/x/", method="HEAD", headers={})
    assert (status, body, headers["content-length"]) == (200, b"", "1")
    assert (await peer.send(method="PUT"))[2]["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_a_message_that_cannot_be_read_is_kept_and_refused_in_the_protocols_words() -> None:
    peer = Peer()
    status, body, _ = await peer.send(body=b"broken")
    assert (status, body) == (400, b"malformed_body")
    assert peer.intake.unreadables == [b"broken"]
    assert peer.endpoint.failures == {"malformed_body": 1}


async def test_one_without_a_good_key_is_not_even_read() -> None:
    peer = Peer()
    for headers in ({}, {"authorization": "Bearer no"}, {"x-api-key": "no"}):
        status, body, told = await peer.send(headers=headers)
        assert (status, body) == (401, b"unauthenticated")
        assert told["www-authenticate"] == 'Bearer realm="ladestrom", Basic realm="ladestrom"'
    assert peer.reads == 0
    assert peer.intake.unreadables == []


async def test_a_mistake_of_ours_is_told_in_the_protocols_words_too_and_ends_its_turn() -> None:
    peer = Peer()
    with capture_logs() as logged:
        status, body, _ = await peer.send(body=b"mistake")
    assert (status, body) == (500, b"internal")
    assert [each["event"] for each in logged] == ["a delivery failed"]
    assert (await peer.send())[0] == 201


async def test_a_message_over_the_limit_is_refused() -> None:
    status, body, headers = await Peer().send(body=bytes(101))
    assert (status, body, headers["connection"]) == (413, b"too_large", "close")


# -- turns ---------------------------------------------------------------------------------------------------


async def sent_together(peer: Peer, count: int) -> list[asyncio.Task[tuple[int, bytes, dict[str, str]]]]:
    """Messages sent while the first of them waits to be durable."""
    peer.intake.gate.clear()
    tasks = [asyncio.create_task(peer.send(body=b"%d" % number)) for number in range(count)]
    await come_true(lambda: peer.intake.under_way > 0)
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize("protocol", [Push, SayingSoItself])
async def test_messages_that_keep_their_order_are_taken_one_after_the_other(protocol: type[Push]) -> None:
    peer = Peer(protocol)
    tasks = await sent_together(peer, 5)
    assert peer.reads == 1, "who waits for a turn has no body in memory"
    peer.intake.gate.set()
    assert [(await task)[0] for task in tasks] == [201] * 5
    assert peer.intake.most == 1
    assert [request.body for request in peer.push.requests] == [b"0", b"1", b"2", b"3", b"4"]


async def test_others_are_taken_together() -> None:
    peer = Peer(Unordered)
    tasks = await sent_together(peer, 5)
    assert peer.intake.under_way == 5
    peer.intake.gate.set()
    await asyncio.gather(*tasks)


async def test_more_than_a_number_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_push, "TURNS_MAX", 2)
    peer = Peer()
    tasks = await sent_together(peer, 2)
    status, body, headers = await peer.send()
    assert (status, body, headers["retry-after"]) == (429, b"too_many_requests", "1")
    peer.intake.gate.set()
    assert [(await task)[0] for task in tasks] == [201, 201]
    assert (await peer.send())[0] == 201


async def test_a_message_that_fails_ends_its_turn() -> None:
    peer = Peer()
    await peer.send(body=b"broken")
    assert (await peer.send())[0] == 201


async def test_an_idempotency_key_gives_the_first_answer_again_for_the_same_path_only() -> None:
    peer = Peer()
    headers = {**BEARER, "idempotency-key": "k"}
    first = await peer.send(f"{PATH}/a", b"body", headers=headers)
    assert await peer.send(f"{PATH}/a", b"body", headers=headers) == first
    assert len(peer.push.requests) == 1
    assert (await peer.send(f"{PATH}/b", b"body", headers=headers))[0] == 422
    # The path and the body are told apart, however they divide.
    assert (await peer.send(PATH, b"a\0body", headers={**headers, "idempotency-key": "l"}))[0] == 201
    assert (await peer.send(f"{PATH}/a", b"body", headers={**headers, "idempotency-key": "l"}))[0] == 422


async def test_a_length_in_digits_that_are_none_of_ascii_is_no_error_of_ours() -> None:
    body = http_push.read_body({"content-length": "\u00b2"}, _nothing, 10)
    assert await body == b""


async def test_a_body_that_has_arrived_is_read_in_one_piece_within_its_size() -> None:
    async def arrived() -> dict[str, Any]:
        return {"type": "http.request", "body": b"0123456789", "more_body": False}

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert await http_push.read_body({}, arrived, 10, has_arrived=True) == b"0123456789"
    with pytest.raises(TooLarge):
        await http_push.read_body({}, arrived, 9, has_arrived=True)
    with pytest.raises(BadRequest, match="ended before"):
        await http_push.read_body({}, gone, 9, has_arrived=True)


async def _nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}
