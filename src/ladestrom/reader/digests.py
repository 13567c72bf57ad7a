"""Heartbeats, and what a channel's selected state adds up to (`core.digests`)."""

from __future__ import annotations

from functools import partial

from ladestrom.core.digests import record_term
from ladestrom.core.view import StationState
from ladestrom.formats.dialect import Sums
from ladestrom.reader.channel import Channel
from ladestrom.reader.channels import Channels
from ladestrom.reader.walks import Walks, Works
from ladestrom.tasks import Turns


class Digests:
    """Those of all channels."""

    def __init__(self, channels: Channels, walks: Walks) -> None:
        self._channels = channels
        self._walks = walks
        self.works = Works()
        """Digests that are being added up."""

    def beat(self, channel: Channel) -> None:
        """Puts a heartbeat into a channel whose dialect has one.

        While it is not known yet what the selected state adds up to, a message without changes is the sign of
        life, and the heartbeat follows.
        """
        subscription = channel.subscription
        dialect = self._channels.dialects[subscription.dialect]
        channel.heartbeat_due_s = self._channels.clock_s() + self._channels.limits.heartbeat_s
        if not dialect.batched:
            return
        self._channels.flush(channel)
        view, chain, seq = self._channels.view, channel.chain, self._channels.view.seq
        if channel.is_added_up or self.adds_up_at_once(channel):
            sums = Sums(channel.count, channel.digest, channel.records_digest)
            beat = dialect.heartbeat(view, chain, sums, self._channels.clock())
        else:
            beat = dialect.changes(view, chain, seq, ())
        for message in beat:
            channel.push(self._channels.frame(subscription.framing, message), seq)
        channel.chain = seq

    def adds_up_at_once(self, channel: Channel) -> bool:
        """Adds up the selected state; where it is large, in turns, after which there is a heartbeat."""
        if channel in self.works:
            return False
        channel.begin_sums()
        channel.is_added_up = self._walks.few(channel, partial(self._add, channel))
        if not channel.is_added_up:
            # Should it die, the next heartbeat begins it anew.
            self.works.start(channel, self._add_up(channel), "digest", lambda _: None)
        return channel.is_added_up

    async def _add_up(self, channel: Channel) -> None:
        async with self._walks.room:
            self._channels.flush(channel)
            channel.begin_sums()
            await self._walks.visit(channel, partial(self._add, channel), Turns())
            channel.is_added_up = True
        self.beat(channel)
        self._channels.wake.set()

    def _add(self, channel: Channel, state: StationState) -> None:
        """Adds what is selected of a station."""
        view, subscription = self._channels.view, channel.subscription
        if view.is_covered(state, subscription.selection):
            dialect = self._channels.dialects[subscription.dialect]
            for held in state.changes.values():
                channel.add(*dialect.digest(view, subscription.selection, held.change))
        if channel in self._channels.telling_records and view.shows(state, subscription.selection):
            channel.add(0, 0, record_term(state.uuid, view.records[state.uuid].seq))
