"""Frames of OCPP-J: what stands around an action, and the words for what is wrong with it.

Knows the RPC framework (OCPP-J 1.6, section 4; OCPP 2.0.1 and 2.1, part 4, section 4). Must not know actions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, Final, TypeVar

import msgspec

from ladestrom.model import Millis
from ladestrom.protocols.delivery import UNREADABLE, Gathering, json_text, shown
from ladestrom.protocols.delivery import instant as read_instant
from ladestrom.protocols.ocpp_points import Connector, Points

CALL: Final = 2
CALLRESULT: Final = 3
CALLERROR: Final = 4
CALLRESULTERROR: Final = 5
"""OCPP 2.1: what we answered was not understood. Nothing is answered to it."""
SEND: Final = 6
"""OCPP 2.1: a message that is not answered."""
NO_ID: Final = "-1"
"""OCPP 2.0.1, part 4, section 4.2.3: the id of an error about a call whose own cannot be read."""
DESCRIPTION_CHARACTERS_MAX: Final = 255
"""OCPP-J, CALLERROR: errorDescription is a string of 255 characters."""
DIGITS_MAX: Final = 18
"""Of a number that is written as text."""
EMPTY: Final = b"{}"
BLANKS: Final = frozenset({b"null", b"[]", b'""'})
"""Payloads of which PHP and small writers mean that nothing is in them."""

_CONTROLS: Final = bytes.maketrans(bytes(range(0x20)), b" " * 0x20)
_BEGUN: Final = re.compile(rb'\s*\[\s*2\s*,\s*"([^"\\]{1,255})"\s*,\s*"([A-Za-z]{1,64})"\s*,\s*')
"""A call up to its payload."""

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_decode_call = msgspec.json.Decoder(tuple[int, str, str, msgspec.Raw]).decode
"""A call as nearly all are written."""
_decode_frame = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_type = msgspec.json.Decoder(int, strict=False).decode
_decode_id = msgspec.json.Decoder(str | int | float).decode
_decode_action = msgspec.json.Decoder(str).decode


class Fault(Enum):
    """What may be wrong with a call; each version has its own words for it."""

    FRAME = auto()
    """It is no frame."""
    MESSAGE_TYPE = auto()
    """The frame is of a kind that the version does not have."""
    INCOMPLETE = auto()
    """The frame lacks a part."""
    FORM = auto()
    """The payload is no object."""
    OCCURRENCE = auto()
    """A field is missing."""
    TYPE = auto()
    """A field is of another type."""
    PROPERTY = auto()
    """A field has a value that it cannot have."""
    UNKNOWN_ACTION = auto()
    OTHER_SIDE = auto()
    """The action is one that we would ask of the charge point, or that we do not offer."""
    INTERNAL = auto()
    """It is our fault; the same call may succeed later."""


UNREAD: Final = frozenset(Fault) - {
    Fault.MESSAGE_TYPE,
    Fault.UNKNOWN_ACTION,
    Fault.OTHER_SIDE,
    Fault.INTERNAL,
}
"""Faults of a message that was to be understood."""


class CallRefused(Exception):
    """A call cannot be answered but with an error. Nothing of it was used."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail

    @property
    def is_unread(self) -> bool:
        """Whether it is a message that was to be understood and was not."""
        return self.fault in UNREAD


class Turn:
    """What one call does, while it is read."""

    __slots__ = ("booted", "heard", "heartbeat_s", "into", "now", "points", "transaction")

    def __init__(self, points: Points, now: Millis, heartbeat_s: int, transaction: int) -> None:
        self.points = points
        self.now = now
        self.heartbeat_s = heartbeat_s
        self.transaction = transaction
        """Number for a transaction that starts."""
        self.into: Gathering = points.gathering()
        self.heard: list[Connector] = []
        """Who said its status."""
        self.booted = False


Answering = Callable[[Turn, msgspec.Raw], bytes]
"""From the payload of a call to the payload of its result.

Raises:
    CallRefused: it is told so.
"""


class Dialect(msgspec.Struct, frozen=True):
    """A version: its name on the wire, its actions and its words."""

    subprotocol: str
    actions: Mapping[str, Answering]
    """What a charge point may call."""
    ours: frozenset[str]
    """What only the other side may call, or what we do not offer."""
    words: Mapping[Fault, str | None]
    """Error codes; None where nothing is answered."""
    trigger: Callable[[Connector], bytes]
    """Payload of TriggerMessage for the status of a connector."""
    by_number: bool
    """Whether statuses are told and asked for by number alone, number 0 included."""
    has_sends: bool
    """Whether it knows SEND and CALLRESULTERROR."""
    compresses: bool
    """Whether messages are compressed for a charge point that offers it (RFC 7692)."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One message of the other side."""

    kind: int
    id: str | int | float
    action: str = ""
    payload: msgspec.Raw = msgspec.Raw(EMPTY)


def read(text: str | bytes) -> Frame:
    """Reads a frame. Numbers are taken for ids, as some charge points write them so.

    Of a call that is no JSON, id and action are read where they can be, and the rest is its payload: some
    charge points write `"transactionId":,` in every MeterValues, and repeat what nobody answers.

    Raises:
        FrameRefused: it cannot be read; says what to answer, if anything.
    """
    # Some write control characters into texts, where JSON has none.
    body = json_text(text.encode() if isinstance(text, str) else text).translate(_CONTROLS)
    try:
        kind, name, action, payload = _decode_call(body)
    except UNREADABLE:
        return _leniently(body)
    return Frame(kind, name, action, payload) if kind == CALL else _leniently(body)


def _leniently(body: bytes) -> Frame:
    try:
        parts = _decode_frame(body)
    except UNREADABLE as error:
        begun = _BEGUN.match(body)
        if begun is not None:
            name, action = begun[1].decode(errors="replace"), begun[2].decode()
            return Frame(CALL, name, action, msgspec.Raw(body[begun.end() :]))
        raise FrameRefused(Fault.FRAME, NO_ID, f"the message is not a JSON array: {error}") from error
    try:
        kind = _decode_type(parts[0])
    except (IndexError, *UNREADABLE) as error:
        raise FrameRefused(Fault.FRAME, NO_ID, "the message does not begin with a message type") from error
    try:
        name = _decode_id(parts[1])
    except (IndexError, *UNREADABLE) as error:
        raise FrameRefused(Fault.FRAME, NO_ID, "the message has no id", kind) from error
    if kind not in {CALL, SEND}:
        return Frame(kind, name, payload=parts[2] if len(parts) > 2 else msgspec.Raw(EMPTY))  # noqa: PLR2004 - place
    if len(parts) < 3:  # noqa: PLR2004 - type, id, action
        raise FrameRefused(Fault.INCOMPLETE, name, "the call has no action", kind)
    if len(parts) > 4:  # noqa: PLR2004 - and the payload, which some leave out where nothing is in it
        raise FrameRefused(Fault.FRAME, name, "the call has more than an action and a payload", kind)
    try:
        action = _decode_action(parts[2])
    except UNREADABLE as error:
        raise FrameRefused(Fault.FRAME, name, "the action is not a string", kind) from error
    return Frame(kind, name, action, parts[3] if len(parts) > 3 else msgspec.Raw(EMPTY))  # noqa: PLR2004 - likewise


class FrameRefused(CallRefused):
    """A message that is no frame, or half of one."""

    def __init__(self, fault: Fault, message_id: str | float, detail: str, kind: int = CALL) -> None:
        super().__init__(fault, detail)
        self.id = message_id
        self.kind = kind


def result(message_id: str | float, payload: bytes) -> str:
    """A CALLRESULT."""
    return (b"[3,%b,%b]" % (_encode(message_id), payload)).decode()


def error(message_id: str | float, code: str, detail: str, kind: int = CALLERROR) -> str:
    """A CALLERROR, or a CALLRESULTERROR."""
    return _encode([kind, message_id, code, detail[:DESCRIPTION_CHARACTERS_MAX], {}]).decode()


def call(message_id: str, action: str, payload: bytes) -> str:
    """A CALL of ours."""
    return (b"[2," + _encode(message_id) + b"," + _encode(action) + b"," + payload + b"]").decode()


def number_of(value: object, name: str) -> int:
    """A number that decides, as charge points write it: `1`, `1.0`, `"1"`, `" 1"`.

    Raises:
        CallRefused: it is no whole number, or below 0.
    """
    if type(value) is int and value >= 0:
        return value
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:DIGITS_MAX])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise CallRefused(Fault.TYPE, f"{name} is {shown(value)}; it is a whole number")
    if value < 0:
        raise CallRefused(Fault.PROPERTY, f"{name} is {shown(value)}; it is 0 or more")
    return value


def payload_of(raw: msgspec.Raw, decode: Callable[[msgspec.Raw], T]) -> T:
    """The payload as `decode` reads it.

    Raises:
        CallRefused: it cannot be read so.
    """
    try:
        return decode(raw)
    except msgspec.ValidationError as error:
        text = str(error)
        fault = Fault.OCCURRENCE if "missing required field" in text else Fault.TYPE
        raise CallRefused(fault, text) from error
    except UNREADABLE as error:
        raise CallRefused(Fault.FORM, f"the payload cannot be read: {shown(error)}") from error


def instant(written: Any) -> Millis | None:  # noqa: ANN401 - whatever stands in the field
    """An instant as charge points write it; None where there is none that can be read."""
    if not isinstance(written, str):
        return None
    try:
        return read_instant(written)
    except (ValueError, OverflowError):
        return None


def written(now: Millis) -> str:
    """An instant as OCPP writes it, to the millisecond."""
    at = datetime.fromtimestamp(now / 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{now % 1000:03d}Z"


def always(payload: bytes) -> Answering:
    """The same result, whatever is called."""
    return lambda _turn, _payload: payload


def accept_boot(turn: Turn, _payload: msgspec.Raw) -> bytes:
    """BootNotification, the same in all versions."""
    turn.booted = True
    turn.points.rebooted()
    return _encode({"currentTime": written(turn.now), "interval": turn.heartbeat_s, "status": "Accepted"})


def tell_time(turn: Turn, _payload: msgspec.Raw) -> bytes:
    """Heartbeat, the same in all versions."""
    return b'{"currentTime":"' + written(turn.now).encode() + b'"}'
