"""DATEX II in the published contracts."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ladestrom.edges.contract.documents import DOCUMENTS, DOCUMENTS_TEXT, document
from ladestrom.edges.contract.requests import Parameter
from ladestrom.edges.contract.rows import Operation, Part
from ladestrom.formats.wire import POSITION
from ladestrom.outputs.datex2.edge import JSON, STATUS_JSON, STATUS_XML, TABLE_JSON, TABLE_XML, XML

_OBJECT: Final = {"type": "object"}
_TEXT: Final = {"type": "string"}
_TABLE: Final = (
    "Every station with its EVSEs, as a site of its own. `versionG` (`version`) is the revision of a "
    "station's record. Stations with an EVSE whose power is not known are left out: the schemas demand it."
)
_STATUSES: Final = (
    "The status of every EVSE of the table, by the same ids and versions. `lastUpdated` is when the status "
    "was first observed. With `since`, what became of EVSEs since that position, in a container that says "
    "`deltaPull`: `removed` is what is not in the table any more. Go on from `Ladestrom-Position`."
)


def _status(operation: Operation) -> Operation:
    return replace(
        operation,
        parameters=(*operation.parameters, "datexSince"),
        refusals=(*operation.refusals, "invalid_position", "position_lost"),
    )


CONTRACT: Final = Part(
    tags={DOCUMENTS: DOCUMENTS_TEXT},
    operations=(
        document(
            path=TABLE_JSON,
            name="getDatexTableJson",
            summary="DATEX II: stations as an EnergyInfrastructureTablePublication, AFIR profile 01-00-00",
            description=_TABLE,
            content={JSON: {"schema": _OBJECT}},
        ),
        document(
            path=TABLE_XML,
            name="getDatexTableXml",
            summary="DATEX II 3.5: stations as an EnergyInfrastructureTablePublication",
            description=_TABLE,
            content={XML: {"schema": _TEXT}},
        ),
        _status(
            document(
                path=STATUS_JSON,
                name="getDatexStatusJson",
                summary="DATEX II: an EnergyInfrastructureStatusPublication, AFIR profile 01-00-00",
                description=_STATUSES,
                content={JSON: {"schema": _OBJECT}},
            )
        ),
        _status(
            document(
                path=STATUS_XML,
                name="getDatexStatusXml",
                summary="DATEX II 3.5: an EnergyInfrastructureStatusPublication",
                description=_STATUSES,
                content={XML: {"schema": _TEXT}},
            )
        ),
    ),
    parameters={
        "datexSince": Parameter(
            name="since",
            description=(
                "`Ladestrom-Position` of the publication that you have: what became of EVSEs since then "
                "comes instead of all statuses. Not together with filters by features."
            ),
            schema={"type": "string", "pattern": POSITION},
            example="k3v9q2xa-481",
        )
    },
)
