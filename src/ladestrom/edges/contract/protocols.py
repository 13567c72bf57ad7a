"""Paths that others specified, at which operators and charge points report: rows, types and credentials.

What their messages mean is told by those who specified them; here stands what this server takes, what it
answers, and in whose words it refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal

import msgspec

from ladestrom import protocols
from ladestrom.core.access import Scope
from ladestrom.edges.contract.reports import OPERATIONS
from ladestrom.edges.contract.requests import KEY_HEADERS, Parameter, path_parameter
from ladestrom.edges.contract.rows import STREAM_ANSWERS, TAKEN_WITH, TAKING, Operation, Part
from ladestrom.edges.contract.schemas import Schema, reference
from ladestrom.edges.contract.served import JSON
from ladestrom.errors import LadestromError
from ladestrom.formats.irve_dynamique import PointStatus
from ladestrom.protocols import ocpi
from ladestrom.protocols.interfaces import Request
from ladestrom.protocols.irve_dynamique import IrveStatus
from ladestrom.protocols.ocpi_locations import DOCUMENT_BYTES_MAX
from ladestrom.protocols.ocpp import DIALECTS
from ladestrom.protocols.oicp import Oicp, _Acknowledgement, _StatusCode, acknowledgement
from ladestrom.protocols.qualicharge import _Created, _CreatedMany, _Fault, fault

PROTOCOLS: Final = "Reports in other protocols"
BASIC: Final = "basic"
OCPI_TOKEN: Final = "ocpiToken"  # noqa: S105 - a name
CHARGE_POINT: Final = "chargePoint"
CREDENTIALS: Final[Mapping[str, Schema]] = {
    BASIC: {
        "type": "http",
        "scheme": "basic",
        "description": "A key of this server as the password. The user name is ignored.",
    },
    OCPI_TOKEN: {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Token TOKEN`; from OCPI 2.2 on the token is encoded in Base64.",
    },
    CHARGE_POINT: {
        "type": "http",
        "scheme": "basic",
        "description": "The id of the charge point and its password.",
    },
}
"""Security Scheme Objects of what these paths accept beside the keys of this server, or in their place."""


class OicpStatusRecord(msgspec.Struct, frozen=True):
    """The status of one EVSE."""

    EvseID: str
    EvseStatus: str


class OicpStatusGroup(msgspec.Struct, frozen=True):
    """An operator and the statuses of its EVSEs."""

    OperatorID: str
    EvseStatusRecord: list[OicpStatusRecord]
    OperatorName: str | msgspec.UnsetType = msgspec.UNSET


class OicpStatusPush(msgspec.Struct, frozen=True):
    """eRoamingPushEvseStatus of OICP 2.3."""

    ActionType: Literal["fullLoad", "update", "insert", "delete"]
    OperatorEvseStatus: OicpStatusGroup


class OicpDataGroup(msgspec.Struct, frozen=True):
    """An operator and the records of its EVSEs."""

    OperatorID: str
    EvseDataRecord: list[dict[str, Any]]
    OperatorName: str | msgspec.UnsetType = msgspec.UNSET


class OicpDataPush(msgspec.Struct, frozen=True):
    """eRoamingPushEvseData of OICP 2.3."""

    ActionType: Literal["fullLoad", "update", "insert", "delete"]
    OperatorEvseData: OicpDataGroup


class TokenRequest(msgspec.Struct, frozen=True):
    """The password grant of OAuth 2.0 (RFC 6749, section 4.3)."""

    password: str
    username: str = ""
    grant_type: Literal["password"] = "password"


class AccessToken(msgspec.Struct, frozen=True):
    """The answer to the grant (RFC 6749, section 5.1)."""

    access_token: str
    token_type: Literal["bearer"]


class OcpiAnswer(msgspec.Struct, frozen=True):
    """The envelope of OCPI, also around what is refused."""

    status_code: int
    status_message: str
    timestamp: str
    data: Any | msgspec.UnsetType = msgspec.UNSET


SENT: Final = (
    _Acknowledgement,
    _StatusCode,
    _Created,
    _CreatedMany,
    _Fault,
    AccessToken,
    PointStatus,
    OcpiAnswer,
)
RECEIVED: Final = (OicpStatusPush, OicpDataPush, IrveStatus, TokenRequest)
_ASKED: Final = Request("POST", "", {}, {}, b"")


def _ocpi_refusal(error: LadestromError) -> bytes:
    is_ours = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    code = ocpi.SERVER_ERROR if is_ours else ocpi.CLIENT_ERROR
    return ocpi.envelope(ocpi.Reply(None, code, str(error)), 0).body


REFUSED_AS: Final[Mapping[str, Callable[[LadestromError], bytes]]] = {
    "OicpAcknowledgement": lambda error: Oicp().refuse(_ASKED, error).body,
    "QualichargeFault": lambda error: fault(error).body,
    "OcpiAnswer": _ocpi_refusal,
}
"""Schemas of refusals that are no problem details, and what each says of an error."""

EXAMPLES: Final[tuple[Any, ...]] = (
    msgspec.json.decode(acknowledgement("000", "2 changed, 5 unchanged, 0 refused"), type=_Acknowledgement),
    AccessToken("lst_4fTq0ZbN1x_...", "bearer"),
    PointStatus("FRABCE123", "en_service", "occupe", "2026-11-22T10:00:00.000Z"),
    OcpiAnswer(ocpi.SUCCESS, "Success", "2026-11-22T10:00:00Z"),
)


PARAMETERS: Final[Mapping[str, Parameter]] = {
    "oicpOperatorPath": path_parameter(
        "operatorID",
        "One of your parties, with or without separators.",
        "NO*FJL",
        maxLength=64,
    ),
    "extent": Parameter(
        name="extent",
        description="`snapshot`: it has all your EVSEs; others become UNKNOWN. `delta`: it has some of them.",
        schema={"type": "string", "enum": ["snapshot", "delta"]},
        example="delta",
    ),
    "from": Parameter(
        name="from",
        description="Only statuses observed since; ISO 8601.",
        schema={"type": "string", "anyOf": [{"format": "date-time"}, {"maxLength": 0}]},
        example="2026-11-22T10:00:00Z",
    ),
    "pdc": Parameter(
        name="pdc",
        description="Only EVSEs with these ids, separated by commas.",
        schema={"type": "string"},
        example="FRABCE123",
    ),
    "ofStation": Parameter(
        name="station",
        description="Only EVSEs of these stations, separated by commas.",
        schema={"type": "string"},
        example="FRABCP1",
    ),
    "pointPath": path_parameter("id_pdc_itinerance", "EVSE id, however it is written.", "FRABCE123"),
    "versionPath": Parameter(
        name="version",
        place="path",
        description="Version of OCPI.",
        schema={"type": "string", "enum": list(ocpi.VERSIONS)},
        example=ocpi.VERSIONS[0],
    ),
    "countryCodePath": path_parameter("country_code", "Country of the party.", "NO"),
    "partyPath": path_parameter("party_id", "The party.", "FJL"),
    "locationPath": path_parameter("location_id", "Id of the Location.", "LOC7"),
    "evseUidPath": path_parameter("evse_uid", "`uid` of the EVSE.", "E7"),
    "connectorIdPath": path_parameter("connector_id", "Id of the connector.", "1"),
    "chargePointPath": path_parameter(
        "id", "The id of the charge point, percent-encoded where needed.", "CP1"
    ),
    "subprotocol": Parameter(
        name="Sec-WebSocket-Protocol",
        place="header",
        description="Versions of OCPP that the charge point speaks, the preferred one first.",
        schema={"type": "string", "enum": [dialect.subprotocol for dialect in DIALECTS]},
        values_max=len(DIALECTS),
        example=["ocpp2.0.1", "ocpp1.6"],
    ),
}

_PUSH: Final[Mapping[str, Any]] = {
    "tag": PROTOCOLS,
    "scope": Scope.REPORT,
    "keys": (*KEY_HEADERS, BASIC),
}
_OICP: Final[Mapping[str, Any]] = {
    **_PUSH,
    "method": "post",
    "parameters": ("oicpOperatorPath", *TAKEN_WITH),
    "refused_as": "OicpAcknowledgement",
    "answer": reference("OicpAcknowledgement"),
    "refusals": ("not_found", *TAKING),
}
_QUALICHARGE: Final[Mapping[str, Any]] = {**_PUSH, "refused_as": "QualichargeFault"}
_OCPI: Final[Mapping[str, Any]] = {
    "tag": PROTOCOLS,
    "scope": None,
    "own_key": OCPI_TOKEN,
    "refused_as": "OcpiAnswer",
    "answer": reference("OcpiAnswer"),
}
_OCPI_READ: Final[Mapping[str, Any]] = {
    **_OCPI,
    "scope": Scope.STREAM,
    "open_to_visitors": True,
}
"""What those may ask for who only read, too."""
TAKING_OCPI: Final = tuple(code for code in TAKING if code != "idempotency_conflict")


def _json(schema: Schema, **examples: object) -> Schema:
    return {JSON: {"schema": schema, "examples": {name: {"value": one} for name, one in examples.items()}}}


def _ocpi_body(noun: str, example: Schema) -> Schema:
    return {
        "required": True,
        "description": f"{noun}; at most {DOCUMENT_BYTES_MAX} bytes.",
        "content": _json({"type": "object"}, example=example),
    }


_IRVE_STATUS: Final[Schema] = {
    "id_pdc_itinerance": "FRABCE123",
    "etat_pdc": "en_service",
    "occupation_pdc": "occupe",
    "horodatage": "2026-11-22T11:00:00+01:00",
}
_OICP_STATUS: Final[Schema] = {
    "ActionType": "update",
    "OperatorEvseStatus": {
        "OperatorID": "NO*FJL",
        "EvseStatusRecord": [{"EvseID": "NO*FJL*E1234", "EvseStatus": "Occupied"}],
    },
}
_OICP_DATA: Final[Schema] = {
    "ActionType": "update",
    "OperatorEvseData": {"OperatorID": "NO*FJL", "EvseDataRecord": []},
}
_DATEX_STATUS: Final[Schema] = {
    "messageContainer": {
        "payload": [
            {
                "aegiEnergyInfrastructureStatusPublication": {
                    "energyInfrastructureSiteStatus": [
                        {
                            "energyInfrastructureStationStatus": [
                                {
                                    "refillPointStatus": [
                                        {
                                            "aegiElectricChargingPointStatus": {
                                                "reference": {"idG": "NO*FJL*E1234"},
                                                "status": {"value": "charging"},
                                            }
                                        }
                                    ]
                                }
                            ]
                        }
                    ]
                }
            }
        ]
    }
}
_OCPI_EVSE: Final[Schema] = {"uid": "E7", "status": "CHARGING", "last_updated": "2026-11-22T10:00:00Z"}
_LOCATION: Final = ("versionPath", "countryCodePath", "partyPath", "locationPath")
_OCPI_OBJECTS: Final = (
    ("Location", "/{location_id}", _LOCATION, {"id": "LOC7", "evses": [_OCPI_EVSE]}),
    ("Evse", "/{location_id}/{evse_uid}", (*_LOCATION, "evseUidPath"), _OCPI_EVSE),
    (
        "Connector",
        "/{location_id}/{evse_uid}/{connector_id}",
        (*_LOCATION, "evseUidPath", "connectorIdPath"),
        {"id": "1", "last_updated": "2026-11-22T10:00:00Z"},
    ),
)
_CREDENTIALS_BODY: Final = _ocpi_body(
    "Your credentials", {"token": "YOUR-TOKEN-B", "url": "https://ocpi.example/versions", "roles": []}
)

_STORED: Final[Mapping[int, Schema]] = {
    201: {"description": "It is new.", "content": {JSON: {"schema": reference("OcpiAnswer")}}}
}

PUSHED: Final = (
    Operation(
        **_OICP,
        path="/api/oicp/evsepush/v21/operators/{operatorID}/status-records",
        id="pushOicpStatus",
        summary="OICP 2.3: statuses of EVSEs",
        description="`Result` is false only if every record was refused.",
        content=_json(reference("OicpStatusPush"), update=_OICP_STATUS),
    ),
    Operation(
        **_OICP,
        path="/api/oicp/evsepush/v23/operators/{operatorID}/data-records",
        id="pushOicpData",
        summary="OICP 2.3: stations, from operators that may register them",
        description="`Result` is false if the operator may not register stations.",
        content=_json(reference("OicpDataPush"), update=_OICP_DATA),
    ),
    Operation(
        **_PUSH,
        path="/push/irve",
        method="post",
        id="pushIrve",
        summary="IRVE dynamique: the French status file",
        description="CSV, separated by `,`, `;`, `|` or tabs. Each bad row is refused alone.",
        parameters=("extent", *TAKEN_WITH),
        content={
            "text/csv": {
                "schema": {"type": "string"},
                "examples": {
                    "file": {"value": f"{','.join(_IRVE_STATUS)}\n{','.join(_IRVE_STATUS.values())}\n"}
                },
            }
        },
        answer=reference("Receipt"),
        refusals=TAKING,
    ),
    Operation(
        **_PUSH,
        path="/push/datex2",
        method="post",
        id="pushDatex2",
        summary="DATEX II: a status publication, version 3.5 or later",
        description=(
            "XML or JSON, as its first character says. A message container in XML is answered by one with "
            "return information, all else by a receipt."
        ),
        parameters=("extent", *TAKEN_WITH),
        content={
            **_json({"type": "object"}, afir=_DATEX_STATUS),
            "application/xml": {"schema": {"type": "string"}},
        },
        answers={
            200: {
                "description": "What became of the statuses.",
                "content": {
                    JSON: {"schema": reference("Receipt")},
                    "application/xml": {"schema": {"type": "string"}},
                },
            }
        },
        refusals=TAKING,
    ),
    Operation(
        **_QUALICHARGE,
        path="/dynamique/status/",
        method="post",
        id="createStatus",
        summary="QualiCharge: one status",
        parameters=TAKEN_WITH,
        content=_json(reference("IrveStatus"), one=_IRVE_STATUS),
        status=201,
        answer=reference("CreatedStatus"),
        refusals=("not_found", *TAKING),
    ),
    Operation(
        **_QUALICHARGE,
        path="/dynamique/status/bulk",
        method="post",
        id="createStatuses",
        summary="QualiCharge: several statuses",
        parameters=TAKEN_WITH,
        content=_json({"type": "array", "items": reference("IrveStatus")}, several=[_IRVE_STATUS]),
        status=201,
        answer=reference("CreatedStatuses"),
        refusals=("not_found", *TAKING),
    ),
    Operation(
        **_QUALICHARGE,
        path="/dynamique/status/",
        also=Scope.STREAM,
        id="listStatuses",
        summary="QualiCharge: statuses of the EVSEs that the key may read",
        parameters=("from", "pdc", "ofStation"),
        answer={"type": "array", "items": reference("PointStatus")},
        refusals=("too_large",),
    ),
    Operation(
        **_QUALICHARGE,
        path="/dynamique/status/{id_pdc_itinerance}",
        also=Scope.STREAM,
        id="getStatus",
        summary="QualiCharge: the status of one EVSE",
        parameters=("pointPath",),
        answer=reference("PointStatus"),
        refusals=("not_found",),
    ),
    Operation(
        path="/auth/token",
        method="post",
        id="createToken",
        tag=PROTOCOLS,
        summary="QualiCharge: an access token, which is the key itself",
        description="The password is a key of this server. The token is valid as long as the key.",
        scope=None,
        body={
            "required": True,
            "content": {"application/x-www-form-urlencoded": {"schema": reference("TokenRequest")}},
        },
        answer=reference("AccessToken"),
        refused_as="QualichargeFault",
        refusals=(
            "unauthenticated",
            "not_allowed",
            "key_pending",
            "malformed_body",
            "body_timeout",
            "too_large",
            "unsupported_encoding",
        ),
    ),
    Operation(
        **_OCPI_READ,
        path="/ocpi/versions",
        id="getOcpiVersions",
        summary="OCPI: the versions that this server speaks",
    ),
    Operation(
        **_OCPI_READ,
        path="/ocpi/{version}",
        id="getOcpiVersion",
        summary="OCPI: the endpoints of a version",
        parameters=("versionPath",),
        refusals=("not_found",),
    ),
    *(
        Operation(
            **_OCPI,
            path="/ocpi/{version}/credentials",
            method=method,
            id=f"{method}OcpiCredentials",
            summary=f"OCPI: {summary}",
            parameters=("versionPath",),
            body=_CREDENTIALS_BODY if method in {"post", "put"} else None,
            refusals=("not_found", *(() if method == "get" else TAKING_OCPI)),
        )
        for method, summary in (
            ("get", "the server's credentials"),
            ("post", "registers the peer"),
            ("put", "changes the peer's credentials, and gives it a new token"),
            ("delete", "ends the registration; the statuses that the peer told become UNKNOWN"),
        )
    ),
    *(
        Operation(
            **_OCPI,
            path=f"/ocpi/{{version}}/locations/{{country_code}}/{{party_id}}{path}",
            method=method,
            id=f"{method}Ocpi{noun}",
            summary=f"OCPI: {verb} {noun}",
            parameters=parameters,
            body=None if method == "get" else _ocpi_body(noun, example),
            answers=_STORED if method == "put" else {},
            refusals=("not_found", *(() if method == "get" else TAKING_OCPI)),
        )
        for noun, path, parameters, example in _OCPI_OBJECTS
        for method, verb in (("get", "reads a"), ("put", "stores a"), ("patch", "changes a"))
    ),
    Operation(
        path="/ocpp/{id}",
        id="connectChargePoint",
        tag=PROTOCOLS,
        summary="OCPP 1.6, 2.0.1 and 2.1 over a WebSocket",
        description=(
            "For charge points. permessage-deflate is used for 2.0.1 and 2.1 if the charge point offers it."
        ),
        scope=None,
        own_key=CHARGE_POINT,
        parameters=("chargePointPath", "subprotocol"),
        answers=STREAM_ANSWERS,
        refusals=(
            "bad_handshake",
            "unauthenticated",
            "not_found",
            "upgrade_required",
            "overloaded",
        ),
    ),
)
"""Rows for these paths."""


def undescribed(pushes: Mapping[str, protocols.Row]) -> tuple[Operation, ...]:
    """Rows for pushes of which no row above tells more: where they are, and who may send."""
    told = [each.path for each in (*OPERATIONS, *PUSHED)]
    return tuple(
        Operation(
            **_PUSH,
            path=row.path,
            method="post",
            id="push" + "".join(filter(str.isalnum, name.title())),
            summary=row.help.rstrip("."),
            parameters=TAKEN_WITH,
            content={"application/octet-stream": {"schema": {}}},
            answers={
                200: {"description": "What became of the statuses.", "content": {"*/*": {"schema": {}}}}
            },
            refusals=TAKING,
        )
        for name, row in pushes.items()
        if not any(path == row.path or path.startswith(f"{row.path}/") for path in told)
    )


CONTRACT: Final = Part(
    tags={PROTOCOLS: "OICP, IRVE dynamique, the French national API, DATEX II, OCPI and OCPP."},
    operations=(*PUSHED, *undescribed(protocols.PUSHES)),
    parameters=PARAMETERS,
    sent=SENT,
    received=RECEIVED,
    samples=EXAMPLES,
    names={
        "_Acknowledgement": "OicpAcknowledgement",
        "_Created": "CreatedStatus",
        "_CreatedMany": "CreatedStatuses",
        "_Fault": "QualichargeFault",
        "_StatusCode": "OicpStatusCode",
    },
    credentials=CREDENTIALS,
    refused_as=REFUSED_AS,
)
