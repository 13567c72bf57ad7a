"""Faults to plant into the code, one for each way to break what a consumer was promised.

A fault is a piece of one function's source and what stands there instead. One that no longer fits the code cannot
be planted, and says so.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final, NamedTuple

from tests.simulation.nature import Kind

from ladestrom.backends.memory import MemoryLog
from ladestrom.client.session import Session
from ladestrom.client.v2_session import V2Session
from ladestrom.core import records, selection
from ladestrom.core.board import Round
from ladestrom.core.directory import Directory
from ladestrom.core.records import Records
from ladestrom.core.view import Order, View, Walk
from ladestrom.outputs.nobil_v1.encoder import NobilDialect, NobilFormat
from ladestrom.outputs.stream_v2 import encoder
from ladestrom.outputs.stream_v2.encoder import V2Dialect, V2Drawing
from ladestrom.reader.audience import Audiences
from ladestrom.reader.broadcast import Broadcast
from ladestrom.reader.catching_up import CatchingUp
from ladestrom.reader.channel import Channel
from ladestrom.reader.channels import Channels
from ladestrom.reader.digests import Digests
from ladestrom.reader.encoding import Encoding
from ladestrom.reader.fanout import Fanout
from ladestrom.reader.replay import Replays
from ladestrom.reader.snapshots import Snapshots
from ladestrom.writer.reconciliation import Reconciliation

SEEDS_MAX: Final = 20
"""Worlds within which every fault is found."""


class Fault(NamedTuple):
    """What goes wrong, and how it comes about."""

    what: str
    owner: type | ModuleType
    function: str
    right: str
    """Stands once in the function's source."""
    wrong: str
    kind: Kind = Kind.MIXED
    """The kind of world in which it shows soon."""
    first: int = 0
    """Seed of the first world to look at: one that needs much to come together shows in few."""


FAULTS: Final = (
    # -- changes ---------------------------------------------------------------------------------------------
    Fault(
        "a change is skipped",
        Encoding,
        "take",
        "if hearing:",
        "if hearing and entry.seq % 17:",
    ),
    Fault(
        "a change is told twice",
        Encoding,
        "take",
        "if hearing:",
        "for _ in range(1 + (entry.seq % 17 == 0) if hearing else 0):",
    ),
    Fault("two changes change places", Channels, "flush", "channel.take_rows()", "channel.take_rows()[::-1]"),
    Fault(
        "a change that leads out of the chosen statuses is not told",
        V2Dialect,
        "wanted",
        " or change.was_status in statuses",
        "",
    ),
    Fault("a new selection hears of no changes", Channels, "of", "self.audiences.add(channel)", "pass"),
    Fault(
        "one who follows an operator and came later hears of no changes",
        Audiences,
        "add",
        "self._enlist(channel, kind, audience)",
        "pass",
    ),
    Fault(
        "one who follows a station takes the place of who was there",
        Audiences,
        "add",
        "index.setdefault(key, {})[channel] = None",
        "index[key] = {channel: None}",
    ),
    Fault("a box hears of one cell only", Audiences, "add", "in keys:", "in list(keys)[:1]:"),
    Fault("a station's update says a later position", NobilFormat, "update", "state.seq,", "state.seq + 1,"),
    # -- chains ----------------------------------------------------------------------------------------------
    Fault(
        "prev is that of an earlier message",
        V2Dialect,
        "changes",
        "changes(view.epoch, prev,",
        "changes(view.epoch, max(0, prev - 1),",
    ),
    Fault(
        "the position moves with the first part of a batch",
        V2Dialect,
        "changes",
        "changes(view.epoch, prev, seq if number == last else prev, group)",
        "changes(view.epoch, seq if number else prev, seq, group)",
    ),
    Fault(
        "frames leave the window uncounted", Channel, "trim", "self.start += count", "self.start += count - 1"
    ),
    Fault("a frame is passed over", Channel, "chunk", "number + len(frames)", "number + len(frames) + 1"),
    Fault(
        "whoever is behind the window goes on at its beginning",
        Broadcast,
        "pump",
        "if subscriber.next >= channel.start:",
        "subscriber.next = max(subscriber.next, channel.start)\n            if True:",
        kind=Kind.TORRENT,
    ),
    # -- snapshots -------------------------------------------------------------------------------------------
    Fault(
        "a snapshot's age is not made up for",
        Snapshots,
        "take",
        "self._driver.go_live(subscriber, made.next",
        "self._driver.go_live(subscriber, channel.end",
        kind=Kind.CHOOSY,
    ),
    Fault(
        "a snapshot says a later position",
        V2Drawing,
        "messages",
        "self._seq",
        "self._seq + 1",
    ),
    Fault(
        "a snapshot says an earlier position",
        V2Drawing,
        "messages",
        "self._seq",
        "max(0, self._seq - 1)",
    ),
    Fault(
        "a snapshot holds what is still to be told",
        Snapshots,
        "_begun",
        "self._channels.flush(channel)",
        "pass",
        kind=Kind.CHOOSY,
    ),
    Fault(
        "a snapshot lacks an EVSE",
        V2Drawing,
        "add",
        "in state.changes.values()",
        "in list(state.changes.values())[1:]",
    ),
    Fault(
        "a snapshot shows what changed while it was made",
        View,
        "apply",
        "walk.before(change.station)",
        "pass",
    ),
    Fault(
        "a snapshot shows a station again that has changed since",
        Walk,
        "go",
        "if uuid not in early:",
        "if True:",
    ),
    Fault(
        "who waited too long for a snapshot goes on at the window's beginning",
        Snapshots,
        "take",
        "self._driver.resume(subscriber, made.seq)",
        "self._driver.go_live(subscriber, channel.start, made.seq)",
        kind=Kind.TORRENT,
    ),
    Fault(
        "who left while a snapshot was made is not forgotten",
        Broadcast,
        "leave",
        "channel.waiting.pop(subscriber, None)",
        "pass",
    ),
    Fault(
        "a snapshot is made to its end though nobody waits for it",
        Broadcast,
        "leave",
        "self._snapshots.works.give_up(channel)",
        "pass",
    ),
    Fault(
        "who comes while a snapshot is made is forgotten",
        Snapshots,
        "ask",
        "channel.waiting[subscriber] =",
        "if not is_making: channel.waiting[subscriber] =",
    ),
    Fault(
        "as many snapshots are made at once as are asked for",
        Snapshots,
        "_make",
        "async with self._walks.room:",
        "if True:",
    ),
    Fault(
        "a reset has no snapshot",
        Broadcast,
        "restart",
        "if snapshot:",
        "if snapshot and reason is None:",
        kind=Kind.TORRENT,
    ),
    # -- heartbeats ------------------------------------------------------------------------------------------
    Fault(
        "the digest does not learn of changes",
        Encoding,
        "_row",
        "count - was_count, term - was_term",
        "-was_count, -was_term",
    ),
    Fault(
        "the digest does not forget what was before",
        Encoding,
        "_row",
        "count - was_count, term - was_term",
        "count, term",
    ),
    Fault(
        "the digest of who chooses does not learn of changes",
        Encoding,
        "_chosen",
        "count - was_count, term - was_term",
        "-was_count, -was_term",
        kind=Kind.CHOOSY,
    ),
    Fault(
        "the digest of who chooses does not forget what was before",
        Encoding,
        "_chosen",
        "count - was_count, term - was_term",
        "count, term",
        kind=Kind.CHOOSY,
    ),
    Fault(
        "the digest does not learn of what waits",
        Channels,
        "flush",
        "channel.add(",
        "max(",
    ),
    Fault(
        "the digest does not learn of what changes while it is added up",
        Channels,
        "flush",
        "channel.add(",
        "channel.is_added_up and channel.add(",
    ),
    Fault(
        "the digest learns twice of what waited when it was added up",
        Digests,
        "_add_up",
        "self._channels.flush(channel)",
        "pass",
        kind=Kind.CHOOSY,
    ),
    Fault(
        "a digest is told that is not added up",
        Digests,
        "beat",
        "if channel.is_added_up or self.adds_up_at_once(channel):",
        "if channel.is_added_up or self.adds_up_at_once(channel) or True:",
    ),
    Fault(
        "a digest is added up from its beginning once more",
        Digests,
        "adds_up_at_once",
        "if channel in self.works:",
        "if False:",
    ),
    Fault(
        "different choices share their messages",
        Channels,
        "messages",
        "tuple(map(id, rows))",
        "()",
        kind=Kind.CHOOSY,
    ),
    Fault("a heartbeat passes changes that wait", Digests, "beat", "self._channels.flush(channel)", "pass"),
    Fault("no heartbeat is sent", Fanout, "once", "if channel.heartbeat_due_s <= now:", "if False:"),
    # -- coming back -----------------------------------------------------------------------------------------
    Fault(
        "a resume begins one too late",
        Broadcast,
        "join",
        "subscriber, since.seq)",
        "subscriber, since.seq + 1)",
    ),
    Fault(
        "a resume begins one too early",
        Broadcast,
        "join",
        "subscriber, since.seq)",
        "subscriber, max(0, since.seq - 1))",
    ),
    Fault("every resume is a reset", Broadcast, "unresumable", "return None", 'return "expired"'),
    Fault(
        "another epoch is resumed",
        Broadcast,
        "unresumable",
        "if since.epoch != self.view.epoch:",
        "if False:",
        kind=Kind.COMING,
    ),
    Fault(
        "what has expired is resumed",
        Broadcast,
        "unresumable",
        "if every and since",
        "if False and since",
        kind=Kind.TORRENT,
    ),
    Fault("conflation forgets an EVSE", V2Dialect, "missed", "for held in found]", "for held in found[1:]]"),
    Fault("conflation forgets a station", View, "_newer", "found.reverse()", "found = found[:0:-1]"),
    Fault(
        "who is far behind hears nothing more",
        Broadcast,
        "pump",
        "self._catching_up.put(subscriber)",
        "return",
    ),
    Fault(
        "who is caught up in turns misses what changes meanwhile",
        View,
        "changed_since",
        "order.seq < self.seq:",
        "False:",
    ),
    Fault(
        "a station that changes again leads past those before it",
        Order,
        "after",
        "if state.seq == seqs[place]:",
        "if True:",
    ),
    Fault(
        "who left while it was caught up is not forgotten",
        Broadcast,
        "leave",
        "self._catching_up.discard(subscriber)",
        "pass",
    ),
    Fault(
        "stations are not in the order of their changes",
        View,
        "_put",
        "self._states.move_to_end(change.station)",
        "pass",
    ),
    Fault(
        "a position is told before all up to it",
        CatchingUp,
        "some",
        "ends = channel.chain if whole else stated",
        "ends = channel.chain",
    ),
    Fault(
        "whoever has caught up misses a frame",
        CatchingUp,
        "some",
        "next = channel.end",
        "next = channel.end + 1",
    ),
    Fault(
        "a replay misses what came meanwhile",
        Replays,
        "_replay_entries",
        "go_live(subscriber, follows,",
        "go_live(subscriber, channel.end,",
        kind=Kind.CHOOSY,
    ),
    Fault(
        "a replay passes over what the log dropped",
        Replays,
        "_tell_changes",
        "if not entries or entries[0].seq != subscriber.seq + 1:",
        "if not entries:",
        kind=Kind.TORRENT,
    ),
    Fault(
        "a replay ends one change early",
        Replays,
        "_replay_entries",
        "channel.chain, channel.end",
        "channel.chain - 1, channel.end",
    ),
    Fault("who wants every change is conflated", Broadcast, "resume", "if subscriber.every:", "if False:"),
    Fault(
        "who is too slow for every change is forgotten",
        Broadcast,
        "_fall_behind",
        "if subscriber.every:",
        "if False:",
        kind=Kind.TORRENT,
    ),
    Fault(
        "a log is recovered without its end",
        MemoryLog,
        "recover",
        "self._dropped) :]:",
        "self._dropped) : -1]:",
    ),
    # -- memory ----------------------------------------------------------------------------------------------
    Fault(
        "a full buffer is written to",
        Broadcast,
        "pump",
        "while not sink.paused and",
        "while",
        kind=Kind.TORRENT,
    ),
    Fault("a window grows for ever", Channel, "trim", "over = self._bytes - WINDOW_BYTES_MAX", "over = 0"),
    Fault(
        "who has gone is still served", Broadcast, "leave", "channel.subscribers.discard(subscriber)", "pass"
    ),
    Fault("who selects anew is served twice", Broadcast, "select", "self.leave(subscriber)", "pass"),
    # -- a registry that changes -----------------------------------------------------------------------------
    Fault(
        "who has left is named otherwise",
        Directory,
        "name",
        "self.left.get(key, key)",
        "key + '9'",
        kind=Kind.COMING,
    ),
    Fault(
        "who has moved is taken out again",
        encoder,
        "_has_moved_on",
        "return selection.covers(",
        "return not selection.covers(",
        kind=Kind.MOVING,
    ),
    Fault(
        "a vanished station leaves the digest too early",
        Digests,
        "_add",
        "view.is_covered(",
        "view.listed(",
        kind=Kind.MOVING,
    ),
    Fault(
        "a vanished EVSE is not told to who asked for it",
        Audiences,
        "of",
        "self._batched), (evse,)",
        "self._batched), ()",
        kind=Kind.COMING,
    ),
    # -- records of stations ---------------------------------------------------------------------------------
    Fault(
        "readers do not take records",
        View,
        "take_record",
        "self._keep(",
        "(lambda *_: None)(",
        kind=Kind.RENEWED,
    ),
    Fault(
        "a record does not show in what formats made",
        View,
        "take_record",
        "state.bodies.clear()",
        "pass",
        kind=Kind.RENEWED,
    ),
    Fault(
        "a snapshot shows a record that changed while it was made",
        View,
        "take_record",
        "walk.before(uuid)",
        "pass",
        kind=Kind.RENEWED,
    ),
    Fault(
        "a record is no change of its station",
        View,
        "take_record",
        "state.seq = entry.seq",
        "pass",
        kind=Kind.RENEWED,
    ),
    Fault(
        "a station does not come last by its record",
        View,
        "take_record",
        "self._states.move_to_end(uuid)",
        "pass",
        kind=Kind.RENEWED,
    ),
    Fault(
        "a view is loaded without records",
        View,
        "load",
        "for row in stations:",
        "for row in ():",
        kind=Kind.RENEWED,
    ),
    Fault(
        "a view is loaded without what left",
        View,
        "load",
        "for left in row.left]",
        "for left in ()]",
        kind=Kind.RETURNING,
        first=90,
    ),
    Fault(
        "what a station was is forgotten by one who resumes where it ended",
        View,
        "former",
        "each.until > since",
        "each.until > since + 1",
        kind=Kind.RETURNING,
        first=10,
    ),
    Fault(
        "an outline is not kept beside a record",
        records,
        "follow",
        "former.append(",
        "(lambda *_: None)(",
        kind=Kind.RENEWED,
    ),
    Fault(
        "another record ends all that was before",
        records,
        "follow",
        "entry.seq, change.station, row.former, row.lost_seq, row.left",
        "entry.seq, change.station",
        kind=Kind.RENEWED,
        first=80,
    ),
    Fault(
        "another place is no other outline",
        selection,
        "is_relocated",
        "(before.longitude, before.latitude) != (after.longitude, after.latitude)",
        "False",
        kind=Kind.RENEWED,
        first=10,
    ),
    Fault(
        "another operator is no other outline",
        selection,
        "is_relocated",
        "set(operator_words(before)) != set(operator_words(after))",
        "False",
        kind=Kind.RENEWED,
    ),
    Fault(
        "the writer keeps no records", Records, "take", "self._touched.add(uuid)", "pass", kind=Kind.RETURNING
    ),
    Fault(
        "the writer forgets what left",
        Records,
        "follow_moves",
        "self._touched.update(move(self._rows, last, change))",
        "pass",
        kind=Kind.RETURNING,
        first=90,
    ),
    Fault(
        "records come after what stands on them",
        Round,
        "logged",
        "return [*made, *self.changes[done:]]",
        "return [*self.changes, *(record for _, record in self.records)]",
        kind=Kind.RENEWED,
    ),
    Fault(
        "what a log of before lacks is not in its checkpoint",
        Reconciliation,
        "adopt",
        "return rows",
        "return []",
        kind=Kind.RETURNING,
        first=10,
    ),
    Fault(
        "who selected a station before is not told that it left",
        Encoding,
        "_relocate",
        "choosers(before, keys, sources) | choosers(after, keys, sources)",
        "choosers(after, keys, sources)",
        kind=Kind.RENEWED,
    ),
    Fault(
        "who is caught up passes a station that left",
        CatchingUp,
        "some",
        "while left and left[0][0] < state.seq:",
        "while left and not states:",
        kind=Kind.TORRENT,
        first=35,
    ),
    Fault(
        "who selects a station now is not told that it came",
        Encoding,
        "_relocate",
        "choosers(before, keys, sources) | choosers(after, keys, sources)",
        "choosers(before, keys, sources)",
        kind=Kind.RENEWED,
    ),
    Fault(
        "the digest does not learn that a station moved",
        Encoding,
        "_relocate",
        "count, term, 0)",
        "0, 0, 0)",
        kind=Kind.RENEWED,
    ),
    Fault(
        "version 1 is not told of another plug",
        Encoding,
        "_reshape",
        "if selection.covers(before) and selection.covers(after):",
        "if False:",
        kind=Kind.RENEWED,
    ),
    Fault(
        "who was away is not told of a station that left",
        Channels,
        "missed",
        "moved += [",
        "moved and [",
        kind=Kind.RENEWED,
    ),
    Fault(
        "who was away keeps what was hidden before its station left",
        V2Dialect,
        "relocated",
        "and entry.seq > since",
        "and entry.seq < 0",
        kind=Kind.RENEWED,
    ),
    Fault(
        "one who wants each change is not told of a station that moved",
        Replays,
        "_replay_entries",
        "await self._tell_moved(subscriber, moved)",
        "pass",
        kind=Kind.RENEWED,
    ),
    Fault(
        "version 1 says the server's position of a station that moved",
        NobilDialect,
        "relocated",
        "_update(view.epoch, seq, body)",
        "_update(view.epoch, view.seq, body)",
        kind=Kind.RENEWED,
        first=40,
    ),
    Fault(
        "version 1 keeps a station that left",
        NobilDialect,
        "relocated",
        "_unknown(state)",
        "state",
        kind=Kind.RENEWED,
    ),
    # -- consumers -------------------------------------------------------------------------------------------
    Fault(
        "a consumer takes half a snapshot for the whole",
        V2Session,
        "_snapshot",
        "if read.part < read.parts else",
        "if False else",
    ),
    Fault(
        "a consumer resumes with another selection",
        V2Session,
        "since",
        " or self._asked",
        "",
        kind=Kind.CHOOSY,
    ),
    Fault("a consumer tells half a batch", V2Session, "_changes", "if read.seq == read.prev:", "if False:"),
    Fault(
        "a consumer keeps half a batch for the next connection",
        V2Session,
        "open",
        "self._held = []",
        "pass",
        kind=Kind.CHOOSY,
    ),
    Fault(
        "a consumer keeps half a batch for another selection",
        V2Session,
        "_selected",
        "self._held = []",
        "pass",
        kind=Kind.CHOOSY,
    ),
    Fault("a consumer keeps what was removed", V2Session, "_apply", "row.status not in HIDDEN and ", ""),
    Fault(
        "a consumer keeps what a snapshot lacks",
        V2Session,
        "_take",
        "= coming.board,",
        "= self.board | coming.board,",
    ),
    Fault(
        "a consumer of version 1 forgets the last update",
        Session,
        "_fold_update",
        "self.board[station.uuid] = station",
        "pass",
    ),
)
