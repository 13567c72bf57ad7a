"""OCPP 1.6, 2.0.1 and 2.1 over JSON: the conversation with one charge point, as the side that it reports to.

Knows the order of the conversation. Must not know actions (`ocpp16`, `ocpp2`), statuses (`ocpp_points`),
sockets or clocks; `now` is an argument.

Every CALL is answered, by its result or by an error of the version's own words. No token is ever accepted and
no command is ever sent, but one: TriggerMessage for the status of connectors that have not told it since the
connection began, as charge points that reconnect without a reboot tell what changed only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from ladestrom.model import Millis
from ladestrom.protocols.delivery import UNREADABLE, Delivery
from ladestrom.protocols.ocpp2 import OCPP_21, OCPP_201
from ladestrom.protocols.ocpp16 import OCPP_16
from ladestrom.protocols.ocpp_frames import (
    BLANKS,
    CALL,
    CALLERROR,
    CALLRESULT,
    CALLRESULTERROR,
    EMPTY,
    SEND,
    CallRefused,
    Dialect,
    Fault,
    Frame,
    FrameRefused,
    Turn,
    call,
    error,
    read,
    result,
)
from ladestrom.protocols.ocpp_points import WHOLE, Connector, Points

DIALECTS: Final[tuple[Dialect, ...]] = (OCPP_21, OCPP_201, OCPP_16)
SETTLE_MS: Final = 5_000
"""From the beginning of a connection until those are asked that said nothing: after a boot all speak by
themselves."""
RESULT_MS_MAX: Final = 10_000
"""For the answer to a call of ours; a charge point that answers later has told its statuses by then."""
ASKED_MAX: Final = 256
"""Connectors asked in one round; more than any charging station has."""
AGAIN_MS: Final = 30_000
"""Until it is asked again what could not be logged."""


def agreed(offered: Iterable[str]) -> Dialect | None:
    """The version to be spoken with who offers these subprotocols; None where there is none in common.

    Their order is the charge point's preference (RFC 6455, section 1.9).
    """
    by_name = {dialect.subprotocol: dialect for dialect in DIALECTS}
    return next((by_name[name] for name in offered if name in by_name), None)


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What is to be done: log the delivery, then say the answer (`instead`, where it could not be logged),
    then the call.
    """

    delivery: Delivery | None = None
    answer: str | None = None
    instead: str | None = None
    call: str | None = None
    refused: CallRefused | None = None
    """What the answer tells to be wrong."""


NOTHING: Final = Outcome()


class _Result(msgspec.Struct, frozen=True, gc=False):
    status: str


_decode_result = msgspec.json.Decoder(_Result).decode


class _Pending(msgspec.Struct, frozen=True, gc=False):
    id: str
    where: Connector
    until_at: Millis


class Conversation:
    """One connection of a charge point. `receive` takes what it says, `wake` is called at `due_at`."""

    __slots__ = (
        "_asked",
        "_calls",
        "_heard",
        "_heartbeat_s",
        "_internal",
        "_pending",
        "_promised",
        "_refused",
        "_resync_at",
        "_transactions",
        "dialect",
        "points",
    )

    def __init__(self, dialect: Dialect, points: Points, heartbeat_s: int, now: Millis) -> None:
        self.dialect = dialect
        self.points = points
        self._heartbeat_s = heartbeat_s
        self._internal = dialect.words[Fault.INTERNAL] or ""
        self._transactions = 0
        self._calls = 0
        self._heard: set[Connector] = set()
        """Those of the registry that told their status, on this connection."""
        self._asked: deque[Connector] = deque()
        self._refused: list[Connector] = []
        """Asked, and did not say that they will tell, or did not do so."""
        self._promised: set[Connector] = set()
        """Asked, and said that they will tell."""
        self._pending: _Pending | None = None
        self._resync_at: Millis | None = now + SETTLE_MS

    @property
    def due_at(self) -> Millis | None:
        """When `wake` has something to do."""
        return self._pending.until_at if self._pending is not None else self._resync_at

    def receive(self, text: str | bytes, now: Millis) -> Outcome:
        """One message of the charge point."""
        try:
            frame = read(text)
        except FrameRefused as refused:
            if refused.kind == CALL:
                return self._refuse(refused.id, refused)
            return self._unasked(refused.kind, refused.id)
        if frame.kind == CALL:
            return self._answer(frame, now)
        if frame.kind in {CALLRESULT, CALLERROR}:
            return self._answered(frame, now)
        return self._unasked(frame.kind, frame.id)

    def wake(self, now: Millis) -> Outcome:
        """What is due: asking connectors that told nothing, or giving up on an answer."""
        if self._pending is not None:
            if now < self._pending.until_at:
                return NOTHING
            # Who does not answer one call would not answer the next ones.
            self._refused += (self._pending.where, *self._asked)
            self._pending = None
            self._asked.clear()
            return self._ask(now)
        if self._resync_at is None or now < self._resync_at:
            return NOTHING
        self._resync_at = None
        by_number = self.dialect.by_number
        whole = [(WHOLE, WHOLE)] if by_number else []
        for where in (*whole, *self.points.connectors(each=not by_number)):
            if where in self._promised:
                self._refused.append(where)
            elif where not in self._heard and len(self._asked) < ASKED_MAX:
                self._asked.append(where)
        self._promised.clear()
        return self._ask(now)

    def clock_was_set(self, by: Millis) -> None:
        """The time of day went on or back by so much: what is due stays due in as long as before."""
        if self._pending is not None:
            self._pending = msgspec.structs.replace(self._pending, until_at=self._pending.until_at + by)
        if self._resync_at is not None:
            self._resync_at += by

    def ask_again(self, now: Millis) -> None:
        """Something that it said could not be logged: all connectors are asked again in a while."""
        self._heard.clear()
        self._asked.clear()
        self._promised.clear()
        self._resync_at = now + AGAIN_MS

    def _answer(self, frame: Frame, now: Millis) -> Outcome:
        turn = Turn(self.points, now, self._heartbeat_s, self._transactions + 1)
        refused: CallRefused | None = None
        payload = EMPTY
        try:
            payload = self._act(frame, turn)
        except CallRefused as found:
            refused = found
        if turn.booted:
            self._heard.clear()
            self._promised.clear()
            self._resync_at = now + SETTLE_MS
        self._heard.update(filter(self.points.has, turn.heard))
        if frame.action == "StartTransaction":
            self._transactions += 1
        delivery: Delivery | None = turn.into.delivery()
        if delivery is not None and not delivery.reports and not delivery.refused:
            delivery = None
        if refused is not None:
            answer = self._refuse(frame.id, refused).answer
            return Outcome(delivery, answer, answer, refused=refused)
        if delivery is None:
            return Outcome(answer=result(frame.id, payload))
        instead = error(frame.id, self._internal, "the status could not be stored; try again")
        return Outcome(delivery, result(frame.id, payload), instead)

    def _act(self, frame: Frame, turn: Turn) -> bytes:
        act = self.dialect.actions.get(frame.action)
        if act is None:
            if frame.action in self.dialect.ours:
                raise CallRefused(Fault.OTHER_SIDE, f"{frame.action} is not supported here")
            raise CallRefused(Fault.UNKNOWN_ACTION, "the action is not known")
        payload = bytes(frame.payload)
        if payload.startswith(b"{"):
            return act(turn, frame.payload)
        if payload in BLANKS:
            return act(turn, msgspec.Raw(EMPTY))
        raise CallRefused(Fault.FORM, "the payload is not a JSON object")

    def _refuse(self, message_id: str | float, refused: CallRefused) -> Outcome:
        code = self.dialect.words[refused.fault]
        if code is None:
            return NOTHING
        return Outcome(answer=error(message_id, code, refused.detail), refused=refused)

    def _unasked(self, kind: int, message_id: str | float) -> Outcome:
        """A message that is no call, and answers none of ours."""
        if kind in {CALLRESULT, CALLERROR} or (self.dialect.has_sends and kind in {CALLRESULTERROR, SEND}):
            return NOTHING
        unknown = CallRefused(Fault.MESSAGE_TYPE, f"messages of type {kind} are not known")
        return self._refuse(message_id, unknown)

    def _answered(self, frame: Frame, now: Millis) -> Outcome:
        pending = self._pending
        if pending is None or frame.id != pending.id:
            return NOTHING
        self._pending = None
        answer = None
        status = ""
        if frame.kind == CALLRESULT:
            try:
                status = _decode_result(frame.payload).status
            except UNREADABLE:
                if self.dialect.has_sends:
                    code = self.dialect.words[Fault.FORM] or ""
                    answer = error(frame.id, code, "the result has no status", CALLRESULTERROR)
        if status == "Accepted":
            self._promised.add(pending.where)
        else:
            self._refused.append(pending.where)
        if frame.kind == CALLERROR or status == "NotImplemented":
            # It knows no triggers, so there is no use in asking on.
            self._refused.extend(self._asked)
            self._asked.clear()
        then = self._ask(now)
        return Outcome(then.delivery, answer, None, then.call)

    def _ask(self, now: Millis) -> Outcome:
        """The next call; after the last, what those said before the connection who do not tell when asked.

        Source: OCPP 1.6, section 4.9, and 2.0.1, part 2, G01: who was offline tells what has changed since.
        """
        while self._asked:
            where = self._asked.popleft()
            if where in self._heard:
                continue
            self._calls += 1
            name = f"ladestrom-{self._calls}"
            self._pending = _Pending(name, where, now + RESULT_MS_MAX)
            return Outcome(call=call(name, "TriggerMessage", self.dialect.trigger(where)))
        if self._promised and self._resync_at is None:
            self._resync_at = now + RESULT_MS_MAX
        silent = frozenset(where[0] for where in self._refused if where not in self._heard)
        self._refused.clear()
        if not silent:
            return NOTHING
        delivery = self.points.restated(silent)
        return Outcome(delivery) if delivery.reports else NOTHING
