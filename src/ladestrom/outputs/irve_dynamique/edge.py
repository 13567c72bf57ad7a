"""`GET /irve/dynamique.csv`."""

from __future__ import annotations

from typing import Final

from ladestrom.edges.documents import Form
from ladestrom.edges.output import Opened, Reading
from ladestrom.outputs.irve_dynamique.encoder import MEDIA_TYPE, Points

PATH: Final = "/irve/dynamique.csv"
FORM: Final = Form(name="irve_dynamique", media_type=MEDIA_TYPE, encoder=Points, is_timed=True)


def open(reading: Reading) -> Opened:  # noqa: A001 - what every output's edge is opened by
    """The file."""
    return Opened(routes=[reading.documents.route(PATH, FORM)])
