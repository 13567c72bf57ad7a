"""OICP where we ask: Hubject's pull of statuses and those who offer the same, and files of the same records.

Knows eRoamingPullEvseStatus and its two sisters, and the federal file of Switzerland, whose members are
written `EVSE...`. Must not know how requests are made.

Source: OICP 2.3 for EMPs, "Services and Operations".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import msgspec

from ladestrom.core.oicp import SUCCESS
from ladestrom.errors import BadRequest, MalformedBody, SourceFailure
from ladestrom.model import Millis, Order, Reason
from ladestrom.ports.calls import Answered, Ask
from ladestrom.protocols.conditional import OK, asked, partly, remembered
from ladestrom.protocols.delivery import (
    UNREADABLE,
    Delivery,
    Gathering,
    ParseLimits,
    Problem,
    json_text,
    shown,
)
from ladestrom.protocols.interfaces import Memory, Part, PullSettings, Round, reading
from ladestrom.protocols.oicp import (
    EMPTY,
    Group,
    Record,
    evse_of,
    gather,
    read_records,
    too_large,
    unreadable,
)

IDS_PER_REQUEST_MAX: Final = 100
"""eRoamingPullEvseStatusByID: the list must not contain more than 100 EvseIDs."""
NOTHING: Final = b"null"
NO_MEMBER: Final = msgspec.Raw(NOTHING)
_NOT_ALL: Final = "not every record says which EVSE it is of, so no EVSE was taken for missing"
STATUS_PATH: Final = "/api/oicp/evsepull/v21/providers/{}/status-records"


class _StatusCode(msgspec.Struct, frozen=True):
    code: str | int | None = msgspec.field(default=None, name="Code")
    """Some write it as a number."""
    description: Any = msgspec.field(default=None, name="Description")
    additional: Any = msgspec.field(default=None, name="AdditionalInfo")

    @property
    def is_success(self) -> bool:
        return self.code is None or str(self.code).strip().zfill(len(SUCCESS)) == SUCCESS


class _Groups(msgspec.Struct, frozen=True):
    """EvseStatusesType."""

    groups: msgspec.Raw = msgspec.field(default=NO_MEMBER, name="OperatorEvseStatus")
    groups_capitals: msgspec.Raw = msgspec.field(default=NO_MEMBER, name="OperatorEVSEStatus")


class _Listing(msgspec.Struct, frozen=True):
    """eRoamingEVSEStatus, eRoamingEVSEStatusByID, and the Swiss file. Bridges from XML write one operator, or
    one record, without the list around it.
    """

    statuses: msgspec.Raw = msgspec.field(default=NO_MEMBER, name="EvseStatuses")
    statuses_capitals: msgspec.Raw = msgspec.field(default=NO_MEMBER, name="EVSEStatuses")
    records: msgspec.Raw = msgspec.field(default=NO_MEMBER, name="EvseStatusRecords")
    records_capitals: msgspec.Raw = msgspec.field(default=NO_MEMBER, name="EVSEStatusRecords")
    status: _StatusCode | None = msgspec.field(default=None, name="StatusCode")


_decode_listing = msgspec.json.Decoder(_Listing).decode
_decode_group = msgspec.json.Decoder(Group).decode
_decode_groups = msgspec.json.Decoder(_Groups).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def pull(settings: PullSettings, memory: Memory, now: Millis) -> Round:  # noqa: ARG001 - a pull
    """Asks for all statuses, those of some operators, or those of some EVSEs.

    The address is the server's (`https://service.example.org`), or that of the provider's resource as far as
    `.../status-records`. Statuses carry no time: they hold from when they were received. The status service
    has no pages (v21).

    Options:
        provider_id: who asks (`NO-ABC`).
        operator_ids: only of these operators, joined by commas.
        evse_ids: only these EVSEs, joined by commas; asked for in hundreds.

    Raises:
        BadRequest: there is no `provider_id`.
        SourceFailure: the answer is not that of the service, or says that it failed.
        MalformedBody, TooLarge: it cannot be read.
    """
    provider = settings.options.get("provider_id")
    if not provider:
        raise BadRequest("OICP requires a provider id: give the source the option provider_id")
    address = _resource(settings.address, provider)
    operators = _ids(settings, "operator_ids")
    evses = _ids(settings, "evse_ids")
    if evses:
        for start in range(0, len(evses), IDS_PER_REQUEST_MAX):
            part = evses[start : start + IDS_PER_REQUEST_MAX]
            message: dict[str, object] = {"ProviderID": provider, "EvseID": part}
            answered = yield from _posted(f"{address}-by-id", settings, message)
            yield (yield from _read(answered, settings))
        return {}
    if operators:
        message = {"ProviderID": provider, "OperatorID": operators}
        answered = yield from _posted(f"{address}-by-operator-id", settings, message)
    else:
        answered = yield from _posted(address, settings, {"ProviderID": provider})
    delivery = yield from _read(answered, settings, complete=True)
    yield delivery
    return {} if delivery.complete else partly(now, _NOT_ALL)


def pull_file(settings: PullSettings, memory: Memory, now: Millis) -> Round:
    """Asks for a file of all statuses, if it changed: the form in which Switzerland publishes them.

    Raises:
        SourceFailure: the answer is neither the file nor says that it did not change.
        MalformedBody, TooLarge: it cannot be read.
    """
    answered = yield from asked(settings, memory, now, "application/json")
    if answered is None:
        return memory
    delivery = yield from _read(answered, settings, complete=True)
    yield delivery
    return remembered(answered, now) if delivery.complete else partly(now, _NOT_ALL)


def read(body: bytes, source: str, limits: ParseLimits, *, complete: bool = False) -> Delivery:
    """Statuses out of an answer or a file.

    Raises:
        SourceFailure: it says that the request failed.
        MalformedBody: it is no such answer.
        TooLarge: it has more records than `limits.items_max`.
    """
    try:
        listing = _decode_listing(json_text(body))
    except UNREADABLE as error:
        raise unreadable(error) from error
    status = listing.status
    if status is not None and not status.is_success:
        told = status.additional or status.description or ""
        raise SourceFailure(f"the source answered with status code {shown(status.code)}: {shown(told)}")
    gathering = Gathering(source, Order.ARRIVAL)
    count = 0
    groups = list(_groups(listing))
    if groups and all(isinstance(each, Group) and each.status_records is EMPTY for each in groups):
        raise MalformedBody("no operator of the answer has an EvseStatusRecord")
    for group in groups:
        records: Iterable[Record | Problem]
        records = (group,) if isinstance(group, Problem) else read_records(group.status_records)
        for record in records:
            count += 1
            if count > limits.items_max:
                raise too_large(count, limits)
            # Which EVSE it is of may not be known, so that nothing can be said of those that are not named.
            complete = complete and bool(evse_of(record))
            gather(gathering, record)
    return gathering.delivery(complete=complete)


def _groups(listing: _Listing) -> Iterator[Group | Problem]:
    found = False
    for statuses in (listing.statuses, listing.statuses_capitals):
        for raw in _several(statuses):
            found = True
            yield from _operators(raw)
        found = found or bytes(statuses) == b"[]"
    for group in (listing.records, listing.records_capitals):
        for raw in _several(group):
            found = True
            yield _group(raw)
    if not found:
        raise MalformedBody("the answer has neither EvseStatuses nor EvseStatusRecords")


def _operators(raw: msgspec.Raw) -> Iterator[Group | Problem]:
    """The operators of an EvseStatusesType; or the operator itself, as in the Swiss file."""
    try:
        wrapped = _decode_groups(raw)
    except UNREADABLE as error:
        yield Problem(Reason.INVALID_ITEM, f"an item of EvseStatuses cannot be read ({error})")
        return
    if wrapped.groups is NO_MEMBER and wrapped.groups_capitals is NO_MEMBER:
        yield _group(raw)
    for groups in (wrapped.groups, wrapped.groups_capitals):
        yield from map(_group, _several(groups))


def _group(raw: msgspec.Raw) -> Group | Problem:
    try:
        return _decode_group(raw)
    except UNREADABLE as error:
        return Problem(Reason.INVALID_ITEM, f"an operator's statuses cannot be read ({error})")


def _several(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """One object, or a list of them; none where it is null.

    Raises:
        MalformedBody: it is neither.
    """
    text = bytes(raw)
    if text == NOTHING:
        return []
    if text[:1] == b"{":
        return [raw]
    try:
        return [each for each in _decode_raws(raw) if bytes(each) != NOTHING]
    except UNREADABLE as error:
        raise unreadable(error) from error


def _resource(address: str, provider: str) -> str:
    address = address.rstrip("/")
    return (
        address if address.endswith("/status-records") else address + STATUS_PATH.format(quote(provider, ""))
    )


def _ids(settings: PullSettings, option: str) -> list[str]:
    return [each.strip() for each in settings.options.get(option, "").split(",") if each.strip()]


def _read(answered: Answered, settings: PullSettings, *, complete: bool = False) -> Part[Delivery]:
    body = answered.body
    return reading(body, partial(read, body, settings.source, settings.limits, complete=complete))


def _posted(url: str, settings: PullSettings, message: dict[str, object]) -> Part[Answered]:
    headers = {"accept": "application/json", "content-type": "application/json"}
    if settings.secret is not None:
        headers["authorization"] = f"Bearer {settings.secret}"
    answered = yield Ask(url, "POST", headers, _encode(message))
    if not isinstance(answered, Answered):
        raise TypeError("an Ask is sent what came back")
    if answered.status != OK:
        raise SourceFailure(f"the source answered {answered.status} instead of statuses")
    return answered
