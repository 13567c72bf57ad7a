"""EVSEs are held by EVSE ids of their own only.

Before schema 0006, a record held whatever EVSE id was free: whoever wrote another's first kept the owner's
station out of the registry. Uids were taken for EVSE ids, too. Such EVSEs get registry keys now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

from ladestrom.core.access import rightful
from ladestrom.core.drafts import completed, is_described
from ladestrom.model import Connector, Evse, Operator, Outlet, Station, evse_key, registry_key
from ladestrom.ports.registry import StationDraft

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_operators = sa.table("operators", *map(sa.column, ("name", "parties", "prefixes", "all")))
_stations = sa.table("stations", *map(sa.column, ("uuid", "register", "layout", "told", "revision")))
_evses = sa.table("evses", *map(sa.column, ("key", "station")))
_readings = sa.table("readings", *map(sa.column, ("evse", "revision")))
_charge_points = sa.table("charge_points", *map(sa.column, ("id", "station", "evses")))
_revision = sa.table("revision", sa.column("value"))


def upgrade() -> None:
    """Give registry keys to EVSEs that are held by an id that is not their own."""
    connection = op.get_bind()
    owners = {row.name: _operator(row) for row in connection.execute(sa.select(_operators))}
    found = connection.execute(sa.select(_stations.c.uuid, _stations.c.register, _stations.c.layout))
    renamed = [
        (before, after)
        for before in (_station(*row) for row in found)
        if (after := _renamed(before, owners)).evses != before.evses
    ]
    if not renamed:
        return
    newest = int(connection.execute(sa.select(_revision.c.value)).scalar_one()) + 1
    connection.execute(sa.update(_revision).values(value=newest))
    for before, after in renamed:
        connection.execute(
            sa.update(_stations)
            .where(_stations.c.uuid == after.uuid)
            .values(layout=_layout(after), told=0, revision=newest)
        )
        keys = zip((evse.key for evse in before.evses), (evse.key for evse in after.evses), strict=True)
        _rekey(connection, after.uuid, {old: new for old, new in keys if old != new}, newest)


def downgrade() -> None:
    """Change nothing: which id an EVSE was held by is not known any more."""


def _renamed(station: Station, owners: Mapping[str, Operator]) -> Station:
    """The station with the keys and EVSE ids that its record would have today."""
    evses = tuple(
        evse
        if registry_key(evse.key) or evse.key == evse_key(evse.evse_id or "")
        else msgspec.structs.replace(evse, key="")
        for evse in station.evses
    )
    draft = StationDraft(msgspec.structs.replace(station, evses=evses))
    if is_described(station.register):
        name = station.register.partition(":")[2]
        draft = rightful(owners.get(name, Operator(name)), draft)
    return completed(draft, station.register, station.uuid, station)[0]


def _rekey(connection: sa.Connection, uuid: str, keys: Mapping[str, str], newest: int) -> None:
    """Moves all that is of some EVSEs of a station to their new keys."""
    for old, new in keys.items():
        connection.execute(sa.insert(_evses).values(key=new, station=uuid))
        connection.execute(
            sa.update(_readings).where(_readings.c.evse == old).values(evse=new, revision=newest)
        )
        connection.execute(sa.delete(_evses).where(_evses.c.key == old))
    points = connection.execute(sa.select(_charge_points).where(_charge_points.c.station == uuid)).all()
    for point in points if keys else ():
        evses = [(number, keys.get(key, key)) for number, key in msgspec.json.decode(point.evses)]
        connection.execute(
            sa.update(_charge_points)
            .where(_charge_points.c.id == point.id)
            .values(evses=msgspec.json.encode(evses).decode())
        )


def _operator(row: sa.Row[Any]) -> Operator:
    return Operator(
        row.name,
        parties=tuple(msgspec.json.decode(row.parties)),
        prefixes=tuple(msgspec.json.decode(row.prefixes)),
        all=bool(row.all),
    )


def _station(uuid: str, register: str, layout: str) -> Station:
    """What of a station says how its EVSEs are held."""
    evses, outlets = msgspec.json.decode(layout)
    return Station(
        uuid=uuid,
        name="",
        country="",
        latitude=0.0,
        longitude=0.0,
        evses=tuple(
            Evse(key, uuid, evse_id=evse_id, uid=uid, party=party) for key, evse_id, uid, party in evses
        ),
        outlets=tuple(Outlet(evse, Connector(standard, power_kw)) for evse, standard, power_kw in outlets),
        register=register,
    )


def _layout(station: Station) -> str:
    evses = [(evse.key, evse.evse_id, evse.uid, evse.party) for evse in station.evses]
    outlets = [(each.evse, each.connector.standard, each.connector.max_kw) for each in station.outlets]
    return msgspec.json.encode((evses, outlets)).decode()
