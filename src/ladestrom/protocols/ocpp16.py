"""OCPP 1.6: its actions, its words, and how it says a status.

Source: OCPP 1.6 edition 2, section 4 (messages of the charge point) and 7 (types); OCPP-J 1.6, section 4.2.3
(error codes); the white paper on security (LogStatusNotification and the like).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ladestrom.core.words import Vocabulary
from ladestrom.model import Status
from ladestrom.protocols.ocpp_frames import (
    EMPTY,
    Answering,
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

STATUSES: Final[dict[str, Status]] = {
    "Available": Status.AVAILABLE,
    "Preparing": Status.CHARGING,
    "Charging": Status.CHARGING,
    "SuspendedEVSE": Status.CHARGING,
    "SuspendedEV": Status.CHARGING,
    "Finishing": Status.CHARGING,
    "Reserved": Status.RESERVED,
    "Unavailable": Status.INOPERATIVE,
    "Faulted": Status.OUTOFORDER,
}
"""ChargePointStatus, section 7.7. From Preparing to Finishing the place is taken."""
HINDERING: Final = frozenset(
    {
        "ConnectorLockFailure",
        "GroundFailure",
        "HighTemperature",
        "InternalError",
        "OverCurrentFailure",
        "OverVoltage",
        "PowerMeterFailure",
        "PowerSwitchFailure",
        "ReaderFailure",
        "UnderVoltage",
    }
)
"""ChargePointErrorCode, section 7.6, as far as it may keep a driver from charging.

EVCommunicationError is by that section no error of the charge point; LocalListConflict, ResetFailure and
WeakSignal hinder nobody; OtherError says nothing.
"""


class StatusNotification(msgspec.Struct, frozen=True, gc=False):
    """StatusNotification.req, section 6.47, as far as it is used. Other fields may be as they like."""

    connectorId: Any  # noqa: N815 - as the specification writes it
    status: str
    errorCode: Any = None  # noqa: N815 - likewise
    timestamp: Any = None


_decode_status = msgspec.json.Decoder(StatusNotification, strict=False).decode
_STATUSES: Final = Vocabulary(STATUSES)
_HINDERING: Final = Vocabulary(dict.fromkeys(HINDERING, True))
_KNOWN: Final[dict[tuple[str, str | None], PointStatus]] = {
    (word, code): PointStatus(
        status,
        word if code in {None, "NoError"} else f"{word}/{code}",
        error=status is Status.OUTOFORDER or code in HINDERING,
    )
    for word, status in STATUSES.items()
    for code in (None, "NoError", *sorted(HINDERING))
}


def status_notification(turn: Turn, payload: msgspec.Raw) -> bytes:
    """Takes a status. One without an error code, or with an unknown one, is understood too."""
    told = payload_of(payload, _decode_status)
    code = told.errorCode if isinstance(told.errorCode, str) else None
    said = _KNOWN.get((told.status, code)) or _respelled(told.status, code)
    number = number_of(told.connectorId, "connectorId")
    where = (number, 1 if number else WHOLE)
    turn.heard.append(where)
    turn.points.tell(turn.into, where, said, instant(told.timestamp), turn.now)
    return EMPTY


def _respelled(word: str, code: str | None) -> PointStatus:
    """A status in another spelling, or with an error code that decides nothing; UNKNOWN if it is no word."""
    status = _STATUSES.find(word)
    if status is None:
        return unmapped(word)
    error = status is Status.OUTOFORDER or (code is not None and _HINDERING.find(code) is not None)
    return PointStatus(status, word if code is None else f"{word}/{code}", error)


def start_transaction(turn: Turn, _payload: msgspec.Raw) -> bytes:
    """A transaction gets its number, which the charge point needs, and no right to charge."""
    return b'{"idTagInfo":{"status":"Invalid"},"transactionId":%d}' % turn.transaction


def trigger(where: Connector) -> bytes:
    """TriggerMessage.req, section 6.51: without a connector it is for the charge point as a whole."""
    if where[0] == WHOLE:
        return b'{"requestedMessage":"StatusNotification"}'
    return b'{"requestedMessage":"StatusNotification","connectorId":%d}' % where[0]


ACTIONS: Final[dict[str, Answering]] = {
    "Authorize": always(b'{"idTagInfo":{"status":"Invalid"}}'),
    "BootNotification": accept_boot,
    "DataTransfer": always(b'{"status":"UnknownVendorId"}'),
    "DiagnosticsStatusNotification": always(EMPTY),
    "FirmwareStatusNotification": always(EMPTY),
    "Heartbeat": tell_time,
    "LogStatusNotification": always(EMPTY),
    "MeterValues": always(EMPTY),
    "SecurityEventNotification": always(EMPTY),
    "SignCertificate": always(b'{"status":"Rejected"}'),
    "SignedFirmwareStatusNotification": always(EMPTY),
    "StartTransaction": start_transaction,
    "StatusNotification": status_notification,
    "StopTransaction": always(EMPTY),
}
OURS: Final = frozenset(
    {
        "CancelReservation",
        "CertificateSigned",
        "ChangeAvailability",
        "ChangeConfiguration",
        "ClearCache",
        "ClearChargingProfile",
        "DeleteCertificate",
        "ExtendedTriggerMessage",
        "GetCompositeSchedule",
        "GetConfiguration",
        "GetDiagnostics",
        "GetInstalledCertificateIds",
        "GetLocalListVersion",
        "GetLog",
        "InstallCertificate",
        "RemoteStartTransaction",
        "RemoteStopTransaction",
        "ReserveNow",
        "Reset",
        "SendLocalList",
        "SetChargingProfile",
        "SignedUpdateFirmware",
        "TriggerMessage",
        "UnlockConnector",
        "UpdateFirmware",
    }
)
OCPP_16: Final = Dialect(
    subprotocol="ocpp1.6",
    actions=ACTIONS,
    ours=OURS,
    words={
        Fault.FRAME: "FormationViolation",
        # Section 4.1.3: a message of another type is ignored.
        Fault.MESSAGE_TYPE: None,
        Fault.INCOMPLETE: "ProtocolError",
        Fault.FORM: "FormationViolation",
        # The specification's own spelling.
        Fault.OCCURRENCE: "OccurenceConstraintViolation",
        Fault.TYPE: "TypeConstraintViolation",
        Fault.PROPERTY: "PropertyConstraintViolation",
        Fault.UNKNOWN_ACTION: "NotImplemented",
        Fault.OTHER_SIDE: "NotSupported",
        Fault.INTERNAL: "InternalError",
    },
    trigger=trigger,
    by_number=True,
    has_sends=False,
    compresses=False,
)
