"""Entries of the log into frames, each made once for all who hear of it; and records that change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ladestrom.core.digests import record_term
from ladestrom.core.selection import Selection, is_relocated
from ladestrom.core.view import WITHDRAWN, StationState, is_shown, sources_of
from ladestrom.formats.dialect import Message
from ladestrom.model import Change, Entry, Evse, Millis, Station, StationChanged, StatusReport
from ladestrom.reader.audience import Audience
from ladestrom.reader.channel import Channel, PendingRow
from ladestrom.reader.channels import COMPRESSED_FRAMES_MAX, PLAIN, Channels

Whereabouts = tuple[Station, Sequence[str], int]
"""What a selection sees of a station: its record, sources of the EVSEs that it has, the record's revision."""


class _Outgoing(msgspec.Struct):
    """A change that is told, and what becomes of it: each made once for all who hear of it."""

    state: StationState
    """Of its station, the change included."""
    before: Change | None
    """The change that it replaced."""
    change: Change
    plainly: bool
    """Whether it goes out uncompressed where it goes out alone."""
    encoded: dict[str, bytes] = {}
    """By dialect."""
    rows: dict[str, PendingRow] = {}
    """Likewise, of those who take each change of a station."""
    frames: dict[tuple[str, str], tuple[bytes, int]] = {}
    """By dialect and framing."""


class Encoding:
    """Of one reader. What it makes waits in channels for the next pass."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self.raw_left = channels.limits.raw_items_max
        """Raw messages that this pass still takes."""

    def take(self, entries: Sequence[Entry], together: int = 0) -> None:
        """Applies entries to the view and makes their bytes; the next pass writes them.

        Args:
            entries: the next ones of the log.
            together: how many came at once, where these are only some of them.
        """
        view = self._channels.view
        plainly = max(together, len(entries)) > COMPRESSED_FRAMES_MAX
        is_heard = bool(self._channels.all)
        for entry in entries:
            if isinstance(entry, StationChanged):
                self._record(entry)
                continue
            state, before = view.apply(entry)
            if not is_heard:
                continue
            change = entry.change
            if self._channels.telling_records:
                self._tell_record(change, state, before)
            hearing = self._channels.hearing(state.uuid, change.evse, (change.source, change.was_source))
            if hearing:
                self._encode(hearing, _Outgoing(state, before, change, plainly))
        self._channels.wake.set()

    def _encode(self, hearing: Iterable[Audience], outgoing: _Outgoing) -> None:
        """Hands a change to all who hear of it."""
        for audience in hearing:
            for (name, framing), put_frames in audience.single.items():
                frame = self._single(outgoing, name, framing)
                if frame is not None:
                    for put_frame in put_frames.values():
                        put_frame(frame)
            for name, put_rows in audience.gathering.items():
                row = self._row(outgoing, name)
                for put_row in put_rows.values():
                    put_row(row)
            for name, put_rows in audience.choosy.items():
                for channel, put_row in put_rows.items():
                    chosen = self._chosen(outgoing, name, channel.subscription.selection)
                    if chosen is not None:
                        put_row(chosen)

    def _encoded(self, outgoing: _Outgoing, name: str) -> bytes:
        encoded = outgoing.encoded.get(name)
        if encoded is None:
            encoded = outgoing.encoded[name] = self._channels.dialects[name].row(
                self._channels.view, outgoing.state, outgoing.change
            )
        return encoded

    def _single(self, outgoing: _Outgoing, name: str, framing: str) -> tuple[bytes, int] | None:
        """None where the dialect cannot tell of the change."""
        frame = outgoing.frames.get((name, framing))
        if frame is None:
            seq = outgoing.state.seq
            for message in self._channels.dialects[name].changes(
                self._channels.view, seq, seq, (self._encoded(outgoing, name),)
            ):
                frame = self._channels.frame(PLAIN[framing] if outgoing.plainly else framing, message), seq
                outgoing.frames[name, framing] = frame
        return frame

    def _row(self, outgoing: _Outgoing, name: str) -> PendingRow:
        row = outgoing.rows.get(name)
        if row is None:
            dialect, view, before, change = (
                self._channels.dialects[name],
                self._channels.view,
                outgoing.before,
                outgoing.change,
            )
            was_count, was_term = dialect.term(view, before)
            count, term = dialect.term(view, change)
            deltas = count - was_count, term - was_term, 0
            row = outgoing.rows[name] = self._encoded(outgoing, name), outgoing.state.seq, *deltas
        return row

    def _chosen(self, outgoing: _Outgoing, name: str, selection: Selection) -> PendingRow | None:
        """For those who look at EVSE, status and source; None where they did not choose it."""
        dialect, view, before, change = (
            self._channels.dialects[name],
            self._channels.view,
            outgoing.before,
            outgoing.change,
        )
        chosen = dialect.chosen(selection, change, view.directory.stations.get(change.station))
        if chosen is None:
            return None
        was_count, was_term = dialect.digest(view, selection, before)
        count, term = dialect.digest(view, selection, change)
        deltas = count - was_count, term - was_term, 0
        encoded = self._encoded(outgoing, name) if chosen is change else dialect.entry(view, chosen)
        return encoded, outgoing.state.seq, *deltas

    def offer(self, evse: Evse, report: StatusReport, observed_at: Millis) -> None:
        """Takes a report that the hub heard, for `status:raw`; dropped when a pass has enough of them."""
        if self.raw_left <= 0:
            self._channels.counts.raw_dropped += 1
            return
        hearing = self._channels.hearing(evse.station, evse.key)
        channels = [channel for audience in hearing for channel in audience.raw]
        if not channels:
            return
        self.raw_left -= 1
        made: dict[str, Sequence[Message]] = {}
        for channel in channels:
            subscription = channel.subscription
            if subscription.dialect not in made:
                made[subscription.dialect] = self._channels.dialects[subscription.dialect].raw(
                    self._channels.view, evse, report, observed_at
                )
                self._channels.counts.raw_sent += len(made[subscription.dialect])
            for message in made[subscription.dialect]:
                channel.push(self._channels.frame(subscription.framing, message), self._channels.view.seq)
        self._channels.wake.set()

    def _record(self, entry: StationChanged) -> None:
        """Applies the change of a station's record; who selected it before or selects it now is told."""
        view, after = self._channels.view, entry.change.station
        known = view.records.get(after.uuid)
        state, before = view.take_record(entry)
        if state is None or before is None or not self._channels.all:
            return
        sources = sources_of(state.here())
        was_seq = 0 if known is None else known.seq
        for channel in self._channels.telling_records:
            self._tell_whereabouts(channel, state, (before, sources, was_seq), (after, sources, entry.seq))
        if is_relocated(before, after):
            self._relocate(before, after, state)
        for name, dialect in self._channels.dialects.items():
            row = dialect.reshaped(view, state, before)
            if row is not None:
                self._reshape(name, row, before, after)

    def _tell_record(self, change: Change, state: StationState, before: Change | None) -> None:
        """Tells the record of a station that the change of an EVSE's status brings into a selection, or out.

        That is the first one of a station, the last one, or one by which the EVSE is another source's.
        """
        station = self._channels.view.station(state)
        was_here = before is not None and before.cause is not WITHDRAWN
        is_here = change.cause is not WITHDRAWN
        if station is None or (was_here == is_here and before is not None and before.source == change.source):
            return
        others = sources_of(each for each in state.here() if each.evse != change.evse)
        seq = self._channels.view.records[state.uuid].seq
        was = station, (*others, before.source) if before is not None and was_here else others, seq
        now = station, (*others, change.source) if is_here else others, seq
        for channel in self._channels.telling_records:
            if not others or channel.subscription.selection.operator:
                self._tell_whereabouts(channel, state, was, now)

    def _tell_whereabouts(
        self, channel: Channel, state: StationState, was: Whereabouts, now: Whereabouts
    ) -> None:
        """Tells one channel a record that changed or came into its selection, or that it left.

        Args:
            channel: whose dialect tells records.
            state: of the station, after the entry.
            was: what its selection saw before.
            now: what it sees now.
        """
        view, subscription = self._channels.view, channel.subscription
        dialect = self._channels.dialects[subscription.dialect]
        was_there, is_there = (
            is_shown(station, sources, subscription.selection) for station, sources, _ in (was, now)
        )
        gone_term = record_term(state.uuid, was[2]) if was_there else 0
        if is_there:
            if not was_there or was[2] != now[2]:
                row = dialect.record(view, state)
                channel.put_row((row, view.seq, 0, 0, record_term(state.uuid, now[2]) - gone_term))
        elif was_there:
            channel.put_row((dialect.gone(state.uuid), view.seq, 0, 0, -gone_term))

    def _relocate(self, before: Station, after: Station, state: StationState) -> None:
        view, choosers = self._channels.view, self._channels.audiences.choosers
        keys, sources = state.changes.keys(), tuple(state.sources())
        for channel in choosers(before, keys, sources) | choosers(after, keys, sources):
            subscription = channel.subscription
            dialect = self._channels.dialects[subscription.dialect]
            rows = (
                dialect.relocated(view, subscription.selection, [before], state, view.seq, view.seq)
                if subscription.updates
                else ()
            )
            if dialect.batched:
                for row, count, term in rows:
                    channel.put_row((row, view.seq, count, term, 0))
            else:
                for message in dialect.changes(view, view.seq, view.seq, [row for row, _, _ in rows]):
                    channel.push(self._channels.frame(subscription.framing, message), view.seq)

    def _reshape(self, name: str, row: bytes, before: Station, after: Station) -> None:
        """Tells those who have the station all the time that it looks other than before."""
        view, framed = self._channels.view, {}
        for channel in list(self._channels.all.values()):
            subscription = channel.subscription
            selection = subscription.selection
            if not (subscription.dialect == name and subscription.updates):
                continue
            if selection.covers(before) and selection.covers(after):
                framing = subscription.framing
                if framing not in framed:
                    (message,) = self._channels.dialects[name].changes(view, view.seq, view.seq, (row,))
                    framed[framing] = self._channels.frame(framing, message)
                channel.push(framed[framing], view.seq)
