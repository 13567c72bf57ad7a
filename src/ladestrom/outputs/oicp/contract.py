"""Statuses in the words of OICP in the published contracts."""

from __future__ import annotations

from typing import Final

from ladestrom.edges.contract.documents import DOCUMENTS, DOCUMENTS_TEXT, document
from ladestrom.edges.contract.rows import Part
from ladestrom.edges.contract.samples import EVSE, OPERATOR
from ladestrom.edges.contract.schemas import reference
from ladestrom.edges.contract.words import Word
from ladestrom.outputs.oicp.edge import PATH
from ladestrom.outputs.oicp.encoder import (
    JSON,
    NAME_CHARACTERS_MAX,
    WORDS,
    EvseStatusRecord,
    OperatorStatuses,
    StatusFile,
)

_RECORD: Final = EvseStatusRecord(EVSE, "Occupied")
_OPERATOR: Final = OperatorStatuses("NO*FJL", OPERATOR, [_RECORD])

CONTRACT: Final = Part(
    tags={DOCUMENTS: DOCUMENTS_TEXT},
    operations=(
        document(
            path=PATH,
            name="getOicpStatuses",
            summary="All EVSEs and their statuses in the words of OICP, as in the open data of Switzerland",
            description="EVSEs whose id has not the form of OICP are left out.",
            content={JSON: {"schema": reference("StatusFile")}},
        ),
    ),
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
