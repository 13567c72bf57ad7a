"""Who speaks in a world of rules, in which words, and what the rules say that each word means.

What is sent goes through the real parsers where a rule lies in them; what it means stands here a second time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from ladestrom.ingest.intake import Arrival
from ladestrom.ingest.supervision import Kind, SourceIdentity
from ladestrom.model import Beginning, Ids, Millis, Operator, Order, Reason, Status
from ladestrom.protocols.delivery import Delivery, Gathering, ParseLimits
from ladestrom.protocols.interfaces import Request
from ladestrom.protocols.oicp import Oicp
from ladestrom.protocols.plain import Plain

State = tuple[str, bool]
"""Status and error."""

HOUR_MS: Final = 3_600_000
LIMITS: Final = ParseLimits()

OPERATORS: Final = (
    Operator("alfa", ("NOALF",), stale_after_s=400),
    Operator("beta", ("NOBET",), ("NOALFE1", "49810")),
    Operator("gamma", all=True, stale_after_s=900),
    Operator("delta", all=True),
    Operator("evil", ("NOEVI",), ("NOALFE9",)),
)


class Speaker(NamedTuple):
    """One way in which an operator's words come."""

    name: str
    """Of its feed, as the reference calls it."""
    operator: str
    protocol: str
    kind: Kind
    order: Order
    words: Mapping[str, State | None]
    """What each word means; None is refused."""
    has_stamps: bool = True
    by_receipt: bool = False
    max_age_s: int | None = None

    def identity(self, *, is_asked: bool) -> SourceIdentity:
        """As transports name it. A peer of OCPI may push, too."""
        if self.kind is Kind.PUSH or (self.order is Order.UPDATES and not is_asked):
            return SourceIdentity.push(self.operator, self.protocol)
        return SourceIdentity(self.name, self.operator, self.protocol, self.kind)

    def arrival(self, began: Beginning | None) -> Arrival:
        """How a delivery of it comes."""
        of = "CP1" if self.protocol == "ocpp" else ""
        return Arrival(of=of, began=began, max_age_s=self.max_age_s, by_receipt=self.by_receipt)


class Wire(NamedTuple):
    """An item as it is sent; sent again it is the same, whatever our clock says then."""

    written: str
    word: str
    stamp: Millis | None
    error: bool = False


UNMAPPED: Final = "asleep"
"""A word that no protocol has."""
AVAILABLE: Final[State] = ("AVAILABLE", False)
CHARGING: Final[State] = ("CHARGING", False)
OUTOFORDER: Final[State] = ("OUTOFORDER", True)
UNKNOWN: Final[State] = ("UNKNOWN", False)
INOPERATIVE: Final[State] = ("INOPERATIVE", False)
RESERVED: Final[State] = ("RESERVED", False)

STATUSES: Final[Mapping[str, State | None]] = {
    "AVAILABLE": AVAILABLE,
    "CHARGING": CHARGING,
    "OUTOFORDER": OUTOFORDER,
    "UNKNOWN": UNKNOWN,
    "REMOVED": ("REMOVED", False),
    "BLOCKED": ("BLOCKED", False),
}
PLAIN: Final[Mapping[str, State | None]] = {
    **STATUSES,
    " charging ": CHARGING,
    "Out Of Order": OUTOFORDER,
    "availáble": AVAILABLE,
    "in_operative": INOPERATIVE,
    UNMAPPED: None,
}
MAPPED: Final[Mapping[str, State | None]] = {**STATUSES, UNMAPPED: UNKNOWN}
"""Words of protocols whose senders read no refusals: one that is not known ends the old status."""
OICP: Final[Mapping[str, State | None]] = {
    "Available": AVAILABLE,
    "occupied": CHARGING,
    "Out_Of Service": OUTOFORDER,
    "Reserved": RESERVED,
    "EvseNotFound": UNKNOWN,
    UNMAPPED: UNKNOWN,
}
OCPP: Final[Mapping[str, State | None]] = {
    "Available": AVAILABLE,
    "charging": CHARGING,
    "SuspendedEV": CHARGING,
    "Faulted": OUTOFORDER,
    "Unavailable": INOPERATIVE,
    "Available/GroundFailure": ("AVAILABLE", True),
    UNMAPPED: UNKNOWN,
}

SPEAKERS: Final = (
    Speaker("alfa/plain", "alfa", "plain", Kind.PUSH, Order.STAMPS, PLAIN),
    Speaker("alfa/ocpp/CP1", "alfa", "ocpp", Kind.PUSH, Order.ARRIVAL, OCPP),
    Speaker("beta/ocpi", "beta", "ocpi", Kind.PULL, Order.UPDATES, MAPPED),
    Speaker("file", "beta", "datex2", Kind.PULL, Order.STAMPS, MAPPED, max_age_s=3_600),
    Speaker("gamma/oicp", "gamma", "oicp", Kind.PUSH, Order.ARRIVAL, OICP, has_stamps=False),
    Speaker("poll", "gamma", "datex2", Kind.PULL, Order.STAMPS, STATUSES, by_receipt=True),
    Speaker("stream", "delta", "nobil-stream", Kind.FOLLOW, Order.ARRIVAL, MAPPED),
    Speaker("delta/plain", "delta", "plain", Kind.PUSH, Order.STAMPS, PLAIN),
    Speaker("evil/plain", "evil", "plain", Kind.PUSH, Order.STAMPS, PLAIN),
)
BY_NAME: Final = {each.name: each for each in SPEAKERS}
POINT: Final = BY_NAME["alfa/ocpp/CP1"]
STREAM: Final = BY_NAME["stream"]
TELLING: Final = tuple(each for each in SPEAKERS if each is not POINT)
"""Those that name EVSEs by their ids."""
ASKED: Final = tuple(each for each in SPEAKERS if each.kind is Kind.PULL)


def delivery(
    speaker: Speaker, wires: Sequence[Wire], *, complete: bool = False, named: Sequence[Ids] = ()
) -> Delivery:
    """What a parser makes of these items."""
    match speaker.protocol:
        case "plain":
            items = [_plain(wire) for wire in wires]
            operator = Operator(speaker.operator)
            return Plain().receive(_request("", items), operator, LIMITS)
        case "oicp":
            records = [{"EvseID": wire.written, "EvseStatus": wire.word} for wire in wires]
            action = "fullLoad" if complete else "update"
            group = {"OperatorID": "NO*ALF", "EvseStatusRecord": records}
            body = {"ActionType": action, "OperatorEvseStatus": group}
            path = "evsepush/v21/operators/NO*ALF/status-records"
            return Oicp().receive(_request(path, body), Operator(speaker.operator, all=True), LIMITS)
        case _:
            gathering = Gathering(speaker.operator, speaker.order)
            for wire in wires:
                known = STATUSES.get(wire.word)
                status = None if known is None else Status(known[0])
                gathering.word(wire.written, status, wire.stamp, wire.word, error=wire.error)
            made = gathering.delivery(complete=complete)
            return Delivery(
                reports=made.reports,
                refused=made.refused,
                order=made.order,
                complete=complete,
                named=named,
                unmapped=made.unmapped,
            )


def meaning(speaker: Speaker, wire: Wire) -> State | Reason:
    """What an item says by the rules, or why it is refused."""
    state = speaker.words[wire.word]
    if state is None:
        return Reason.INVALID_STATUS
    is_unmapped = wire.word == UNMAPPED
    return state[0], state[1] or (wire.error and not (is_unmapped and speaker.protocol == "ocpp"))


def unmapped(speaker: Speaker, wires: Sequence[Wire]) -> int:
    """How many of these words a protocol does not have whose sender reads no refusals: rule 6."""
    return sum(wire.word == UNMAPPED and speaker.words[wire.word] is not None for wire in wires)


def notification(number: int, wire: Wire, serial: int) -> str:
    """A StatusNotification of OCPP 1.6."""
    word, _, code = wire.word.partition("/")
    payload = {"connectorId": number, "status": word, "errorCode": code or "NoError"}
    if wire.stamp is not None:
        payload["timestamp"] = iso(wire.stamp)
    return json.dumps([2, str(serial), "StatusNotification", payload])


def iso(at: Millis) -> str:
    """An instant of ISO 8601, to the millisecond."""
    written = datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{written}.{at % 1000:03d}Z"


def _plain(wire: Wire) -> dict[str, object]:
    item: dict[str, object] = {"evse": wire.written, "status": wire.word, "error": int(wire.error)}
    if wire.stamp is not None:
        item["observed_at"] = wire.stamp
    return item


def _request(path: str, content: object) -> Request:
    return Request("POST", path, {}, {}, json.dumps(content).encode())
