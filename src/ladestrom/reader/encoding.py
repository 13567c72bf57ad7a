"""Entries of the log into frames, each made once for all who hear of it; and records that change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from ladestrom.core.selection import Selection, is_relocated
from ladestrom.core.view import StationState
from ladestrom.formats.dialect import Message
from ladestrom.model import Change, Entry, Evse, Millis, Station, StatusReport
from ladestrom.reader.audience import Audience
from ladestrom.reader.channel import PendingRow
from ladestrom.reader.channels import BATCH_ROWS_MAX, COMPRESSED_FRAMES_MAX, PLAIN, Channels


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
        self._taken = 0
        """Entries since it was last looked at how many changes wait in a channel."""

    def take(self, entries: Sequence[Entry]) -> None:
        """Applies entries to the view and makes their bytes; the next pass writes them."""
        view = self._channels.view
        if not self._channels.all:
            for entry in entries:
                view.apply(entry)
            return
        plainly = len(entries) > COMPRESSED_FRAMES_MAX
        for entry in entries:
            state, before = view.apply(entry)
            change = entry.change
            hearing = self._channels.hearing(state.uuid, change.evse, (change.source, change.was_source))
            if hearing:
                self._encode(hearing, _Outgoing(state, before, change, plainly))
        self._taken += len(entries)
        if self._taken >= BATCH_ROWS_MAX:
            self._taken = 0
            for channel in self._channels.all.values():
                if len(channel.rows) >= BATCH_ROWS_MAX:
                    self._channels.flush(channel)
        self._channels.wake.set()

    def _encode(self, hearing: Iterable[Audience], outgoing: _Outgoing) -> None:
        """Hands a change to all who hear of it."""
        for audience in hearing:
            for (name, framing), put_frames in audience.single.items():
                frame = self._single(outgoing, name, framing)
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

    def _single(self, outgoing: _Outgoing, name: str, framing: str) -> tuple[bytes, int]:
        frame = outgoing.frames.get((name, framing))
        if frame is None:
            seq = outgoing.state.seq
            (message,) = self._channels.dialects[name].changes(
                self._channels.view, seq, seq, (self._encoded(outgoing, name),)
            )
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
            deltas = count - was_count, term - was_term
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
        chosen = dialect.chosen(view, selection, change)
        if chosen is None:
            return None
        was_count, was_term = dialect.digest(view, selection, before)
        count, term = dialect.digest(view, selection, change)
        deltas = count - was_count, term - was_term
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

    @contextmanager
    def registering(self, stations: Sequence[Station]) -> Iterator[None]:
        """Within, in one step of the loop, these records of stations are put into the directory.

        What is being made is finished with those of before. What was made of them is made anew; those are
        told who selected a station for what it was, or select it for what it is.
        """
        view = self._channels.view
        known = [view.directory.stations.get(station.uuid) for station in stations]
        view.before_records(station.uuid for station in stations)
        yield
        view.records += 1
        relocated = []
        for before, after in zip(known, stations, strict=True):
            view.forget_bodies(after.uuid)
            if before is not None and is_relocated(before, after):
                view.relocate(before)
                relocated.append((before, after))
        for before, after in relocated if self._channels.all else ():
            self._relocate(before, after)
        for channel in self._channels.all.values():
            channel.snapshot = None

    def _relocate(self, before: Station, after: Station) -> None:
        view, state = self._channels.view, self._channels.view.get(after.uuid)
        if state is None:
            return
        keys, sources = state.changes.keys(), tuple(state.sources())
        for channel in self._channels.audiences.choosers(
            before, keys, sources
        ) | self._channels.audiences.choosers(after, keys, sources):
            subscription = channel.subscription
            dialect = self._channels.dialects[subscription.dialect]
            rows = (
                dialect.relocated(view, subscription.selection, before, state) if subscription.updates else ()
            )
            if dialect.batched:
                for row, count, term in rows:
                    channel.put_row((row, view.seq, count, term))
            else:
                for message in dialect.changes(view, view.seq, view.seq, [row for row, _, _ in rows]):
                    channel.push(self._channels.frame(subscription.framing, message), view.seq)
        self._channels.wake.set()
