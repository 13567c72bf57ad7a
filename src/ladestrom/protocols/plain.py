"""The plain JSON interface for operators' reports.

An item is an EVSE with one of the nine status words in any spelling, or a connector in the NOBIL stream's own
terms:

    {"evse": "FR*ABC*E123", "status": "CHARGING", "error": 0, "observed_at": "2026-11-22T10:00:00Z"}
    {"uuid": "NOR_01333", "connector": 0, "status": 1, "error": 0, "timestamp": 1362520099000}

A message is one item or a list. A bad item is refused by its place and costs no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

import msgspec

from ladestrom.core.rules import EARLIEST_AT, from_nobil_pair
from ladestrom.core.words import Vocabulary
from ladestrom.errors import LadestromError, MalformedBody, TooLarge
from ladestrom.model import Operator, Reason, Receipt, Refusal, Status, StatusReport, connector_place
from ladestrom.problem import MEDIA_TYPE, problem
from ladestrom.protocols.delivery import (
    ID_CHARACTERS_MAX,
    UNREADABLE,
    Delivery,
    Ignored,
    ParseLimits,
    Problem,
    json_text,
    millis,
    shown,
)
from ladestrom.protocols.interfaces import Answer, Request
from ladestrom.quoting import quoted

CONNECTOR_MAX: Final = 998
IGNORED_MAX: Final = 100
"""Items whose unknown members are named: as many as are named for their times."""
MEMBERS_MAX: Final = 20
MEMBER_CHARACTERS_MAX: Final = 40
"""A receipt must not grow with what a sender puts into its items."""

WORDS: Final = ", ".join(Status)


class Item(msgspec.Struct, frozen=True, gc=False):
    """One item as it is written; unknown members are ignored, and named in the receipt."""

    status: str | int
    """One of the nine words in any spelling, or the NOBIL stream's number."""
    evse: str | None = None
    uuid: str | None = None
    connector: int | None = None
    error: int | bool = 0
    observed_at: datetime | int | None = None
    timestamp: int | None = None


class _Known(Item, frozen=True, gc=False, forbid_unknown_fields=True):
    """An item without unknown members, as nearly all are: looking for them costs only those who send some."""


_decode_known = msgspec.json.Decoder(list[_Known]).decode
_decode_known_item = msgspec.json.Decoder(_Known).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[Item]).decode
_decode_item = msgspec.json.Decoder(Item).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_MEMBERS: Final = frozenset(Item.__struct_fields__)
_WORDS: Final[dict[str | int, tuple[Status, bool, str]]] = {
    status.value: (status, False, status.value) for status in Status
}
_STATUSES: Final = Vocabulary({status.value: status for status in Status})


def receive(body: bytes, source: str, *, items_max: int) -> Delivery:
    """Reads one message.

    Raises:
        MalformedBody: it is no JSON, or neither an object nor a list; nothing of it is used.
        TooLarge: the list is longer than `items_max`; nothing of it is used.
    """
    body = json_text(body)
    start = body.lstrip()[:1]
    if start not in {b"[", b"{"}:
        raise MalformedBody(
            "the body is neither a JSON object nor a list of them; send one report or a list of reports"
        )
    ignored: list[Ignored] = []
    items: Sequence[Item | Problem]
    try:
        items = _decode_known(body) if start == b"[" else [_decode_known_item(body)]
    except msgspec.ValidationError:
        items, ignored = _leniently(body, start == b"[")
    except UNREADABLE as error:
        raise _malformed(error) from error
    if len(items) > items_max:
        raise TooLarge(f"the list has {len(items)} items; at most {items_max} are taken: split it")
    reports: list[StatusReport] = []
    refused: list[Refusal] = []
    for index, item in enumerate(items):
        read = item if isinstance(item, Problem) else _report(item, source)
        # Whether it is of just this type is answered at once, whether it is of another one is not.
        if isinstance(read, StatusReport):
            reports.append(read)
        else:
            refused.append(Refusal(index, read.reason, read.detail))
    return Delivery(reports=reports, refused=refused, ignored=ignored)


def _leniently(body: bytes, is_list: bool) -> tuple[Sequence[Item | Problem], list[Ignored]]:
    """Items of which some have unknown members, or cannot be read; and which members those are."""
    items: Sequence[Item | Problem]
    try:
        items = _decode_items(body) if is_list else [_decode_item(body)]
    except msgspec.ValidationError:
        items = _one_by_one(body, is_list)
    except UNREADABLE as error:
        raise _malformed(error) from error
    ignored: list[Ignored] = []
    for index, raw in enumerate(_decode_raws(body) if is_list else [_decode_raw(body)]):
        with suppress(*UNREADABLE):
            unknown = [name for name in _decode_members(raw) if name not in _MEMBERS]
            if unknown:
                names = (name[:MEMBER_CHARACTERS_MAX] for name in unknown[:MEMBERS_MAX])
                ignored.append(Ignored(index, tuple(names)))
                if len(ignored) == IGNORED_MAX:
                    break
    return items, ignored


def _one_by_one(body: bytes, is_list: bool) -> list[Item | Problem]:
    try:
        raws = _decode_raws(body) if is_list else [_decode_raw(body)]
        return [_item(raw) for raw in raws]
    except UNREADABLE as error:
        raise _malformed(error) from error


def _item(raw: msgspec.Raw) -> Item | Problem:
    try:
        return _decode_item(raw)
    except msgspec.ValidationError as error:
        return _explain(error)


def _malformed(error: Exception) -> MalformedBody:
    return MalformedBody(f"the body is not valid JSON ({error}); none of it was accepted")


def _explain(error: msgspec.ValidationError) -> Problem:
    detail = str(error)
    if "observed_at" in detail or "timestamp" in detail:
        return Problem(
            Reason.INVALID_TIME, f"{detail}; write ISO 8601 with its zone, or milliseconds since 1970"
        )
    return Problem(Reason.INVALID_ITEM, detail)


def _report(item: Item, source: str) -> StatusReport | Problem:
    written = item.evse
    said = item.status
    error = item.error
    if error is not True and error is not False:
        if error not in {0, 1}:
            return Problem(Reason.INVALID_ITEM, f"error is {shown(error)}; it is 0 or 1")
        error = error == 1
    found = _WORDS.get(said) or _status(said, error=error)
    if not isinstance(found, tuple):
        return found
    status, is_error, raw = found
    if written is None:
        named = _connector(item)
        if isinstance(named, Problem):
            return named
        written = named
    elif not 0 < len(written) <= ID_CHARACTERS_MAX:
        return Problem(
            Reason.INVALID_ITEM, f"evse has {len(written)} characters; 1 to {ID_CHARACTERS_MAX} are right"
        )
    at = item.observed_at if item.observed_at is not None else item.timestamp
    if isinstance(at, datetime):
        at = millis(at)
    if at is not None and at < EARLIEST_AT:
        return Problem(
            Reason.INVALID_TIME,
            f"{shown(at)} is before the year 2000; write milliseconds since 1970 (not seconds), or ISO 8601",
        )
    return StatusReport(written, status, error or is_error, at, source, raw)


def _status(said: str | int, *, error: bool) -> tuple[Status, bool, str] | Problem:
    """Status, error and what was said, of a word in another spelling or the NOBIL stream's number."""
    if isinstance(said, str):
        status = _STATUSES.find(said)
        if status is None:
            return Problem(Reason.INVALID_STATUS, f"status {quoted(shown(said))} is none of {WORDS}")
        return status, False, said
    pair = from_nobil_pair(said, int(error))
    if pair is None:
        return Problem(
            Reason.INVALID_STATUS,
            f"status {shown(said)} is none of -1 (unknown), 0 (available), 1 (occupied), nor one of {WORDS}",
        )
    return *pair, f"{said}/{int(error)}"


def _connector(item: Item) -> str | Problem:
    if item.uuid is None:
        return Problem(
            Reason.INVALID_ITEM, "the item names no EVSE; write evse, or uuid and connector of a station"
        )
    if item.connector is None or not 0 <= item.connector <= CONNECTOR_MAX:
        return Problem(
            Reason.INVALID_ITEM,
            f"connector is {shown(item.connector)}; it counts the station's connectors from 0",
        )
    if not 0 < len(item.uuid) <= ID_CHARACTERS_MAX:
        return Problem(
            Reason.INVALID_ITEM, f"uuid has {len(item.uuid)} characters; 1 to {ID_CHARACTERS_MAX} are right"
        )
    return connector_place(item.uuid, item.connector + 1)


class _Answer(msgspec.Struct, frozen=True):
    accepted: int
    unchanged: int
    refused: tuple[Refusal, ...]
    position: str
    stale: int
    adjusted: Sequence[Refusal] | msgspec.UnsetType = msgspec.UNSET
    ignored: Sequence[Ignored] | msgspec.UnsetType = msgspec.UNSET
    dry_run: bool | msgspec.UnsetType = msgspec.UNSET


_encode = msgspec.json.Encoder().encode


def answer(receipt: Receipt, ignored: Sequence[Ignored] = ()) -> bytes:
    """The receipt as JSON: accepted, unchanged (of these `stale` were older than what we have), refused,
    position.

    `adjusted` is there only where a time was too far ahead of ours, `ignored` where items had unknown
    members, and `dry_run` where nothing was stored.
    """
    return _encode(
        _Answer(
            receipt.accepted,
            receipt.unchanged,
            receipt.refused,
            str(receipt.position),
            receipt.stale,
            receipt.adjusted or msgspec.UNSET,
            ignored or msgspec.UNSET,
            receipt.dry_run or msgspec.UNSET,
        )
    )


class Plain:
    """The interface as a push."""

    name = "plain"

    def receive(self, request: Request, operator: Operator, limits: ParseLimits) -> Delivery:
        """Implements `Push.receive`."""
        return receive(request.body, operator.name, items_max=limits.items_max)

    def answer(self, request: Request, delivery: Delivery, receipt: Receipt) -> Answer:  # noqa: ARG002 - a push
        """The receipt."""
        return Answer(200, answer(receipt, delivery.ignored))

    def refuse(self, request: Request, error: LadestromError) -> Answer:  # noqa: ARG002 - a push
        """Problem details."""
        return Answer(error.status, problem(error), MEDIA_TYPE)
