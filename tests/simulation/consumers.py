"""Consumers with the real sessions, which compare what they were told with the truth at every step.

Knows the sessions, the roads and the truth; knows nothing of how a server is made.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, Protocol

import msgspec
from tests.contracts.frames import checked
from tests.simulation.losses import CHANCE, Loss
from tests.simulation.nature import Nature
from tests.simulation.network import GOOD, SLOW, EventReader, FrameReader, Link, Road, Server
from tests.simulation.truth import (
    NO_BODY,
    Body,
    Reader,
    RecordTold,
    StationReader,
    Told,
    Truth,
    Was,
    Wish,
    spelling,
)

from ladestrom.client import session as v1
from ladestrom.client import v2_events as v2
from ladestrom.client.session import Session, StationStatus
from ladestrom.client.v2_session import Mode, V2Session
from ladestrom.model import Position

MOVED: Final = frozenset({"selected", "deselected"})
NONSENSE: Final = b'{"type":"select","country":"Atlantis"}'


class Request(msgspec.Struct, frozen=True):
    """What a consumer asks of a server."""

    dialect: str
    framing: str
    words: Mapping[str, str]
    since: str | None
    at: int | None = None
    """An instant to resume from, in place of a position."""
    every: bool = False
    raw: bool = False
    batch_ms: int = 0


class Surroundings(Protocol):
    """What a consumer needs of the world."""

    nature: Nature
    seen: Counter[str]
    subscription: Mapping[str, Wish]
    """By the query that asks for it."""
    checks_frames: bool
    """Whether messages are held against the published document, too."""
    loss: Loss | None
    """What consumers lose on their way now. What they know is compared with the truth only where they believe
    that they are in step."""

    def wrong(self, what: str) -> None:
        """Something happened that must not."""

    def connect(self, request: Request, make: Callable[..., Link]) -> Link | None:
        """A connection to the server that runs now; None where none does."""

    def truth(self, epoch: str) -> Truth:
        """The log of an epoch."""

    @property
    def history_seq(self) -> int:
        """Oldest position from which each change can be had now."""

    @property
    def epoch(self) -> str:
        """That of the log now."""


class Consumer:
    """Connects, is cut off, stays away, comes back. What the two versions have in common."""

    def __init__(self, name: str, world: Surroundings, rng: random.Random, framing: str) -> None:
        self.name = name
        self.link: Link | None = None
        self.road: Road = rng.choice(world.nature.roads)
        self._world = world
        self._rng = rng
        self._framing = framing
        self._frames: FrameReader | EventReader = FrameReader()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._opened_s = 0.0
        self._asked: str | None = None
        self._trace = 0

    # -- what differs ------------------------------------------------------------------------------------

    def request(self) -> Request:
        """What to ask for."""
        raise NotImplementedError

    def opened(self) -> None:
        """The session learns that a connection stands."""
        raise NotImplementedError

    def away_s(self, lasted_s: float) -> float:
        """The session says how long to stay away."""
        raise NotImplementedError

    def told(self, message: bytes, identity: str | None) -> None:
        """One message."""
        raise NotImplementedError

    def rests(self, last: Position) -> str | None:
        """What is still to come when the log has come to rest at `last`; None where nothing is."""
        raise NotImplementedError

    # -- connections -------------------------------------------------------------------------------------

    def come(self, after_s: float = 0.0) -> None:
        """Connects after this time."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(after_s, self._connect)

    def _connect(self) -> None:
        self._timer = None
        if self.link is not None:
            return
        request = self.request()
        self._asked = request.since
        self._frames = EventReader() if self._framing == "event" else FrameReader()
        link = self._world.connect(request, self._link)
        if link is None:
            self.come(self.away_s(0.0))
            return
        self.link = link
        self._opened_s = self._loop.time()
        self._world.seen["connections"] += 1
        self._world.seen["resumes"] += request.since is not None
        self.opened()

    def _link(self, server: Server) -> Link:
        buffer_bytes_max = self._world.nature.buffer_bytes_max
        return Link(self, server, self.road, buffer_bytes_max, self._rng, self._wrong)

    def received(self, data: bytes) -> None:
        """Implements `network.End.received`."""
        for message, identity in self._frames.read(data):
            if self.link is None:
                # It has left because of the message before.
                return
            self._trace = zlib.crc32(message, self._trace)
            self._world.seen["messages"] += 1
            if self._world.checks_frames:
                checked(message)
            self.told(message, identity)

    def lost(self, code: int, why: str) -> None:
        """Implements `network.End.lost`."""
        link, self.link = self.link, None
        if code == SLOW and link is not None:
            self.overrun(link)
        self._world.seen[f"lost: {why}"] += 1
        self.come(self.away_s(self._loop.time() - self._opened_s))

    def overrun(self, link: Link) -> None:
        """Closed for being too slow."""
        self._wrong(f"closed as too slow at {link.overrun_at}")

    def leave(self, away_s: float) -> None:
        """Goes away for so long."""
        if self.link is not None:
            link, self.link = self.link, None
            link.cut("left", noticed=True)
        self.away_s(self._loop.time() - self._opened_s)
        self.come(away_s)

    def trace(self, before: int) -> int:
        """A number that depends on all that was told, and on what came before."""
        return zlib.crc32(self._trace.to_bytes(4, "big"), before)

    def _kept(self, epoch: str) -> int:
        """Oldest position from which it is known what stations were."""
        return max(self._world.history_seq, self._world.truth(epoch).unknown_until)

    @property
    def waits(self) -> bool:
        """Bytes are on their way to it: a message may have come in part."""
        return self.link is not None and self.link.size > 0

    def hurry(self) -> None:
        """No more delays: the road is mended, and who is away comes at once."""
        self.road = GOOD
        if self.link is not None:
            self.link.mend()
        else:
            self.come()

    def _wrong(self, what: str) -> None:
        self._world.wrong(f"{self.name}: {what}")


class V1Consumer(Consumer):
    """A consumer of the NOBIL stream."""

    def __init__(
        self, name: str, world: Surroundings, rng: random.Random, framing: str, wish: Wish, *, raw: bool
    ) -> None:
        super().__init__(name, world, rng, framing)
        self.session = Session()
        self._wish = wish
        self._raw = raw
        self._reader: StationReader | None = None

    def request(self) -> Request:
        return Request("v1", self._framing, self._wish.words, self.session.since, raw=self._raw)

    def opened(self) -> None:
        self.session.open()

    def away_s(self, lasted_s: float) -> float:
        return self.session.lose(self._rng.random(), lasted_s=lasted_s)

    def told(self, message: bytes, identity: str | None) -> None:
        event = self.session.receive(message)
        match event:
            case v1.Fault():
                self._wrong(f"{event.kind}: {event.detail}")
            case v1.Snapshot(position=Position() as position):
                asked = None if self._asked is None else Position.parse(self._asked)
                if (
                    asked is not None
                    and asked.epoch == position.epoch
                    and not (self._wish.by_whereabouts and asked.seq < self._kept(asked.epoch))
                ):
                    self._wrong(f"asked for what came after {asked}, and got a snapshot")
                self._asked = None
                reader = self._reader = StationReader(self._world.truth(position.epoch), self._wish)
                reader.go(position.seq)
                self._world.seen["v1 snapshots"] += 1
                self._compare(reader, position)
            case v1.Update(position=Position() as position, station=station):
                self._update(position, station)
            case v1.Raw():
                self._world.seen["raw"] += 1

    def _update(self, position: Position, station: StationStatus) -> None:
        self._asked = None
        reader = self._reader
        if reader is None:
            self._wrong("an update came before any snapshot")
            return
        reader.go(position.seq)
        self._world.seen["v1 updates"] += 1
        if not reader.shows(station.uuid, _body(station)):
            self._wrong(f"{station.uuid} at {position}: {_body(station)} is not {reader.body(station.uuid)}")
        for uuid in reader.uuids() | self.session.board.keys():
            # What has changed again since may be told later; what has not must be here by now.
            if reader.truth.newest[uuid] <= position.seq:
                self._compare_one(reader, uuid, position)

    def _compare(self, reader: StationReader, position: Position) -> None:
        board = self.session.board
        uuids = {uuid for uuid in reader.uuids() if reader.body(uuid) != NO_BODY}
        shown = {uuid for uuid, station in board.items() if uuid in uuids or station.connectors}
        if shown != uuids:
            self._wrong(f"at {position} stations are {sorted(shown)}, not {sorted(uuids)}")
        for uuid in uuids & shown:
            self._compare_one(reader, uuid, position)

    def _compare_one(self, reader: StationReader, uuid: str, position: Position) -> None:
        # One that came back without EVSEs is listed, and told of when it has one.
        known = _body(self.session.board[uuid]) if uuid in self.session.board else NO_BODY
        if not reader.shows(uuid, known):
            self._wrong(f"at {position} {uuid} is {known}, not {reader.body(uuid)}")

    def rests(self, last: Position) -> str | None:
        reader, position = self._reader, self.session.position
        if self.link is None or self.link.size or reader is None or position is None:
            return f"{self.name} is not connected, or bytes wait"
        if position.epoch != last.epoch:
            return f"{self.name} is at {position}"
        reader = StationReader(reader.truth, self._wish)
        reader.go(last.seq)
        board = self.session.board
        behind = [
            uuid
            for uuid in reader.uuids() | board.keys()
            if not reader.shows(uuid, _body(board[uuid]) if uuid in board else NO_BODY)
        ]
        return f"{self.name} at {position} does not know of {behind}" if behind else None


class V2Consumer(Consumer):
    """A consumer of version 2, over either transport."""

    def __init__(
        self,
        name: str,
        world: Surroundings,
        rng: random.Random,
        wish: Wish,
        mode: Mode,
        *,
        records: bool = False,
        by_time: bool = False,
    ) -> None:
        super().__init__(name, world, rng, rng.choice(world.nature.framings))
        self.session = V2Session(wish.words, mode=mode, include_stations=records)
        self.last_event_id: str | None = None
        """What a browser would send."""
        self._batch_ms = rng.choice(world.nature.batches_ms)
        self._reader: Reader | None = None
        self._is_reset = False
        self._selecting = False
        self._confirmed_seq = -1
        self._replayed_from: int | None = None
        """Where the replay of the log began that may still be under way."""
        self._has_lost = False
        """Lost something since it was last in step."""
        self._records = records
        self._by_time = by_time
        self._at: int | None = None
        """The instant from which it resumes."""
        self._settles_seq = 0
        """Up to where it knew all when it asked for what it knew in part: told again, that goes back first."""

    @property
    def _every(self) -> bool:
        return self.session.mode is Mode.EVERY

    def request(self) -> Request:
        since = self.session.since
        words = self.session.ask()
        if self._rng.random() < 0.2:
            self._framing = self._rng.choice(self._world.nature.framings)
            self._batch_ms = self._rng.choice(self._world.nature.batches_ms)
        elif self._framing == "event":
            since = self.last_event_id
        self.last_event_id = since
        self._at = self._instant()
        return Request(
            "v2+stations" if self._records else "v2",
            self._framing,
            {name: text for name, text in words.items() if name not in {"mode", "include"}},
            since,
            self._at,
            every=words["mode"] == "every",
            batch_ms=self._batch_ms,
        )

    def _instant(self) -> int | None:
        """The instant of what it knows last, or one shortly before; None where it asks by position."""
        position = None if self.session.since is None else self.session.position
        if not self._by_time or position is None or self._rng.random() < 0.4:
            return None
        if position.epoch != self._world.epoch or position.seq == 0:
            return None
        return self._world.truth(position.epoch).received_at(position.seq) - self._rng.choice(
            (0, 0, 500, 3_000)
        )

    def _go_back(self, at: int) -> None:
        """Stands where the log was at an instant."""
        position = self.session.position
        assert position is not None
        truth = self._world.truth(position.epoch)
        before = Position(position.epoch, truth.before(at))
        self._settles_seq = max(self._settles_seq, position.seq)
        self.session.position = before
        self._asked = self.last_event_id = str(before)
        self._reader = Reader(truth, self._world.subscription[query(self.session.selection)])
        self._reader.go(before.seq)
        self._world.seen["resumes by time"] += 1

    def opened(self) -> None:
        self.session.open()
        self._is_reset = self._selecting = False
        if self._at is not None:
            self._go_back(self._at)
        asked = None if self._asked is None else Position.parse(self._asked).seq
        if asked is None or not self._every:
            self._replayed_from = None
        elif self._replayed_from is None or asked < self._replayed_from:
            # One that was cut off is gone on with.
            self._replayed_from = asked

    def away_s(self, lasted_s: float) -> float:
        return self.session.lose(self._rng.random(), lasted_s=lasted_s)

    def select(self, wish: Wish) -> None:
        """Asks for another selection, where the transport can."""
        if self.link is not None and self._framing != "event":
            self._send(self.session.select(wish.words))

    def ask_nonsense(self) -> None:
        """Asks for a selection that the server refuses."""
        if self.link is not None and self._framing != "event":
            self.session.select({"country": "NOR"})
            self._send(NONSENSE)

    def _send(self, message: bytes) -> None:
        if self.link is not None:
            self.link.send(message)

    def told(self, message: bytes, identity: str | None) -> None:
        event = self.session.receive(self._lossy(message))
        if identity is not None:
            self.last_event_id = identity
        position = self.session.position
        if self._framing == "event" and position is not None and self.last_event_id != str(position):
            self._wrong(f"the last event's id is {self.last_event_id}, and its content says {position}")
        self._world.seen[type(event).__name__] += 1
        match event:
            case v2.Fault(kind=v2.FaultKind.DIGEST) if self._has_lost:
                self._world.seen["losses found"] += 1
                self._has_lost = False
                self.last_event_id = None
                self.leave(0.0)
            case v2.Fault():
                self._wrong(f"{event.kind}: {event.detail}")
            case v2.Synced():
                self._has_lost = False
                self._synced(event)
            case v2.Changed() | v2.Recorded():
                self._changed(event)
            case v2.Confirmed():
                self._has_lost = False
                self._replayed_from = None
                self._moved(event.position)
                self._confirmed_seq = event.position.seq
            case v2.Reset():
                self._reset(event)
            case v2.Selected():
                self._selecting = True

    def _lossy(self, message: bytes) -> bytes:
        """The message, or what is left of it. What was lost is found when the session compares digests, or was
        told again since.
        """
        loss = self._world.loss
        if loss is None or self._rng.random() >= CHANCE:
            return message
        said = msgspec.json.decode(message)
        rows = said.get("changes")
        if not rows:
            return message
        said["changes"] = loss(rows, self._rng)
        if said["changes"] != rows:
            self._has_lost = True
            self._world.seen["losses"] += 1
        return msgspec.json.encode(said)

    def _reset(self, event: v2.Reset) -> None:
        self._is_reset = True
        if self._at is not None:
            self.last_event_id = None
        self._world.seen[f"reset: {event.reason}"] += 1
        asked = None if self._asked is None else Position.parse(self._asked)
        if asked is None:
            self._wrong(f"reset ({event.reason}) without having asked to resume")
        elif event.reason == "expired":
            wish = self._world.subscription[query(self.session.selection)]
            by_whereabouts = wish.by_whereabouts or self._records
            kept = self._kept(asked.epoch) if by_whereabouts else self._world.history_seq
            if self._at is not None:
                # Whether an entry that is kept no more was before the instant, nobody knows.
                kept = max(kept, self._world.history_seq + 1)
            if asked.seq >= kept or not (self._every or by_whereabouts or self._at is not None):
                self._wrong(f"told that {asked} has expired, and {kept} is kept")
        elif event.reason != "epoch":
            self._wrong(f"reset as {event.reason} after having asked for {asked}")

    def _synced(self, event: v2.Synced) -> None:
        position = event.position
        if self._asked is not None and not self._is_reset and not self._selecting:
            self._wrong(f"asked for what came after {self._asked}, and got a snapshot")
        self._asked = None
        # Who takes a snapshot too slowly is replayed what came after it.
        self._replayed_from = position.seq if self._every else None
        self._settles_seq = 0
        self._is_reset = self._selecting = False
        wish = self._world.subscription[query(self.session.selection)]
        reader = self._reader = Reader(self._world.truth(position.epoch), wish)
        reader.go(position.seq)
        self._confirmed_seq = -1
        self._compare(position)

    def _changed(self, event: v2.Changed | v2.Recorded) -> None:
        reader, position = self._reader, event.position
        self._asked = None
        if reader is None:
            self._wrong("changes came before any snapshot")
            return
        if self._every and not self._has_lost:
            self._compare_steps(reader, event, position)
        if not isinstance(event, v2.Recorded) or position.seq != reader.at:
            self._moved(position)

    def _moved(self, position: Position) -> None:
        self._asked = None
        reader = self._reader
        if reader is None or position.seq < reader.at:
            self._wrong(f"went back to {position} from {None if reader is None else reader.at}")
        elif position.seq > reader.at or self._every:
            reader.go(position.seq)
            if not self._has_lost and position.seq >= self._settles_seq:
                self._compare(position)

    def _compare_steps(self, reader: Reader, event: v2.Changed | v2.Recorded, position: Position) -> None:
        at, exempt = reader.at, self._exempt(reader)
        expected = [step for step in reader.steps(position.seq) if step[0] not in exempt]
        got = [(row.station, _state(row), _was(row)) for row in event.rows if row.station not in exempt]
        if _in_order(got) != _in_order(expected):
            self._wrong(f"from {at} to {position.seq}: got {got}, not {expected}")
        self._world.seen["each change"] += len(got)

    def _exempt(self, reader: Reader) -> set[str]:
        """Stations whose changes one who is replayed the log is told of as the newest records say."""
        since = self._replayed_from
        return set() if since is None or not reader.wish.by_record else reader.truth.moved_since(since)

    def _compare(self, position: Position) -> None:
        reader = self._reader
        assert reader is not None
        exempt = self._exempt(reader)
        true = reader.rows
        board = {
            (key := spelling(name)): _as_held(row, true.get(key)) for name, row in self.session.board.items()
        }
        if board != true:
            differ = {
                key: (board.get(key), true.get(key))
                for key in sorted(board.keys() | true.keys())
                if board.get(key) != true.get(key)
                and not {(board.get(key) or true[key])[0], (true.get(key) or board[key])[0]} & exempt
            }
            if differ:
                self._wrong(f"at {position}, told and true: {differ}")
        if self._records:
            self._compare_records(reader, position)

    def _compare_records(self, reader: Reader, position: Position) -> None:
        if position.seq < reader.truth.unknown_until:
            # It was told by the program of before, which had other revisions.
            return
        since = self._replayed_from
        # One who is replayed the log is told the newest records, and first.
        exempt = set() if since is None else reader.truth.changed_since(since)
        true = reader.told_records(reader.wish)
        told = {uuid: _record(record) for uuid, record in self.session.stations.items()}
        differ = {
            uuid: (told.get(uuid), true.get(uuid))
            for uuid in (told.keys() | true.keys()) - exempt
            if told.get(uuid) != true.get(uuid)
        }
        if differ:
            self._wrong(f"records at {position}, told and true: {differ}")
        self._world.seen["records"] += len(told)

    def overrun(self, link: Link) -> None:
        self._world.seen["overruns"] += 1
        at = self.session.position
        if not self._every:
            self._wrong("closed as too slow, and did not ask for every change")
        elif at is not None and link.overrun_at != at:
            self._wrong(f"told to stand at {link.overrun_at} when closed as too slow, and stands at {at}")

    def rests(self, last: Position) -> str | None:
        if self.link is None or self.link.size:
            return f"{self.name} is not connected, or bytes wait"
        if self.session.position != last or self._confirmed_seq != last.seq:
            return f"{self.name} is at {self.session.position}, in step at {self._confirmed_seq}"
        self._moved(last)
        self._compare(last)
        return None


def _record(record: Mapping[str, Any]) -> RecordTold:
    position = record["position"]
    evses = tuple((spelling(evse["evse"]), len(evse["connectors"])) for evse in record["evses"])
    return record["operator"], position["latitude"], position["longitude"], evses, record["revision"]


def query(words: Mapping[str, str]) -> str:
    """A selection's words in one order."""
    return "&".join(f"{name}={text}" for name, text in sorted(words.items()))


def _as_held(row: v2.EvseState, true: Told | None) -> Told:
    """As the log has it: that an EVSE was let in by another record of its station is not in the log."""
    state = _state(row)
    return (*state[:7], true[7]) if true is not None and row.cause == "selected" else state


def _state(row: v2.EvseState) -> Told:
    return (
        row.station,
        spelling(row.evse),
        row.status,
        row.error,
        row.changed_at,
        row.observed_at,
        row.source,
        row.cause,
    )


def _was(row: v2.EvseState) -> Was | None:
    return None if row.was is None else (row.was.status, row.was.error)


def _in_order(steps: Sequence[tuple[str, Told, Was | None]]) -> list[tuple[str, Told, Was | None]]:
    """Those that another record of a station brings about have no order among themselves."""
    found: list[tuple[str, Told, Was | None]] = []
    for _, same in groupby(steps, lambda step: step[1][7] in MOVED and step[0]):
        each = list(same)
        found += sorted(each) if each[0][1][7] in MOVED else each
    return found


def _body(station: StationStatus) -> Body:
    return station.status, tuple((each.status, each.error, each.timestamp) for each in station.connectors)
