"""`GET /api/oicp/status.json`, and what EMPs pull (`pull`)."""

from __future__ import annotations

from typing import Final

from ladestrom.edges.documents import Form
from ladestrom.edges.output import Opened, Reading
from ladestrom.outputs.oicp import pull
from ladestrom.outputs.oicp.encoder import JSON, Part, Statuses

PATH: Final = "/api/oicp/status.json"
FORM: Final[Form[Part]] = Form(name="oicp", media_type=JSON, encoder=Statuses)


def open(reading: Reading) -> Opened:  # noqa: A001 - what every output's edge is opened by
    """The file, and the resources of EMPs."""
    return Opened(routes=[reading.documents.route(PATH, FORM), *pull.handlers(reading)])
