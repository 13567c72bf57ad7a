"""OICP 2.3 as Hubject's partners speak it: status and data records of EVSEs, pushed to us.

Knows the messages eRoamingPushEvseStatus and eRoamingPushEvseData and the acknowledgement that answers both.
What a data record says of a station is read by `oicp_data`. Must not know where messages come from.

Records carry no time: they hold from when they were received, so an operator's messages keep their order.

Source: OICP 2.3 for CPOs, "Services and Operations" and "Data Types".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from ladestrom.core.oicp import (
    ADDITIONAL_CHARACTERS_MAX,
    DATA_ERROR,
    DESCRIPTIONS,
    INCONSISTENT_EVSE,
    SUCCESS,
    SYSTEM_ERROR,
    UNAUTHORIZED,
    UNKNOWN_EVSE,
)
from ladestrom.core.words import Vocabulary
from ladestrom.errors import LadestromError, MalformedBody, NotAllowed, NotFound, TooLarge
from ladestrom.model import Operator, Order, Reason, Receipt, Refusal, Status, evse_key
from ladestrom.ports.registry import RecordRefusal
from ladestrom.protocols.delivery import (
    UNREADABLE,
    Delivery,
    Gathering,
    ParseLimits,
    Problem,
    json_text,
    shown,
)
from ladestrom.protocols.interfaces import Answer, Request
from ladestrom.protocols.oicp_data import drafts, party_of
from ladestrom.quoting import quoted

PATH: Final = re.compile(r"evsepush/v2[0-9]/operators/([^/]{1,64})/(status|data)-records")
"""Behind `/api/oicp`. Hubject serves status at v21, data at v22 and v23; the records did not change what they
mean, so the version decides nothing."""

WORDS: Final = {
    "Available": Status.AVAILABLE,
    "Reserved": Status.RESERVED,
    "Occupied": Status.CHARGING,
    "OutOfService": Status.OUTOFORDER,
    "Unknown": Status.UNKNOWN,
    "EvseNotFound": Status.UNKNOWN,
}
"""EvseStatusType."""
STATUSES: Final = Vocabulary(WORDS)

FULL_LOAD: Final = "fullload"
DELETE: Final = "delete"
ACTIONS: Final = frozenset({FULL_LOAD, "update", "insert", DELETE})
"""ActionType, in lower case. `update` and `insert` do the same: what is pushed is stored."""

CODES: Final[dict[Reason, str]] = {
    Reason.NOT_ALLOWED: INCONSISTENT_EVSE,
    Reason.UNKNOWN_EVSE: UNKNOWN_EVSE,
}
"""Of items that were refused; all others are data errors."""
REFUSALS_TOLD_MAX: Final = 10

_RECORDS: Final = {"status": "EvseStatusRecord", "data": "EvseDataRecord"}
EMPTY: Final = msgspec.Raw(b"[]")
NULL: Final = b"n"
"""How a member begins that is there and empty."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """EvseStatusRecordType. The Swiss federal feed and older SOAP gateways write `EVSE` in capitals."""

    evse_id: str | None = msgspec.field(default=None, name="EvseID")
    evse_id_capitals: str | None = msgspec.field(default=None, name="EVSEID")
    status: str | None = msgspec.field(default=None, name="EvseStatus")
    status_capitals: str | None = msgspec.field(default=None, name="EVSEStatus")


class Group(msgspec.Struct, frozen=True, gc=False):
    """OperatorEvseStatusType, or OperatorEvseDataType: an operator and its records, not read yet."""

    operator_id: str | None = msgspec.field(default=None, name="OperatorID")
    operator_name: Any = msgspec.field(default=None, name="OperatorName")
    records: msgspec.Raw = msgspec.field(default=EMPTY, name="EvseStatusRecord")
    records_capitals: msgspec.Raw = msgspec.field(default=EMPTY, name="EVSEStatusRecord")
    data: msgspec.Raw = msgspec.field(default=EMPTY, name="EvseDataRecord")
    data_capitals: msgspec.Raw = msgspec.field(default=EMPTY, name="EVSEDataRecord")

    @property
    def status_records(self) -> msgspec.Raw:
        return self.records if self.records is not EMPTY else self.records_capitals

    @property
    def data_records(self) -> msgspec.Raw:
        return self.data if self.data is not EMPTY else self.data_capitals


class _PushMessage(msgspec.Struct, frozen=True, gc=False):
    """eRoamingPushEvseStatus and eRoamingPushEvseData."""

    action: str = msgspec.field(default="", name="ActionType")
    status: Group | None = msgspec.field(default=None, name="OperatorEvseStatus")
    status_capitals: Group | None = msgspec.field(default=None, name="OperatorEVSEStatus")
    data: Group | None = msgspec.field(default=None, name="OperatorEvseData")
    data_capitals: Group | None = msgspec.field(default=None, name="OperatorEVSEData")


_decode_push = msgspec.json.Decoder(_PushMessage).decode
_decode_records = msgspec.json.Decoder(list[Record]).decode
_decode_record = msgspec.json.Decoder(Record).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


class DataDelivery(Delivery, frozen=True, kw_only=True, gc=False):
    """A delivery of data records, and what its acknowledgement needs."""

    is_wanted: bool = True
    """Whether the operator may register stations; where it may not, its records are not read."""


class Oicp:
    """`POST /api/oicp/evsepush/v21/operators/{operatorID}/status-records`, and `.../data-records`."""

    name = "oicp"

    def receive(self, request: Request, operator: Operator, limits: ParseLimits) -> Delivery:
        """Implements `Push.receive`.

        Raises:
            NotFound: the path is none of these two.
            NotAllowed: OperatorID is none of this operator's parties.
            MalformedBody: the body is no such message.
            TooLarge: it has more records than `limits.items_max`.
        """
        place = PATH.fullmatch(request.path)
        if place is None:
            raise NotFound("nothing is here; push to evsepush/v21/operators/{operatorID}/status-records")
        asserted = evse_key(place[1])
        _check(operator, place[1], asserted)
        message = _decoded(request.body)
        action = message.action.casefold()
        if action not in ACTIONS:
            raise MalformedBody(
                f"ActionType is {quoted(shown(message.action))}; it is fullLoad, update, insert or delete"
            )
        group, member = _group(message, place[2])
        if group is None:
            raise MalformedBody(f"the message has no {member}")
        if (group.status_records if place[2] == "status" else group.data_records) is EMPTY:
            # A list that is empty says that there is nothing; none says that this is another message.
            raise MalformedBody(
                f"{member} has no {_RECORDS[place[2]]}; send an empty list where there are none"
            )
        written = group.operator_id or place[1]
        named = evse_key(written)
        if named != asserted:
            _check(operator, written, named)
        gathering = Gathering(operator.name, Order.ARRIVAL)
        if place[2] == "status":
            return _statuses(action, group, named, operator, gathering, limits)
        return _data(action, group, named, operator, gathering, limits)

    def answer(self, request: Request, delivery: Delivery, receipt: Receipt) -> Answer:  # noqa: ARG002 - a push
        """An acknowledgement: a success unless everything was refused. AdditionalInfo counts, and names
        the first that were refused.
        """
        taken = receipt.accepted + receipt.unchanged
        told = f"{receipt.accepted} changed, {receipt.unchanged} unchanged, {len(receipt.refused)} refused"
        reasons = [(_code(each), f"record {each.index}: {each.detail}") for each in receipt.refused]
        if isinstance(delivery, DataDelivery):
            unfit = [one for one in delivery.stations if isinstance(one, RecordRefusal)]
            taken = len(delivery.stations) - len(unfit)
            told = f"{taken} stations described, {len(unfit)} records refused"
            reasons = [(one.reason[:3], f"{one.record}: {one.reason[4:]}") for one in unfit]
            if not delivery.is_wanted:
                told = "this operator may not register stations here: the data were not used"
                reasons = [(UNAUTHORIZED, "ask who runs this server for the right to register stations")]
                taken = 0
        for code, reason in reasons[:REFUSALS_TOLD_MAX]:
            told += f"; {code} {reason}"
        return Answer(200, acknowledgement(reasons[0][0] if reasons and not taken else SUCCESS, told))

    def refuse(self, request: Request, error: LadestromError) -> Answer:  # noqa: ARG002 - a push
        """An acknowledgement with `Result` false, which also reads as the fault that Hubject answers."""
        match error.status:
            case 401 | 403:
                code = UNAUTHORIZED
            case status if status < 500 and not error.retry:  # noqa: PLR2004 - RFC 9110: the client's error
                code = DATA_ERROR
            case _:
                code = SYSTEM_ERROR
        return Answer(error.status, acknowledgement(code, str(error), str(error)))


class _StatusCode(msgspec.Struct, frozen=True):
    """StatusCodeType."""

    code: str = msgspec.field(name="Code")
    description: str = msgspec.field(name="Description")
    additional: str = msgspec.field(name="AdditionalInfo")


class _Acknowledgement(msgspec.Struct, frozen=True):
    """eRoamingAcknowledgement of OICP 2.3, and with `message` a fault, as Hubject answers one."""

    result: bool = msgspec.field(name="Result")
    status: _StatusCode = msgspec.field(name="StatusCode")
    message: str | msgspec.UnsetType = msgspec.UNSET


_encode = msgspec.json.Encoder().encode


def acknowledgement(code: str, additional: str, message: str | None = None) -> bytes:
    """eRoamingAcknowledgement; `message` makes it a fault (`OicpERoamingFault`) too."""
    status = _StatusCode(code, DESCRIPTIONS[code], additional[:ADDITIONAL_CHARACTERS_MAX])
    return _encode(_Acknowledgement(code == SUCCESS, status, msgspec.UNSET if message is None else message))


def read_records(raw: msgspec.Raw) -> Iterator[Record | Problem]:
    """Status records, one or a list; those that cannot be read as problems.

    Raises:
        MalformedBody: it is neither a record nor a list of them.
    """
    start = _start(raw)
    try:
        if start == b"{":
            yield _read_record(raw)
        elif start == b"[":
            try:
                yield from _decode_records(raw)
            except msgspec.ValidationError:
                yield from map(_read_record, _decode_raws(raw))
        elif start != NULL:
            raise MalformedBody("EvseStatusRecord is neither a record nor a list of records")
    except UNREADABLE as error:
        raise unreadable(error) from error


def evse_of(record: Record | Problem) -> str:
    """The EVSE that a record is of; empty where it does not say."""
    return "" if isinstance(record, Problem) else record.evse_id or record.evse_id_capitals or ""


def gather(gathering: Gathering, record: Record | Problem) -> None:
    """Takes one status record as it stands."""
    if isinstance(record, Problem):
        gathering.refuse(record.reason, record.detail)
        return
    evse = record.evse_id or record.evse_id_capitals
    word = record.status_capitals if record.status is None else record.status
    if evse is None or word is None:
        gathering.refuse(Reason.INVALID_ITEM, "EvseID or EvseStatus is missing")
        return
    gathering.word(evse, WORDS.get(word) or STATUSES.find(word), None, word)


def unreadable(error: Exception) -> MalformedBody:
    """What is told of a body that is no JSON, or no message of OICP."""
    return MalformedBody(f"the body is not an OICP message ({error}); none of it was accepted")


def too_large(count: int, limits: ParseLimits) -> TooLarge:
    """What is told of a message with too many records."""
    return TooLarge(f"the message has {count} records; at most {limits.items_max} are taken: split it")


def _start(raw: msgspec.Raw) -> bytes:
    return bytes(memoryview(raw)[:1])


def _read_record(raw: msgspec.Raw) -> Record | Problem:
    try:
        return _decode_record(raw)
    except msgspec.ValidationError as error:
        return Problem(Reason.INVALID_ITEM, str(error))


def _check(operator: Operator, written: str, key: str) -> None:
    """Whether the operator may speak as this OperatorID; each EVSE is looked at for itself."""
    is_own = operator.all or key in operator.parties
    is_own = is_own or any(key.startswith(own) or own.startswith(key) for own in operator.prefixes)
    if not key or not is_own:
        raise NotAllowed(f"OperatorID {quoted(shown(written))} is not a party of {quoted(operator.name)}")


def _decoded(body: bytes) -> _PushMessage:
    try:
        return _decode_push(json_text(body))
    except UNREADABLE as error:
        raise unreadable(error) from error


def _group(message: _PushMessage, kind: str) -> tuple[Group | None, str]:
    if kind == "status":
        return message.status or message.status_capitals, "OperatorEvseStatus"
    return message.data or message.data_capitals, "OperatorEvseData"


def _statuses(
    action: str, group: Group, party: str, operator: Operator, gathering: Gathering, limits: ParseLimits
) -> Delivery:
    records = list(read_records(group.status_records))
    if len(records) > limits.items_max:
        raise too_large(len(records), limits)
    if action == DELETE:
        for record in records:
            _forget(gathering, record, Status.UNKNOWN)
        return gathering.delivery()
    for record in records:
        gather(gathering, record)
    # Of which EVSE a record is that does not say so is not known: it may be any that is not named.
    is_full = action == FULL_LOAD and all(map(evse_of, records))
    return gathering.delivery(complete=is_full, within=_extent(party, operator, records) if is_full else ())


def _forget(gathering: Gathering, record: Record | Problem, status: Status) -> None:
    """A record that is deleted: of the EVSE nothing is known any more, or it is no more."""
    if isinstance(record, Problem):
        gathering.refuse(record.reason, record.detail)
    elif (evse := record.evse_id or record.evse_id_capitals) is None:
        gathering.refuse(Reason.INVALID_ITEM, "EvseID is missing")
    else:
        gathering.word(evse, status, None, DELETE)


def _extent(party: str, operator: Operator, records: Sequence[Record | Problem]) -> tuple[str, ...]:
    """What a full load replaces: all that an operator of one party has, else its party's and its records'.

    A hub operator's records are of sub-operators too; those of which it says nothing stay as they are.
    """
    if _is_only(party, operator):
        return ()
    return (party, *sorted({party_of(evse_of(record)) for record in records} - {party, ""}))


def _is_only(party: str, operator: Operator) -> bool:
    """Whether all that the operator has is this party's."""
    return operator.parties == (party,) and not operator.prefixes and not operator.all


def _data(
    action: str, group: Group, party: str, operator: Operator, gathering: Gathering, limits: ParseLimits
) -> Delivery:
    try:
        start = _start(group.data_records)
        one = [group.data_records] if start == b"{" else None
        raws = one or ([] if start == NULL else _decode_raws(group.data_records))
    except UNREADABLE as error:
        raise unreadable(error) from error
    if len(raws) > limits.items_max:
        raise too_large(len(raws), limits)
    if action == DELETE:
        for raw in raws:
            _forget(gathering, _read_record(raw), Status.REMOVED)
        return gathering.delivery()
    if not operator.may_register:
        return DataDelivery(reports=[], is_wanted=False)
    is_full, name = action == FULL_LOAD, group.operator_name
    return DataDelivery(
        reports=[],
        stations=list(drafts(raws, name if isinstance(name, str) else None, party, operator)),
        partial_stations=not is_full,
        all_stations=is_full and _is_only(party, operator),
    )


def _code(refusal: Refusal) -> str:
    return CODES.get(refusal.reason, DATA_ERROR)
