"""What leaves ladestrom: the table of outputs.

Each lives in a folder of its own: what encodes (pure), where it is asked for, its rows of the published
contracts. All are folds over the log, or cursors into it. A row says where these are; nothing is imported
before it is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from ladestrom.targets import load

if TYPE_CHECKING:
    from ladestrom.edges.contract.rows import Part
    from ladestrom.edges.output import Open
    from ladestrom.formats.dialect import Dialect, Style


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One output."""

    name: str
    """That of its folder."""
    is_a: str
    """What it is a fold of, or a cursor into."""
    title: str
    """What catalogues of data call it."""
    tells: tuple[str, ...]
    """Of `stations`, of `statuses`, or of both; it is in the catalogue then."""
    standard: str = "other"
    """A word of mobilityDCAT-AP's list of data standards."""
    address: str = ""
    """Path at which it begins, where that is none of those that are got as they are."""
    reads: tuple[str, ...]
    """Paths, with all below them, that pages of other origins may read."""
    dialects: Mapping[str, str] = {}
    """Of a stream: by the name by which subscriptions call it, `module:function` that makes what the
    broadcast drives (`formats.dialect.Dialect`) of a `Style`."""

    def dialect(self, name: str, style: Style) -> Dialect:
        """One of its dialects."""
        made: Dialect = load(self.dialects[name])(style)
        return made

    @property
    def open(self) -> Open:
        """What makes its edge: `open` in `edge.py` of its folder."""
        found: Open = load(f"ladestrom.outputs.{self.name}.edge:open")
        return found

    @property
    def contract(self) -> Part:
        """Its rows of the contracts: `CONTRACT` in `contract.py` of its folder."""
        found: Part = load(f"ladestrom.outputs.{self.name}.contract:CONTRACT")
        return found


OUTPUTS: Final = (
    Output(
        name="nobil_v1",
        is_a="cursor: whole stations, the newest or from a position on; and a fold: stations as they are",
        title="Statuses as the NOBIL stream (2013 to 2017) tells them",
        tells=("statuses",),
        reads=("/api/v1/rest", "/api/v1/stream"),
        dialects={"v1": "ladestrom.outputs.nobil_v1.encoder:dialect"},
    ),
    Output(
        name="stream_v2",
        is_a="cursor: changes of EVSEs, the newest or each one, chained, with count and digest",
        title="Changes of statuses, as a stream",
        tells=("statuses",),
        reads=("/api/v2/stream", "/api/v2/events"),
        dialects={
            "v2": "ladestrom.outputs.stream_v2.encoder:dialect",
            "v2+stations": "ladestrom.outputs.stream_v2.encoder:records_dialect",
        },
    ),
    Output(
        name="nobil_realtime",
        is_a="cursor: changes of EVSEs by NOBIL's ids, the newest or from a position on",
        title="Changes of statuses as NOBIL Real-time tells them",
        tells=("statuses",),
        address="/nobil/real-time/v1/Realtime",
        reads=("/nobil/real-time/v1/stream",),
        dialects={
            "realtime": "ladestrom.outputs.nobil_realtime.encoder:dialect",
            "realtime+timestamp": "ladestrom.outputs.nobil_realtime.encoder:timed",
            "realtime+seq": "ladestrom.outputs.nobil_realtime.encoder:placed",
            "realtime+timestamp+seq": "ladestrom.outputs.nobil_realtime.encoder:timed_and_placed",
        },
    ),
    Output(
        name="rest_v2",
        is_a="fold: stations and EVSEs as they are",
        title="Stations and EVSEs with their statuses, page by page",
        tells=("stations", "statuses"),
        reads=("/api/v2/evses", "/api/v2/stations"),
    ),
    Output(
        name="bulk",
        is_a="fold: all stations or EVSEs as they are, as GeoJSON, CSV and JSON lines",
        title="Stations and EVSEs with their statuses, as files",
        tells=("stations", "statuses"),
        reads=(
            "/api/v2/stations.geojson",
            "/api/v2/stations.csv",
            "/api/v2/evses.csv",
            "/api/v2/evses.ndjson",
        ),
    ),
    Output(
        name="irve_dynamique",
        is_a="fold: points of charge as they are, in the French schema",
        title="Statuses in the French schema IRVE dynamique",
        tells=("statuses",),
        reads=("/irve",),
    ),
    Output(
        name="nobil_v3",
        is_a="fold: stations as they are, in the words of NOBIL, and numbers of them",
        title="Stations with their statuses as NOBIL tells them",
        tells=("stations", "statuses"),
        reads=("/api/server",),
    ),
    Output(
        name="oicp",
        is_a="fold: EVSEs as they are, by operator, in the words of OICP",
        title="Statuses in the words of OICP",
        tells=("statuses",),
        reads=("/api/oicp/status.json",),
    ),
    Output(
        name="datex2",
        is_a="fold: stations and EVSEs as they are, in DATEX II; and a cursor: statuses since a position",
        title="Stations and statuses in DATEX II",
        tells=("stations", "statuses"),
        standard="datex-II",
        reads=("/datex2/v3",),
    ),
    Output(
        name="ocpi",
        is_a="fold: Locations of operators as they are, page by page at one position, in OCPI",
        title="Stations and statuses in OCPI",
        tells=("stations", "statuses"),
        standard="ocpi",
        address="/ocpi/versions",
        reads=("/ocpi/2.1.1/sender", "/ocpi/2.2.1/sender", "/ocpi/2.3.0/sender"),
    ),
    Output(
        name="map",
        is_a="folds: EVSEs of each station by what a driver can do, what goes on, what was",
        title="Stations and what goes on at them, as maps show them",
        tells=("stations", "statuses"),
        reads=("/api/v2/map", "/api/v2/overview"),
    ),
    Output(
        name="catalogue",
        is_a="what is offered, in the words of mobilityDCAT-AP",
        title="",
        tells=(),
        reads=("/api/v2/catalogue",),
    ),
)
