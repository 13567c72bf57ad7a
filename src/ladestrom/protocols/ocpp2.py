"""OCPP 2.0.1 and 2.1: their actions, their words, and the two ways in which they say a status.

Source: OCPP 2.0.1 edition 3 and OCPP 2.1, part 2, section 1 (messages) and part 4, section 4.3 (error codes).
A charging station says a connector's status by StatusNotification or, as newer ones do, by NotifyEvent of the
variable AvailabilityState of Connector, EVSE or ChargingStation, and a fault by the variable Problem (part 2,
appendix, standardized components).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ladestrom.core.words import Vocabulary
from ladestrom.model import Reason, Status
from ladestrom.protocols.delivery import UNREADABLE, shown
from ladestrom.protocols.ocpp_frames import (
    EMPTY,
    Answering,
    CallRefused,
    Dialect,
    Fault,
    Turn,
    accept_boot,
    always,
    instant,
    number_of,
    payload_of,
    tell_time,
)
from ladestrom.protocols.ocpp_points import WHOLE, Connector, PointStatus, unmapped

STATUS_WORDS: Final = {
    "Available": PointStatus(Status.AVAILABLE, "Available"),
    "Occupied": PointStatus(Status.CHARGING, "Occupied"),
    "Reserved": PointStatus(Status.RESERVED, "Reserved"),
    "Unavailable": PointStatus(Status.INOPERATIVE, "Unavailable"),
    "Faulted": PointStatus(Status.OUTOFORDER, "Faulted", error=True),
}
"""ConnectorStatusEnumType, and the values of AvailabilityState."""
STATUSES: Final = Vocabulary(STATUS_WORDS)
EVENTS_MAX: Final = 2_000
"""Events of one message that are taken: ten for each connector of the largest stations."""
FLAGS: Final = Vocabulary({"true": True, "false": False})
VARIABLES: Final = Vocabulary({"AvailabilityState": "AvailabilityState", "Problem": "Problem"})
"""Those of a component that say a status or a fault."""
COMPONENTS: Final = frozenset({"connector", "evse", "chargingstation"})
"""Whose status counts. Names are compared without regard to case (part 2, IdentifierString)."""


class StatusNotification(msgspec.Struct, frozen=True, gc=False):
    """StatusNotificationRequest. The timestamp is required, and yet left out by some."""

    connectorStatus: str  # noqa: N815 - as the specification writes it
    evseId: Any  # noqa: N815 - likewise
    connectorId: Any  # noqa: N815 - likewise
    timestamp: Any = None


class Evse(msgspec.Struct, frozen=True, gc=False):
    id: int
    connectorId: int | None = None  # noqa: N815 - as the specification writes it


class Component(msgspec.Struct, frozen=True, gc=False):
    name: str
    evse: Evse | None = None


class Variable(msgspec.Struct, frozen=True, gc=False):
    name: str


class Event(msgspec.Struct, frozen=True, gc=False):
    """EventDataType, as far as it is used."""

    component: Component
    variable: Variable
    actualValue: Any = None  # noqa: N815 - as the specification writes it
    cleared: Any = None
    timestamp: Any = None


class NotifyEvent(msgspec.Struct, frozen=True, gc=False):
    """NotifyEventRequest. Parts of a long one (`tbc`, `seqNo`) are taken each by itself."""

    eventData: list[Event]  # noqa: N815 - as the specification writes it


class _Events(msgspec.Struct, frozen=True, gc=False):
    eventData: list[msgspec.Raw]  # noqa: N815 - likewise


class _Tokened(msgspec.Struct, frozen=True, gc=False):
    idToken: Any = None  # noqa: N815 - likewise


_decode_status = msgspec.json.Decoder(StatusNotification, strict=False).decode
_decode_notify = msgspec.json.Decoder(NotifyEvent, strict=False).decode
_decode_events = msgspec.json.Decoder(_Events).decode
_decode_event = msgspec.json.Decoder(Event, strict=False).decode
_decode_tokened = msgspec.json.Decoder(_Tokened).decode


def status_notification(turn: Turn, payload: msgspec.Raw) -> bytes:
    """Takes a status."""
    told = payload_of(payload, _decode_status)
    word = told.connectorStatus
    said = STATUS_WORDS.get(word) or STATUSES.find(word) or unmapped(word)
    evse, connector = number_of(told.evseId, "evseId"), number_of(told.connectorId, "connectorId")
    where = (evse, connector if evse else WHOLE)
    turn.heard.append(where)
    turn.points.tell(turn.into, where, said, instant(told.timestamp), turn.now)
    return EMPTY


def notify_event(turn: Turn, payload: msgspec.Raw) -> bytes:
    """Takes the events that tell of availability; one that cannot be read costs no other."""
    try:
        events = _decode_notify(payload).eventData
    except UNREADABLE:
        raws = payload_of(payload, _decode_events).eventData[: EVENTS_MAX + 1]
        events = [event for raw in raws if (event := _event(turn, raw)) is not None]
    if len(events) > EVENTS_MAX:
        raise CallRefused(Fault.PROPERTY, f"eventData has more than {EVENTS_MAX} events")
    for event in events:
        _take(turn, event)
    return EMPTY


def _event(turn: Turn, raw: msgspec.Raw) -> Event | None:
    try:
        return _decode_event(raw)
    except UNREADABLE as error:
        turn.into.refuse(Reason.INVALID_ITEM, f"the event cannot be read: {shown(error)}")
        return None


def _take(turn: Turn, event: Event) -> None:
    what = VARIABLES.find(event.variable.name)
    if what is None:
        return
    where = _where(event.component)
    if where is None:
        return
    at = instant(event.timestamp)
    if what == "Problem":
        is_there = _is_set(event.actualValue) and not _is_set(event.cleared)
        turn.points.problem(turn.into, where, is_there, at, turn.now)
        return
    word = event.actualValue if isinstance(event.actualValue, str) else ""
    said = STATUS_WORDS.get(word) or STATUSES.find(word) or unmapped(word)
    turn.heard.append(where)
    turn.points.tell(turn.into, where, said, at, turn.now)


def _is_set(value: object) -> bool:
    """A flag as charging stations write it: as the text that the specification wants, or as JSON has it."""
    return bool(FLAGS.find(value)) if isinstance(value, str) else value is True or value == 1


def _where(component: Component) -> Connector | None:
    """Who tells; None where the component is none whose availability counts."""
    kind = component.name.lower()
    if kind not in COMPONENTS:
        return None
    evse = component.evse
    if kind == "chargingstation" or (evse is not None and evse.id == WHOLE):
        return WHOLE, WHOLE
    if evse is None or evse.id < 0:
        return None
    if kind == "evse":
        return evse.id, WHOLE
    connector = 1 if evse.connectorId is None else evse.connectorId
    return (evse.id, connector) if connector > 0 else None


def transaction_event(_turn: Turn, payload: msgspec.Raw) -> bytes:
    """Who shows a token is told that it gives no right to charge here."""
    shows = payload_of(payload, _decode_tokened).idToken is not None
    return b'{"idTokenInfo":{"status":"Invalid"}}' if shows else EMPTY


def trigger(where: Connector) -> bytes:
    """TriggerMessageRequest. Source: part 2, F06: a status is asked for by EVSE and connector."""
    return b'{"requestedMessage":"StatusNotification","evse":{"id":%d,"connectorId":%d}}' % where


ACTIONS_201: Final[dict[str, Answering]] = {
    "Authorize": always(b'{"idTokenInfo":{"status":"Invalid"}}'),
    "BootNotification": accept_boot,
    "ClearedChargingLimit": always(EMPTY),
    "DataTransfer": always(b'{"status":"UnknownVendorId"}'),
    "FirmwareStatusNotification": always(EMPTY),
    "Get15118EVCertificate": always(b'{"status":"Failed","exiResponse":""}'),
    "GetCertificateStatus": always(b'{"status":"Failed"}'),
    "Heartbeat": tell_time,
    "LogStatusNotification": always(EMPTY),
    "MeterValues": always(EMPTY),
    "NotifyChargingLimit": always(EMPTY),
    "NotifyCustomerInformation": always(EMPTY),
    "NotifyDisplayMessages": always(EMPTY),
    "NotifyEVChargingNeeds": always(b'{"status":"Rejected"}'),
    "NotifyEVChargingSchedule": always(b'{"status":"Accepted"}'),
    "NotifyEvent": notify_event,
    "NotifyMonitoringReport": always(EMPTY),
    "NotifyReport": always(EMPTY),
    "PublishFirmwareStatusNotification": always(EMPTY),
    "ReportChargingProfiles": always(EMPTY),
    "ReservationStatusUpdate": always(EMPTY),
    "SecurityEventNotification": always(EMPTY),
    "SignCertificate": always(b'{"status":"Rejected"}'),
    "StatusNotification": status_notification,
    "TransactionEvent": transaction_event,
}
ACTIONS_21: Final[dict[str, Answering]] = {
    **ACTIONS_201,
    "BatterySwap": always(EMPTY),
    "ClosePeriodicEventStream": always(EMPTY),
    "NotifyDERAlarm": always(EMPTY),
    "NotifyDERStartStop": always(EMPTY),
    "NotifyPriorityCharging": always(EMPTY),
    "NotifySettlement": always(EMPTY),
    "OpenPeriodicEventStream": always(b'{"status":"Rejected"}'),
    "PullDynamicScheduleUpdate": always(b'{"status":"Rejected"}'),
    "ReportDERControl": always(EMPTY),
}
OURS_201: Final = frozenset(
    {
        "CancelReservation",
        "CertificateSigned",
        "ChangeAvailability",
        "ClearCache",
        "ClearChargingProfile",
        "ClearDisplayMessage",
        "ClearVariableMonitoring",
        "CostUpdated",
        "CustomerInformation",
        "DeleteCertificate",
        "GetBaseReport",
        "GetChargingProfiles",
        "GetCompositeSchedule",
        "GetDisplayMessages",
        "GetInstalledCertificateIds",
        "GetLocalListVersion",
        "GetLog",
        "GetMonitoringReport",
        "GetReport",
        "GetTransactionStatus",
        "GetVariables",
        "InstallCertificate",
        "PublishFirmware",
        "RequestStartTransaction",
        "RequestStopTransaction",
        "ReserveNow",
        "Reset",
        "SendLocalList",
        "SetChargingProfile",
        "SetDisplayMessage",
        "SetMonitoringBase",
        "SetMonitoringLevel",
        "SetNetworkProfile",
        "SetVariableMonitoring",
        "SetVariables",
        "TriggerMessage",
        "UnlockConnector",
        "UnpublishFirmware",
        "UpdateFirmware",
    }
)
OURS_21: Final = OURS_201 | {
    "AFRRSignal",
    "AdjustPeriodicEventStream",
    "ChangeTransactionTariff",
    "ClearDERControl",
    "ClearTariffs",
    "GetCertificateChainStatus",
    "GetDERControl",
    "GetPeriodicEventStream",
    "GetTariffs",
    "NotifyAllowedEnergyTransfer",
    "NotifyPeriodicEventStream",
    "NotifyWebPaymentStarted",
    "RequestBatterySwap",
    "SetDERControl",
    "SetDefaultTariff",
    "UpdateDynamicSchedule",
    "UsePriorityCharging",
    "VatNumberValidation",
}
WORDS: Final[dict[Fault, str | None]] = {
    Fault.FRAME: "RpcFrameworkError",
    Fault.MESSAGE_TYPE: "MessageTypeNotSupported",
    Fault.INCOMPLETE: "RpcFrameworkError",
    Fault.FORM: "FormatViolation",
    Fault.OCCURRENCE: "OccurrenceConstraintViolation",
    Fault.TYPE: "TypeConstraintViolation",
    Fault.PROPERTY: "PropertyConstraintViolation",
    Fault.UNKNOWN_ACTION: "NotImplemented",
    Fault.OTHER_SIDE: "NotSupported",
    Fault.INTERNAL: "InternalError",
}
OCPP_201: Final = Dialect(
    subprotocol="ocpp2.0.1",
    actions=ACTIONS_201,
    ours=OURS_201,
    words=WORDS,
    trigger=trigger,
    by_number=False,
    has_sends=False,
    compresses=True,
)
OCPP_21: Final = Dialect(
    subprotocol="ocpp2.1",
    actions=ACTIONS_21,
    ours=OURS_21,
    # Part 4, section 4.4: as of 2.1, a message of an unknown type is ignored.
    words={**WORDS, Fault.MESSAGE_TYPE: None},
    trigger=trigger,
    by_number=False,
    has_sends=True,
    compresses=True,
)
