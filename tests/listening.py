"""Consumers of a broadcast without sockets, which check everything that they are told.

    truth = Truth(stations)
    consumer = Nobil(truth, Selection())
    consumer.attach(broadcast)

A consumer that stalls takes no more bytes than its buffer holds, as one behind a slow link. `Nobil` follows
version 1, `Modern` version 2. What they check is written from the contracts alone: a `Truth` is a fold of the
log that knows nothing of the code under test. A wrong is an `AssertionError`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from tests import digests

from ladestrom.core.selection import Selection
from ladestrom.formats.dialect import Message
from ladestrom.model import Change, Entry, Millis, Position, Station, Status, StatusChanged
from ladestrom.reader.broadcast import Broadcast
from ladestrom.reader.subscriptions import Subscriber, Subscription

PAIRS: Final = {
    "AVAILABLE": (0, 0),
    "CHARGING": (1, 0),
    "BLOCKED": (1, 0),
    "RESERVED": (1, 0),
    "OUTOFORDER": (-1, 1),
    "INOPERATIVE": (-1, 1),
    "UNKNOWN": (-1, 0),
}
HIDDEN: Final = frozenset({Status.PLANNED, Status.REMOVED})


def plain(message: Message) -> bytes:
    """A line of its own."""
    return message.payload + b"\n"


def marked(message: Message) -> bytes:
    """The same, recognisably of another framing."""
    return b"~" + plain(message)


FRAMINGS: Final = {"text": plain, "deflate": marked, "event": plain}


class Truth:
    """What consumers must be told: the log, and its fold at every position."""

    def __init__(self, stations: Sequence[Station]) -> None:
        self.stations = {station.uuid: station for station in stations}
        self.log: list[Entry] = []

    def add(self, entries: Sequence[Entry]) -> None:
        self.log += entries

    def held(self, seq: int) -> dict[str, Change]:
        """The change in force for each EVSE at a position."""
        entries = self.log[:seq]
        return {each.change.evse: each.change for each in entries if isinstance(each, StatusChanged)}

    def station(self, uuid: str, seq: int, *, leaving: bool = False) -> dict[str, Any]:
        """A station object of version 1; with `leaving` as the update of a removal at `seq` shows it."""
        held = self.held(seq)
        last = self.log[seq - 1].change if leaving else None
        station = self.stations[uuid]
        connectors = []
        for outlet in station.outlets:
            change = held.get(station.evses[outlet.evse].key)
            if change is None:
                connectors.append({"status": -1, "error": 0, "timestamp": -1})
            elif change.status not in HIDDEN:
                status, error = PAIRS[change.status]
                connectors.append(
                    {"status": status, "error": error | change.error, "timestamp": change.changed_at}
                )
            elif change is last and change.status is Status.REMOVED:
                connectors.append({"status": -1, "error": 0, "timestamp": change.changed_at})
        statuses = {connector["status"] for connector in connectors}
        if any(connector["error"] for connector in connectors):
            status = 2
        elif not statuses or -1 in statuses:
            status = -1
        else:
            status = 0 if 0 in statuses else 1
        return {"uuid": uuid, "status": status, "connectors": connectors}

    def listed(self, selection: Selection, seq: int) -> set[str]:
        """Stations that a snapshot at `seq` has."""
        reported = {change.station for change in self.held(seq).values()}
        return {uuid for uuid in reported if selection.covers(self.stations[uuid])}

    def evses(self, selection: Selection, seq: int) -> dict[str, tuple[str, int, str]]:
        """Status, error and instant by EVSE id that a consumer of version 2 has at `seq`."""
        written = {evse.key: evse.name for station in self.stations.values() for evse in station.evses}
        return {
            written[key]: (change.status.value, int(change.error), instant(change.changed_at))
            for key, change in self.held(seq).items()
            if change.status not in HIDDEN
            and selection.covers(self.stations[change.station])
            and (not selection.status or change.status in selection.status)
        }


def instant(at: Millis) -> str:
    """ISO 8601 to the millisecond; empty where nothing is known."""
    if at < 0:
        return ""
    seconds, ms = divmod(at, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


class Consumer:
    """A sink, and the consumer behind it."""

    dialect = ""

    def __init__(
        self,
        truth: Truth,
        selection: Selection,
        *,
        buffer_bytes: int = 2_000,
        chunk_bytes_max: int,
        **subscription: Any,
    ) -> None:
        self.truth = truth
        self.selection = selection
        self.subscription = Subscription(selection, dialect=self.dialect, **subscription)
        self.paused = False
        self.stalled = False
        self.seq: int | None = None
        """Position; None before the first message."""
        self.written: list[bytes] = []
        """Everything it was handed, as the objects they were."""
        self.overran: Position | None = None
        self.begins_at = -1
        """What changed up to here and not since, it need not know."""
        self._buffer_bytes = buffer_bytes
        self._chunk_bytes_max = chunk_bytes_max
        self._waiting: list[bytes] = []
        self._joining = False
        self._broadcast: Broadcast | None = None
        self._subscriber: Subscriber | None = None

    @property
    def attached(self) -> bool:
        return self._subscriber is not None

    def attach(self, broadcast: Broadcast, *, resume: bool = True, snapshot: bool = True) -> None:
        """Connects; with the position that it has, unless told otherwise."""
        since = Position(broadcast.view.epoch, self.seq) if resume and self.seq is not None else None
        if since is None:
            self.forget()
            if not snapshot:
                self.seq = self.begins_at = broadcast.view.seq
        self._broadcast = broadcast
        self._joining = True
        self._subscriber = broadcast.join(self, self.subscription, since=since, snapshot=snapshot)
        self._joining = False

    def detach(self) -> None:
        """Disconnects: what it has not taken yet is lost."""
        assert self._broadcast is not None
        assert self._subscriber is not None
        self._broadcast.leave(self._subscriber)
        self._subscriber = None
        self._waiting.clear()
        self.paused = self.stalled = False

    def drain(self) -> None:
        """Takes what waits, and stalls no more."""
        self.stalled = False
        self._take()
        while self.paused:
            self.paused = False
            assert self._broadcast is not None
            assert self._subscriber is not None
            self._broadcast.pump(self._subscriber)
            self._take()

    def write(self, data: bytes) -> None:
        """Called by the broadcast."""
        self.written.append(data)
        if not self._joining:
            assert not self.paused, "bytes for a consumer that is paused"
            largest = max(map(len, data.splitlines(keepends=True)))
            assert len(data) <= self._chunk_bytes_max + 2 * largest, "more than a chunk at once"
        self._waiting.append(data)
        if sum(map(len, self._waiting)) > self._buffer_bytes:
            self.paused = True
        if not self.stalled and not self.paused:
            self._take()

    def interrupted(self, position: Position) -> None:
        """Called by the broadcast."""
        raise AssertionError(f"interrupted at {position}")

    def overrun(self, position: Position) -> None:
        """Called by the broadcast."""
        self.overran = position
        self._subscriber = None

    def _take(self) -> None:
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            for line in data.splitlines():
                assert line.startswith(b"~") == (self.subscription.framing == "deflate") or line.startswith(
                    b"{"
                )
                self.hear(json.loads(line.removeprefix(b"~")))

    def forget(self) -> None:
        """Begins anew."""
        self.seq = None
        self.begins_at = -1

    def hear(self, message: dict[str, Any]) -> None:
        """Checks and takes one message."""
        raise NotImplementedError

    def finish(self) -> None:
        """Checks that it has everything."""
        raise NotImplementedError


class Nobil(Consumer):
    """Follows version 1."""

    dialect = "v1"

    def __init__(self, truth: Truth, selection: Selection, **members: Any) -> None:
        super().__init__(truth, selection, **members)
        self.board: dict[str, dict[str, Any]] = {}
        self.raws = 0

    def forget(self) -> None:
        super().forget()
        self.board = {}

    def hear(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "snapshot:init":
                assert self.seq is None, "a snapshot in the middle"
                self.seq = message["seq"]
                self.board = {station["uuid"]: station for station in message["data"]}
                assert len(self.board) == len(message["data"]), "a station twice"
                assert set(self.board) == self.truth.listed(self.selection, self.seq)
                assert self._broadcast is not None
                # Where no updates follow, nothing makes up for the age of a snapshot.
                moment = self.seq if self.subscription.updates else self._broadcast.view.seq
                for uuid, station in self.board.items():
                    assert station == self.truth.station(uuid, moment), "a snapshot of another moment"
            case "status:update":
                self._update(message["seq"], message["data"])
            case "status:raw":
                assert self.subscription.raw, "a raw message for one who wants none"
                assert message["code"] == 1
                uuid = message["data"]["uuid"]
                assert self.selection.covers(self.truth.stations[uuid])
                self.raws += 1
            case other:
                raise AssertionError(f"unknown message {other}")

    def _update(self, seq: int, station: dict[str, Any]) -> None:
        assert self.subscription.updates, "an update for one who wants none"
        assert self.seq is not None, "an update before the snapshot"
        assert seq > self.seq, f"seq goes from {self.seq} to {seq}"
        uuid = station["uuid"]
        assert self.selection.covers(self.truth.stations[uuid]), "a station that was not selected"
        last = self.truth.log[seq - 1].change
        about = last.station if isinstance(last, Change) else last.station.uuid
        assert about == uuid, "an update under another number"
        expected = [self.truth.station(uuid, seq, leaving=leaving) for leaving in (False, True)]
        assert station in expected, "an update of another moment"
        self.board[uuid] = station
        self.seq = seq

    def finish(self) -> None:
        if not self.subscription.updates:
            return
        changed = {entry.change.station: entry.seq for entry in self.truth.log}
        listed = self.truth.listed(self.selection, len(self.truth.log))
        assert set(self.board) <= listed
        assert {uuid for uuid in listed if changed[uuid] > self.begins_at} <= set(self.board), (
            "a station is missing"
        )
        for uuid, station in self.board.items():
            expected = [self.truth.station(uuid, changed[uuid], leaving=leaving) for leaving in (False, True)]
            assert station in expected, "the fold differs"


class Modern(Consumer):
    """Follows version 2."""

    dialect = "v2"

    def __init__(self, truth: Truth, selection: Selection, **members: Any) -> None:
        super().__init__(truth, selection, raw=False, **members)
        self.board: dict[str, tuple[str, int, str]] = {}
        self.beats = 0
        self._parts = 0

    def forget(self) -> None:
        super().forget()
        self.board = {}
        self._parts = 0

    def hear(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "snapshot":
                assert self.seq is None, "a snapshot in the middle"
                self._parts += 1
                assert message["part"] == self._parts, "a part is missing"
                self._apply(message["evses"])
                if message["part"] == message["parts"]:
                    self._stand_at(message["seq"])
            case "changes":
                self._follow(message["prev"])
                self._apply(message["changes"])
                if message["seq"] != message["prev"]:
                    self._stand_at(message["seq"])
            case "heartbeat":
                self._follow(message["prev"])
                self._stand_at(message["seq"])
                assert message["digest"] == self.digest(), "the digest differs"
                assert message["count"] == len(self.board), "the count differs"
                self.beats += 1
            case other:
                raise AssertionError(f"unexpected message {other}")

    def _follow(self, prev: int) -> None:
        assert self.seq is not None, "changes before the snapshot"
        assert prev == self.seq, f"prev is {prev}, the consumer stands at {self.seq}"

    def _stand_at(self, seq: int) -> None:
        assert self.seq is None or seq >= self.seq, f"seq goes from {self.seq} to {seq}"
        self.seq = seq
        assert self.board == self.truth.evses(self.selection, seq), "another state than the server's"

    def _apply(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            selected = not self.selection.status or row["status"] in self.selection.status
            if row["status"] in HIDDEN or not selected:
                self.board.pop(row["evse"], None)
            else:
                self.board[row["evse"]] = (row["status"], row["error"], row["changed_at"] or "")

    def digest(self) -> str:
        """As the contract of version 2 defines it."""
        return digests.digest((evse, *told) for evse, told in self.board.items())

    def finish(self) -> None:
        assert self.board == self.truth.evses(self.selection, len(self.truth.log)), "the fold differs"
