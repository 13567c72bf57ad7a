"""The catalogue in the published contracts."""

from __future__ import annotations

from typing import Final

from ladestrom.edges.contract.rows import Operation, Part
from ladestrom.outputs.catalogue.edge import PATH
from ladestrom.outputs.catalogue.encoder import MEDIA_TYPE

CATALOGUE: Final = "Catalogue"

CONTRACT: Final = Part(
    tags={CATALOGUE: "What is offered, for catalogues of data."},
    operations=(
        Operation(
            path=PATH,
            id="getCatalogue",
            tag=CATALOGUE,
            summary="All outputs in the words of mobilityDCAT-AP, as JSON-LD",
            description="Each output is a dataset, each form of it a distribution. It needs no key.",
            scope=None,
            keys=(),
            answers={
                200: {
                    "description": "The catalogue.",
                    "content": {MEDIA_TYPE: {"schema": {"type": "object"}}},
                }
            },
            entity_tag="ContentTag",
            cached=True,
            refusals=("bad_request", "invalid_filter"),
        ),
    ),
)
