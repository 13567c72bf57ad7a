"""NOBIL Real-time, Enova's service: a connection is asked for, and each message on it is one change.

    POST ADDRESS, x-api-key: KEY, no body  ->  {"accessToken": "wss://..."}
    {"nobilId": "NOR_23314", "evseUId": "7381cc78-a032-4f23-a46f-3e0ebe4590ff", "status": "AVAILABLE"}

The service tells no times, sends no state on connecting and knows no resuming. The address that it gives is
short-lived and holds a secret: each connection asks for another.
Source: the service's documentation at data.enova.no; a status is one of OCPI's nine words.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ladestrom.core.words import Vocabulary
from ladestrom.errors import BadRequest, MalformedBody, NotAllowed, SourceFailure, TooLarge, Unauthenticated
from ladestrom.model import Reason, Status
from ladestrom.ports.calls import Answered, Ask
from ladestrom.protocols.delivery import (
    ARRIVAL,
    UNREADABLE,
    Delivery,
    Gathering,
    ParseLimits,
    json_text,
    shown,
)
from ladestrom.protocols.interfaces import PullSettings
from ladestrom.quoting import quoted

KEY_HEADER: Final = "x-api-key"
SCHEMES: Final = ("wss://", "ws://")
OK: Final = range(200, 300)

_WORDS: Final = {status.value: status for status in Status}
_STATUSES: Final = Vocabulary(_WORDS)


class RealtimeChange(
    msgspec.Struct, frozen=True, gc=False, rename={"nobil_id": "nobilId", "evse_uid": "evseUId"}
):
    """One change."""

    nobil_id: str | None = None
    evse_uid: str | None = None
    status: str | None = None
    other: str | None = msgspec.field(default=None, name="evseUid")
    """The same as `evse_uid`: the documentation has both spellings."""


class _Ticket(msgspec.Struct, frozen=True, rename={"address": "accessToken"}):
    address: str


_decode_message = msgspec.json.Decoder(RealtimeChange).decode
_decode_messages = msgspec.json.Decoder(list[RealtimeChange]).decode
_decode_ticket = msgspec.json.Decoder(_Ticket).decode


def ask(settings: PullSettings) -> Ask:
    """The request for a connection."""
    name = settings.options.get("key_header", KEY_HEADER)
    headers = {} if settings.secret is None else {name: settings.secret}
    return Ask(settings.address, "POST", headers)


def address(answered: Answered) -> str:
    """Where the connection is to be made.

    Raises:
        Unauthenticated, NotAllowed, BadRequest: the service refuses; something has to be changed first.
        SourceFailure: it cannot answer now.
        MalformedBody: the answer is none that it is known to give.
    """
    match answered.status:
        case 401:
            raise Unauthenticated("the service does not know the key")
        case 403:
            raise NotAllowed("the service rejects the key")
        case 408 | 429:
            raise SourceFailure(f"the service answered {answered.status}")
        case status if status in OK:
            pass
        case status if status < 500:  # noqa: PLR2004 - RFC 9110, section 15.5: the request is wrong
            raise BadRequest(f"the service answered {status}")
        case status:
            raise SourceFailure(f"the service answered {status}")
    try:
        found = _decode_ticket(answered.body).address
    except (*UNREADABLE, msgspec.ValidationError) as error:
        raise MalformedBody(f"the answer has no accessToken ({error})") from error
    if not found.startswith(SCHEMES):
        raise MalformedBody("the accessToken is not a WebSocket address")
    return found


def receive(frame: bytes, source: str, limits: ParseLimits) -> Delivery:
    """Reads one message, or a list of them.

    Raises:
        MalformedBody: it is neither.
        TooLarge: the list is longer than `limits.items_max`.
    """
    frame = json_text(frame)
    is_list = frame[:1] != b"{" and frame.lstrip()[:1] == b"["
    try:
        messages = _decode_messages(frame) if is_list else [_decode_message(frame)]
    except (*UNREADABLE, msgspec.ValidationError) as error:
        raise MalformedBody(f"the message is not one of NOBIL Real-time ({error})") from error
    if len(messages) > limits.items_max:
        raise TooLarge(f"the message has {len(messages)} changes; at most {limits.items_max} are taken")
    gathering = Gathering(source, ARRIVAL)
    for message in messages:
        evse = message.evse_uid or message.other
        if not evse:
            gathering.refuse(Reason.INVALID_ITEM, f"no evseUId (nobilId {quoted(shown(message.nobil_id))})")
        elif message.status is None:
            gathering.refuse(Reason.INVALID_STATUS, f"no status of {quoted(shown(evse))}")
        else:
            word = message.status
            gathering.word(evse, _WORDS.get(word) or _STATUSES.find(word), None, word)
    return gathering.delivery()
