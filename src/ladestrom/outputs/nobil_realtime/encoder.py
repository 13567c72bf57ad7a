"""The messages of NOBIL Real-time: an EVSE, by the ids that NOBIL has for it, and its status.

    {"nobilId": "NOR_23314", "evseUId": "7381cc78-a032-4f23-a46f-3e0ebe4590ff", "status": "AVAILABLE"}

An EVSE without a uid cannot be told. The service has no state and no positions; here both are added for who
asks for them. Knows changes and EVSEs, not consumers.

Source: the service's documentation at data.enova.no; the member is spelled `evseUId` on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ladestrom.core.selection import Selection
from ladestrom.core.view import StationState, View, is_listed
from ladestrom.formats.dialect import Message, Moved, OfNewest, Style
from ladestrom.formats.documents import LeftOut, Seen
from ladestrom.formats.wire import instant
from ladestrom.model import Change, Evse, Millis, Position, Station, Status, StatusChanged, StatusReport

KIND: Final = "change"
NO_UID: Final = "no_uid"
_encode = msgspec.json.Encoder().encode


class RealtimeChange(
    msgspec.Struct, frozen=True, gc=False, rename={"nobil_id": "nobilId", "evse_uid": "evseUId"}
):
    """The status of an EVSE is another one. Of PLANNED and REMOVED ones, this is the last that is told."""

    nobil_id: str
    evse_uid: str
    status: Status
    timestamp: str | msgspec.UnsetType = msgspec.UNSET
    epoch: str | msgspec.UnsetType = msgspec.UNSET
    seq: int | msgspec.UnsetType = msgspec.UNSET


class RealtimeDialect(OfNewest):
    """NOBIL Real-time (`formats.dialect.Dialect`): each change is a message of its own."""

    def __init__(self, *, timestamp: bool = False, seq: bool = False) -> None:
        """Args:
        timestamp: messages say when the status was observed.
        seq: messages say the position at which a consumer stands that has taken them.
        """
        self._timestamp = timestamp
        self._seq = seq

    def change(self, view: View, change: Change, status: Status | None = None) -> RealtimeChange | None:
        """What is told of a change, without a position; None where its EVSE has no uid."""
        uid = view.directory.uid(change.evse, change.station)
        if uid is None:
            return None
        at = instant(change.observed_at) if self._timestamp else None
        return RealtimeChange(
            change.station, uid, status or change.status, msgspec.UNSET if at is None else at
        )

    def placed(self, told: RealtimeChange, position: Position) -> RealtimeChange:
        """The same with the position at which a consumer stands that has taken it, where that is wanted."""
        if not self._seq:
            return told
        return msgspec.structs.replace(told, epoch=position.epoch, seq=position.seq)

    def _together(
        self, view: View, changes: Iterable[Change], seq: int, status: Status | None = None
    ) -> list[bytes]:
        """Messages about several EVSEs, of which the last one says where a consumer stands that has all."""
        told = [made for each in changes if (made := self.change(view, each, status)) is not None]
        if told:
            told[-1] = self.placed(told[-1], Position(view.epoch, seq))
        return list(map(_encode, told))

    def snapshot(self, view: View, selection: Selection, seq: int) -> RealtimeDrawing:
        """The state of every EVSE, in the same messages."""
        return RealtimeDrawing(self, view, selection, seq)

    def row(self, view: View, state: StationState, change: Change) -> bytes:
        """A change just applied to the view."""
        told = self.change(view, change)
        return b"" if told is None else _encode(self.placed(told, Position(view.epoch, state.seq)))

    def missed(self, view: View, state: StationState, selection: Selection, after: int) -> Sequence[bytes]:
        """All EVSEs of the station, those that left it too, as they are.

        Others of which the consumer was told since may have changed before one of these: `after` says nothing
        of them.
        """
        del selection, after
        held = [each.change for each in state.changes.values() if not _is_elsewhere(view, each)]
        return self._together(view, held, state.seq)

    def relocated(
        self,
        view: View,
        selection: Selection,
        former: Sequence[Station],
        state: StationState,
        since: int,
        seq: int,
    ) -> Sequence[Moved]:
        """The EVSEs of a station that came into the selection; of one that left it, that they are removed."""
        del since
        is_covered = selection.covers(view.directory.stations[state.uuid])
        if all(selection.covers(before) == is_covered for before in former):
            return ()
        listed = [held.change for held in state.changes.values() if is_listed(held.change)]
        rows = self._together(view, listed, seq, None if is_covered else Status.REMOVED)
        return [(row, 0, 0) for row in rows]

    def reshaped(self, view: View, state: StationState, before: Station) -> None:
        """Nothing: the next change of an EVSE has its new uid."""
        del view, state, before

    def changes(self, view: View, prev: int, seq: int, rows: Iterable[bytes]) -> Sequence[Message]:
        """Each row is a message; an empty one is none."""
        del prev
        return [Message(row, KIND, Position(view.epoch, seq)) for row in rows if row]

    def raw(self, view: View, evse: Evse, report: StatusReport, observed_at: Millis) -> Sequence[Message]:
        """Nothing: changes only are told."""
        del view, evse, report, observed_at
        return ()


def _is_elsewhere(view: View, held: StatusChanged) -> bool:
    """Whether an EVSE left its station for another one, where its newest state is told."""
    evse = view.directory.by_key(held.change.evse)
    return evse is not None and evse.station != held.change.station


class RealtimeDrawing:
    """The state in the making (`formats.dialect.Drawing`)."""

    def __init__(self, dialect: RealtimeDialect, view: View, selection: Selection, seq: int) -> None:
        self._dialect = dialect
        self._view = view
        self._selection = selection
        self._position = Position(view.epoch, seq)
        self._told: list[RealtimeChange] = []

    def add(self, state: StationState) -> None:
        """Takes a station that is listed."""
        view = self._view
        if view.listed(state, self._selection) is None:
            return
        for held in state.changes.values():
            told = self._dialect.change(view, held.change) if is_listed(held.change) else None
            if told is not None:
                self._told.append(told)

    def messages(self) -> Iterator[Message]:
        """One for each EVSE. The consumer moves with the last one."""
        last = len(self._told) - 1
        for number, told in enumerate(self._told):
            if number < last:
                yield Message(_encode(told), KIND)
            else:
                yield Message(_encode(self._dialect.placed(told, self._position)), KIND, self._position)


class Uids:
    """Counts EVSEs that cannot be told, as documents count them; makes no bytes."""

    def __init__(self) -> None:
        self.left_out = LeftOut()

    def part(self, seen: Seen) -> None:
        """Looks at a station."""
        for evse, _ in seen.chosen:
            if evse.uid is None:
                self.left_out.add(evse, NO_UID)

    def head(self, position: Position) -> bytes:
        """Nothing."""
        del position
        return b""

    def pieces(self, parts: Iterable[None]) -> Iterator[bytes]:
        """Nothing."""
        del parts
        yield b""


def dialect(style: Style) -> RealtimeDialect:
    """As the service has it."""
    del style
    return RealtimeDialect()


def timed(style: Style) -> RealtimeDialect:
    """With times."""
    del style
    return RealtimeDialect(timestamp=True)


def placed(style: Style) -> RealtimeDialect:
    """With positions."""
    del style
    return RealtimeDialect(seq=True)


def timed_and_placed(style: Style) -> RealtimeDialect:
    """With both."""
    del style
    return RealtimeDialect(timestamp=True, seq=True)
