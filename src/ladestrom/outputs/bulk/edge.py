"""`GET /api/v2/stations.geojson` and its kin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ladestrom.edges.documents import Form
from ladestrom.edges.output import Opened, Reading
from ladestrom.outputs.bulk.columns import CSV, Evses, Stations
from ladestrom.outputs.bulk.encoder import GEOJSON, NDJSON, Features, Lines

FORMS: Final[Mapping[str, Form[Any]]] = {
    "/api/v2/stations.geojson": Form(name="stations.geojson", media_type=GEOJSON, encoder=Features),
    "/api/v2/stations.csv": Form(name="stations.csv", media_type=CSV, encoder=Stations),
    "/api/v2/evses.csv": Form(name="evses.csv", media_type=CSV, encoder=Evses, is_timed=True),
    "/api/v2/evses.ndjson": Form(name="evses.ndjson", media_type=NDJSON, encoder=Lines, is_timed=True),
}


def open(reading: Reading) -> Opened:  # noqa: A001 - what every output's edge is opened by
    """All of them."""
    return Opened(routes=[reading.documents.route(path, form) for path, form in FORMS.items()])
