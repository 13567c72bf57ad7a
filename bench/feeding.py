"""Brings changes to a server at a given pace, and knows when each was sent.

A tick is what is sent at once: operators' reports in one request, or a peer's messages. Time is monotonic ns.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from bench.consumers import Reader, upgrade

ANSWER_DEADLINE_S: Final = 30.0
RECEIVE_BYTES: Final = 64 * 1024
UNANSWERED_MAX: Final = 100
"""Messages that wait for nchan: enough that it never waits for us."""
SHORT_BYTES: Final = 126
"""Payloads from here on say their length in more bytes (RFC 6455, section 5.2)."""
NS: Final = 1_000_000_000
OBSERVED_EVERY_MS: Final = 1_000
SCATTER: Final = 613
"""Any number that has no factor in common with the one before."""
CONNECTIONS_MAX: Final = 16
"""Requests under way at most; more ticks than that are late, and said to be."""


class Tick(NamedTuple):
    """Changes `first`, `first + 1`, ... by their number in the feed, and the bytes that bring them."""

    first: int
    changes: int
    data: bytes


class Road(Protocol):
    """How changes come to one server."""

    sent_ns: array[int]
    """When each change was sent, by its number."""

    def ticks(self, count: int, changes: int) -> list[Tick]:
        """Prepares so many ticks with so many changes each."""
        ...

    def send(self, tick: Tick) -> None:
        """Sends; waits only where too many are unanswered."""
        ...

    def rest(self, seconds: float) -> None:
        """Takes answers for so long, or less."""
        ...

    def settle(self) -> None:
        """Returns when all are answered.

        Raises:
            ConnectionError: an answer says that something was not taken.
        """
        ...

    def close(self) -> None: ...


class Paced(NamedTuple):
    """How a feed went."""

    first: int
    changes: int
    seconds: float
    late_ms: float
    """The 99th percentile of how late ticks were sent."""


def pace(road: Road, ticks: Sequence[Tick], per_s: float) -> Paced:
    """Sends ticks at even distances, whatever the server does (open loop), and waits for the answers."""
    began_ns = time.monotonic_ns()
    late_ns = []
    for number, tick in enumerate(ticks):
        at_ns = began_ns + int(number * NS / per_s)
        while (left_ns := at_ns - time.monotonic_ns()) > 0:
            road.rest(left_ns / NS)
        late_ns.append(-left_ns)
        road.send(tick)
    road.settle()
    late_ns.sort()
    return Paced(
        ticks[0].first,
        sum(tick.changes for tick in ticks),
        (time.monotonic_ns() - began_ns) / NS,
        late_ns[int(len(late_ns) * 0.99)] / 1e6,
    )


def saturate(road: Road, ticks: Sequence[Tick], seconds: float) -> Paced:
    """Sends ticks as fast as they are answered (closed loop), for so long or until all are sent."""
    began_ns = time.monotonic_ns()
    sent = 0
    for tick in ticks:
        if time.monotonic_ns() - began_ns > seconds * NS:
            break
        road.send(tick)
        sent += 1
    road.settle()
    taken = ticks[:sent]
    changes = sum(tick.changes for tick in taken)
    return Paced(ticks[0].first, changes, (time.monotonic_ns() - began_ns) / NS, 0.0)


class KeptAlive:
    """One HTTP connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def answer(self) -> bytes | None:
        """The body of the answer, where all of it is there.

        Raises:
            ConnectionError: the server ended the connection, or did not answer with success.
        """
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the server ended the connection")
        self._unread += data
        head, blank, body = self._unread.partition(b"\r\n\r\n")
        if not blank:
            return None
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return None
        if not head.startswith(b"HTTP/1.1 2"):
            raise ConnectionError(f"{head[:60]!r} {body[:300]!r}")
        self._unread = body[length:]
        return body[:length]


class Reports:
    """Operators' reports to ladestrom: each tick is a request of one of them, every report a change.

    EVSEs have their turn in the given order. Instants of observations are about `OBSERVED_EVERY_MS` apart, as
    those of one moment's reports are of the last minute, and each tells which change it is.
    """

    def __init__(
        self,
        port: int,
        keys: Sequence[str],
        evses: Sequence[str],
        started_at: int,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self.sent_ns = array("q")
        self._port = port
        self._connections_max = connections_max
        self._answers: list[bytes] = []
        self._poll = select.epoll()
        self._connections: dict[int, KeptAlive] = {}
        self._idle: deque[KeptAlive] = deque()
        self._keys = keys
        self._evses = evses
        self._started_at = started_at
        self._turn = 0
        self.accepted = 0
        self.position = ""
        """The newest EPOCH-SEQ that a receipt told."""

    def ticks(self, count: int, changes: int) -> list[Tick]:
        first = len(self.sent_ns)
        self.sent_ns.frombytes(bytes(self.sent_ns.itemsize * count * changes))
        return [self._tick(first + number * changes, changes) for number in range(count)]

    def _tick(self, first: int, changes: int) -> Tick:
        self._turn += 1
        body = json.dumps([self.report(number) for number in range(first, first + changes)]).encode()
        head = (
            f"POST /api/v2/reports HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {self._keys[self._turn % len(self._keys)]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return Tick(first, changes, head.encode() + body)

    def report(self, number: int) -> dict[str, str | int]:
        """The report that is change `number`: each round the other of two words."""
        round_, place = divmod(number, len(self._evses))
        after_ms = number * OBSERVED_EVERY_MS + number * SCATTER % OBSERVED_EVERY_MS
        return {
            "evse": self._evses[place],
            "status": "CHARGING" if round_ % 2 else "AVAILABLE",
            "observed_at": self._started_at + after_ms,
        }

    def number(self, observed_at: int) -> int:
        """Which change was observed then."""
        return (observed_at - self._started_at) // OBSERVED_EVERY_MS

    def settle(self) -> None:
        while len(self._idle) < len(self._connections):
            self._take(ANSWER_DEADLINE_S)
        for answer in self._answers:
            receipt = json.loads(answer)
            self.accepted += receipt["accepted"]
            if receipt["unchanged"] or receipt["refused"]:
                raise ConnectionError(f"not every report was a change: {answer!r:.300}")
            if int(receipt["position"].rpartition("-")[2]) > self.seq:
                self.position = receipt["position"]
        self._answers.clear()

    @property
    def seq(self) -> int:
        """Sequence of the newest change that is durable."""
        return int(self.position.rpartition("-")[2] or 0)

    def send(self, tick: Tick) -> None:
        """Sends one request; waits while all connections are busy."""
        if not self._idle:
            if len(self._connections) < self._connections_max:
                self._open()
            else:
                self._take(ANSWER_DEADLINE_S)
        now_ns = time.monotonic_ns()
        for number in range(tick.first, tick.first + tick.changes):
            self.sent_ns[number] = now_ns
        self._idle.popleft().socket.sendall(tick.data)

    def _open(self) -> None:
        # Not before it is needed: servers close connections on which nothing is asked.
        made = KeptAlive(self._port)
        self._connections[made.socket.fileno()] = made
        self._poll.register(made.socket, select.EPOLLIN)
        self._idle.append(made)

    def rest(self, seconds: float) -> None:
        """Takes answers for so long, or less."""
        for number, _ in self._poll.poll(seconds):
            connection = self._connections[number]
            answer = connection.answer()
            if answer is not None:
                self._answers.append(answer)
                self._idle.append(connection)

    def _take(self, deadline_s: float) -> None:
        before = len(self._idle)
        ends_s = time.monotonic() + deadline_s
        while len(self._idle) == before:
            left_s = ends_s - time.monotonic()
            if left_s <= 0:
                raise ConnectionError(f"no answer within {deadline_s:g} s")
            self.rest(left_s)

    def close(self) -> None:
        """Ends all connections; sending opens new ones."""
        for connection in self._connections.values():
            connection.socket.close()
        self._connections.clear()
        self._idle.clear()


class Template:
    """A message of the measured server, to be sent by peers with other positions."""

    def __init__(self, payload: bytes) -> None:
        head, self._prev_tail = _split(payload, b'"prev":')
        if self._prev_tail is None:
            head, tail = _split(payload, b'"seq":')
            self._head, self._tail = head, tail or b""
        else:
            middle, tail = _split(self._prev_tail, b'"seq":')
            self._head, self._middle, self._tail = head, middle, tail or b""
        self.size = len(payload)

    @property
    def many(self) -> bool:
        """Whether a message holds all changes of a tick."""
        return self._prev_tail is not None

    def rendered(self, first: int, changes: int) -> Iterator[bytes]:
        """The messages of a tick whose changes have the sequences `first`, `first + 1`, ..."""
        if self.many:
            last = first + changes - 1
            yield b"%s%d%s%d%s" % (self._head, first - 1, self._middle, last, self._tail)
            return
        for seq in range(first, first + changes):
            yield b"%s%d%s" % (self._head, seq, self._tail)


def _split(payload: bytes, name: bytes) -> tuple[bytes, bytes | None]:
    """Up to the number that is a member's value, and after it."""
    at = payload.find(name)
    if at < 0:
        return payload, None
    at += len(name)
    return payload[:at], payload[at:].lstrip(b"0123456789")


class Records:
    """Messages to a peer over a connection of its own, each after its length; nothing is answered."""

    def __init__(self, port: int, template: Template, first_seq: int) -> None:
        self.sent_ns = array("q")
        self.first_seq = first_seq
        self._template = template
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(b"FEED\n")

    def ticks(self, count: int, changes: int) -> list[Tick]:
        first = len(self.sent_ns)
        self.sent_ns.frombytes(bytes(self.sent_ns.itemsize * count * changes))
        return [self._tick(first + number * changes, changes) for number in range(count)]

    def _tick(self, first: int, changes: int) -> Tick:
        messages = self._template.rendered(self.first_seq + first, changes)
        data = b"".join(struct.pack("!I", len(each)) + each for each in messages)
        return Tick(first, changes, data)

    def send(self, tick: Tick) -> None:
        now_ns = time.monotonic_ns()
        for number in range(tick.first, tick.first + tick.changes):
            self.sent_ns[number] = now_ns
        self._socket.sendall(tick.data)

    def rest(self, seconds: float) -> None:
        time.sleep(seconds)

    def settle(self) -> None:
        """Nothing is answered."""

    def close(self) -> None:
        self._socket.close()


class Publications:
    """Changes to nginx with nchan over one WebSocket, a message each: it gathers none, and answers each."""

    def __init__(self, port: int, template: Template, first_seq: int) -> None:
        self.sent_ns = array("q")
        self.first_seq = first_seq
        self._template = template
        self._unanswered = 0
        self._reader = Reader(port, upgrade("/pub"))

    def ticks(self, count: int, changes: int) -> list[Tick]:
        first = len(self.sent_ns)
        self.sent_ns.frombytes(bytes(self.sent_ns.itemsize * count * changes))
        return [self._tick(first + number * changes, changes) for number in range(count)]

    def _tick(self, first: int, changes: int) -> Tick:
        seqs = range(self.first_seq + first, self.first_seq + first + changes)
        messages = [message for seq in seqs for message in self._template.rendered(seq, 1)]
        return Tick(first, changes, b"".join(masked(each) for each in messages))

    def send(self, tick: Tick) -> None:
        while self._unanswered > UNANSWERED_MAX:
            self._take()
        now_ns = time.monotonic_ns()
        for number in range(tick.first, tick.first + tick.changes):
            self.sent_ns[number] = now_ns
        self._unanswered += tick.changes
        self._reader.socket.sendall(tick.data)

    def rest(self, seconds: float) -> None:
        if select.select([self._reader.socket], [], [], seconds)[0]:
            self._take()

    def settle(self) -> None:
        while self._unanswered:
            self._take()

    def _take(self) -> None:
        self._reader.skip()
        self._unanswered -= 1

    def close(self) -> None:
        self._reader.socket.close()


def masked(payload: bytes) -> bytes:
    """A client's text frame; the mask is 0 (RFC 6455, section 5.3)."""
    length = len(payload)
    if length < SHORT_BYTES:
        head = struct.pack("!BB", 0x81, 0x80 | length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", 0x81, 0x80 | SHORT_BYTES, length)
    else:
        head = struct.pack("!BBQ", 0x81, 0x80 | SHORT_BYTES + 1, length)
    return head + bytes(4) + payload
