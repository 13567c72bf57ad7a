"""Statuses in the words of OICP in the published contracts."""

from __future__ import annotations

from typing import Final

from ladestrom.edges.contract.documents import DOCUMENTS, DOCUMENTS_TEXT, document
from ladestrom.edges.contract.requests import Parameter, path_parameter
from ladestrom.edges.contract.rows import Operation, Part
from ladestrom.edges.contract.samples import EVSE, OPERATOR
from ladestrom.edges.contract.schemas import Schema, reference
from ladestrom.edges.contract.words import Word
from ladestrom.outputs.oicp import pull
from ladestrom.outputs.oicp.circles import RADIUS_KM_MAX
from ladestrom.outputs.oicp.edge import PATH
from ladestrom.outputs.oicp.encoder import (
    JSON,
    NAME_CHARACTERS_MAX,
    WORDS,
    EvseStatusRecord,
    OperatorStatuses,
    StatusFile,
)
from ladestrom.outputs.oicp.questions import CODES, IDS_MAX, NO_STATUS, OPERATORS_MAX
from ladestrom.outputs.oicp.records import Notation

_RECORD: Final = EvseStatusRecord(EVSE, "Occupied")
_OPERATOR: Final = OperatorStatuses("NO*FJL", OPERATOR, [_RECORD])
PULLED: Final = "OICP for EMPs"
_REFUSED: Final = (
    "A request that OICP refuses, also for its key, is answered with 200 and `StatusCode` 017 (the key), 018 "
    "(an EvseID that is none) or 022 (the message). Look at it first: such an answer has no records."
)
_TEXT: Final = {"type": "string"}
_PROVIDER_ID: Final = {"type": "string", "pattern": "^[A-Za-z]{2}[*|\\-]?[A-Za-z0-9]{3}$"}
_CENTER: Final = {
    "type": "object",
    "required": ["GeoCoordinates", "Radius"],
    "properties": {
        "GeoCoordinates": {"type": "object", "description": "In one of the notations of OICP."},
        "Radius": {"type": "number", "exclusiveMinimum": 0, "maximum": RADIUS_KM_MAX, "description": "km"},
    },
}


def _texts(items_max: int | None = None, *, items_min: int = 1) -> Schema:
    made: Schema = {"type": "array", "items": _TEXT, "minItems": items_min}
    return made if items_max is None else {**made, "maxItems": items_max}


def _object(*demanded: str, **members: Schema) -> Schema:
    return {"type": "object", "required": list(demanded), "properties": members}


_STATUS_CODE: Final = _object(
    "Code", Code={"type": "string", "enum": sorted(CODES)}, Description=_TEXT, AdditionalInfo=_TEXT
)


def _records(words: Schema) -> Schema:
    record = _object("EvseID", "EvseStatus", EvseID=_TEXT, EvseStatus=words)
    return {"type": "array", "items": record}


_STATUSES: Final = _object(
    "EvseStatuses",
    "StatusCode",
    StatusCode=_STATUS_CODE,
    EvseStatuses=_object(
        "OperatorEvseStatus",
        OperatorEvseStatus={
            "type": "array",
            "items": _object(
                "OperatorID",
                "OperatorName",
                "EvseStatusRecord",
                OperatorID=_TEXT,
                OperatorName=_TEXT,
                EvseStatusRecord=_records({"type": "string", "enum": sorted(set(WORDS.values()))}),
            ),
        },
    ),
)
_BY_ID: Final = _object(
    "StatusCode",
    StatusCode=_STATUS_CODE,
    EVSEStatusRecords=_object(
        "EvseStatusRecord",
        EvseStatusRecord=_records({"type": "string", "enum": sorted({*WORDS.values(), NO_STATUS})}),
    ),
)
_COUNT: Final = {"type": "integer", "minimum": 0}
_TRUTH: Final = {"type": "boolean"}
_DATA: Final = _object(
    "StatusCode",
    StatusCode=_STATUS_CODE,
    content={"type": "array", "items": {"type": "object"}, "description": "EvseDataRecords of OICP 2.3."},
    **dict.fromkeys(("number", "size", "numberOfElements", "totalElements", "totalPages"), _COUNT),
    **dict.fromkeys(("first", "last"), _TRUTH),
)
_QUESTION: Final = {"ProviderID": "NO-XYZ"}


def _pull(
    path: str,
    name: str,
    texts: tuple[str, str],
    asked: tuple[Schema, Schema],
    answer: Schema,
    parameters: tuple[str, ...] = (),
) -> Operation:
    """A row: its summary and description, what is asked and an example of it, and what comes back."""
    return Operation(
        path=path.replace(":str", ""),
        method="post",
        id=name,
        tag=PULLED,
        summary=texts[0],
        description=f"{texts[1]} {_REFUSED}",
        open_to_visitors=True,
        keys_refused_within=True,
        parameters=("oicpProvider", "contentEncoding", *parameters),
        body={
            "required": True,
            "description": f"At most {pull.BODY_BYTES_MAX} bytes.",
            "content": {JSON: {"schema": asked[0], "examples": {"message": {"value": asked[1]}}}},
        },
        answer=answer,
        refusals=("malformed_body", "body_timeout", "too_large", "unsupported_encoding"),
    )


_PULLS: Final = (
    _pull(
        pull.STATUSES,
        "pullOicpStatuses",
        (
            "OICP 2.3, eRoamingPullEvseStatus: all statuses, or some",
            "`SearchCenter` and `EvseStatus` narrow. EVSEs whose id has not the form of OICP are left out.",
        ),
        (
            _object("ProviderID", ProviderID=_PROVIDER_ID, SearchCenter=_CENTER, EvseStatus=_TEXT),
            {**_QUESTION, "EvseStatus": "Available"},
        ),
        _STATUSES,
    ),
    _pull(
        pull.BY_ID,
        "pullOicpStatusesById",
        (
            "OICP 2.3, eRoamingPullEvseStatusByID: the statuses of some EVSEs",
            f"At most {IDS_MAX} ids. The status of an EVSE that is not listed is `{NO_STATUS}`.",
        ),
        (
            _object("ProviderID", "EvseID", ProviderID=_PROVIDER_ID, EvseID=_texts(IDS_MAX)),
            {**_QUESTION, "EvseID": [EVSE]},
        ),
        _BY_ID,
    ),
    _pull(
        pull.BY_OPERATOR,
        "pullOicpStatusesByOperatorId",
        (
            "OICP 2.3, eRoamingPullEvseStatusByOperatorID: the statuses of some operators' EVSEs",
            f"At most {OPERATORS_MAX} ids. Whose an EVSE is follows from its id.",
        ),
        (
            _object("ProviderID", "OperatorID", ProviderID=_PROVIDER_ID, OperatorID=_texts(OPERATORS_MAX)),
            {**_QUESTION, "OperatorID": ["NO*FJL"]},
        ),
        _STATUSES,
    ),
    _pull(
        pull.DATA,
        "pullOicpData",
        (
            "OICP 2.3, eRoamingPullEvseData: stations, in pages of EVSEs",
            "With `LastCall`: what changed since, by `deltaType`.",
        ),
        (
            _object(
                "ProviderID",
                "GeoCoordinatesResponseFormat",
                ProviderID=_PROVIDER_ID,
                GeoCoordinatesResponseFormat={"type": "string", "enum": list(Notation)},
                SearchCenter=_CENTER,
                LastCall={"type": "string", "format": "date-time"},
                OperatorIds=_texts(OPERATORS_MAX, items_min=0),
                CountryCodes=_texts(items_min=0),
                Accessibility=_texts(items_min=0),
                AuthenticationModes=_texts(items_min=0),
                IsOpen24Hours=_TRUTH,
            ),
            {**_QUESTION, "GeoCoordinatesResponseFormat": "Google"},
        ),
        _DATA,
        ("oicpPage", "oicpSize"),
    ),
)

CONTRACT: Final = Part(
    tags={
        DOCUMENTS: DOCUMENTS_TEXT,
        PULLED: (
            "What EMPs pull from a hub of OICP 2.3: statuses and stations. `Authorization: Bearer KEY` or "
            "`X-Api-Key: KEY`, as elsewhere; any ProviderID. Without a key where visitors are let in."
        ),
    },
    operations=(
        document(
            path=PATH,
            name="getOicpStatuses",
            summary="All EVSEs and their statuses in the words of OICP, as in the open data of Switzerland",
            description="EVSEs whose id has not the form of OICP are left out.",
            content={JSON: {"schema": reference("StatusFile")}},
        ),
        *_PULLS,
    ),
    parameters={
        "oicpProvider": path_parameter(
            "provider", "Your ProviderID, the same as in the body.", "NO-XYZ", maxLength=64
        ),
        "oicpPage": Parameter(
            name="page",
            description="Number of the page, from 0.",
            schema={"type": "integer", "minimum": 0, "maximum": pull.PAGES_MAX, "default": 0},
            example=0,
        ),
        "oicpSize": Parameter(
            name="size",
            description="Records in a page.",
            schema={"type": "integer", "minimum": 1, "maximum": pull.SIZE_MAX, "default": pull.SIZE},
            example=100,
        ),
    },
    sent=(StatusFile,),
    samples=(StatusFile([_OPERATOR]), _OPERATOR, _RECORD),
    words={
        "EVSEStatuses": Word("Operators that have EVSEs here, in order of their ids."),
        "OperatorStatuses.OperatorID": Word("Whose ids the EVSEs have (OICP's OperatorIDType)."),
        "OperatorStatuses.OperatorName": Word(
            "Who operates the first of their stations of which that is known; else the id.",
            {"maxLength": NAME_CHARACTERS_MAX},
        ),
        "EVSEStatusRecord": Word("Its EVSEs."),
        "EvseStatusRecord.EvseID": Word("As OICP writes it (EvseIDType)."),
        "EVSEStatus": Word("A word of OICP (EvseStatusType).", {"enum": sorted(set(WORDS.values()))}),
    },
)
