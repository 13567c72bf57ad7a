"""IRVE dynamique in the published contracts."""

from __future__ import annotations

from typing import Final

from ladestrom.edges.contract.documents import DOCUMENTS, DOCUMENTS_TEXT, document
from ladestrom.edges.contract.rows import Part
from ladestrom.outputs.irve_dynamique.edge import PATH
from ladestrom.outputs.irve_dynamique.encoder import HEAD, MEDIA_TYPE

_ROW: Final = "FRABCE123,en_service,occupe,2026-11-22T10:04:10.000Z,,,,\r\n"

CONTRACT: Final = Part(
    tags={DOCUMENTS: DOCUMENTS_TEXT},
    operations=(
        document(
            path=PATH,
            name="getIrveDynamique",
            summary="IRVE dynamique 2.3.1: each point of charge and its status, as CSV",
            description=(
                "EVSEs whose id is no `id_pdc_itinerance` are left out, as are those that nobody has "
                "reported on yet. `horodatage` is when the status was last observed. Nothing is said of "
                "single plugs."
            ),
            content={MEDIA_TYPE: {"schema": {"type": "string"}, "example": HEAD.decode() + _ROW}},
        ),
    ),
)
