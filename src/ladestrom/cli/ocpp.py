"""`ladestrom ocpp`: charge points that connect over OCPP.

A password is printed once, alone, on standard output; everything else goes to standard error.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter

from ladestrom.cli.store import now, print_table, reading, shown, writing
from ladestrom.cli.where import NOT_GIVEN, Where, say
from ladestrom.core.charge_points import PASSWORD_BYTES_MIN, as_hexadecimal, enrol, new_password
from ladestrom.errors import BadRequest
from ladestrom.ports.charge_points import ChargePoint
from ladestrom.protocols.ocpp_points import layout
from ladestrom.quoting import quoted

app: Final = App(name="ocpp", help="Manage charge points that connect over OCPP.")

ChargePointId = Annotated[str, Parameter(name="ID")]


@app.command
def add(
    *,
    operator: str,
    station: str,
    charge_point: Annotated[str, Parameter(name="--id")],
    numbers: Annotated[list[str] | None, Parameter(name="--map", consume_multiple=True)] = None,
    where: Where = NOT_GIVEN,
) -> None:
    """Add a charge point and print its password. The password is shown only once: store it.

    Only the password is written to standard output; all other messages go to standard error.

    Args:
        operator: Operator whose statuses the charge point reports.
        station: The station's `uuid` in the registry.
        charge_point: Id with which the charge point connects, as in wss://HOST/ocpp/ID.
        numbers: A connectorId (OCPP 1.6) or evseId (OCPP 2.x) of the charge point and the EVSE that it
            stands for, such as 1=FR*ABC*E1. Can be given several times. Required if the station has several
            charge points. Default: the station's EVSEs are numbered from 1, in the order of the registry.
        where: Options of every command.
    """
    password, point = enrol(
        secrets.token_bytes(PASSWORD_BYTES_MIN),
        charge_point=charge_point,
        operator=operator,
        station=station,
        evses=dict(map(_numbered, numbers or ())),
        added_at=now(),
    )
    others = asyncio.run(_put(where, point))
    _hand_out(password, charge_point)
    if others:
        say(
            f"warning: {', '.join(others)} of the same station may report on the same EVSEs. If the "
            "station has several charge points, remove them and add each with --map"
        )


@app.command(name="list")
def list_charge_points(
    *,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    where: Where = NOT_GIVEN,
) -> None:
    """List all charge points, without their passwords.

    Warn about charge points that have no `--map` although their station has more connectors than EVSEs, and
    suggest one (`connector_map` in JSON).

    Args:
        as_json: Print a JSON list. Times are milliseconds since 1970.
        where: Options of every command.
    """
    points, by_plug = asyncio.run(_points(where))
    if as_json:
        rows = [
            {name: value for name, value in msgspec.structs.asdict(point).items() if name != "secret_sha256"}
            | ({"connector_map": sorted(by_plug[point.id].items())} if point.id in by_plug else {})
            for point in points
        ]
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    print_table(
        ("ID", "OPERATOR", "STATION", "EVSES", "ADDED", "LAST SEEN"),
        [
            (
                point.id,
                point.operator,
                point.station,
                " ".join(f"{number}={key}" for number, key in point.evses) or "in registry order",
                shown(point.added_at),
                shown(point.last_seen_at, "never"),
            )
            for point in points
        ],
    )
    for point in points:
        if point.id in by_plug:
            pairs = " ".join(f"{number}={key}" for number, key in by_plug[point.id].items())
            say(
                f"{point.id}: its station has more connectors than EVSEs. If the charge point numbers its"
                f" connectors, give it a map: ladestrom ocpp remove {point.id}, then ladestrom ocpp add"
                f" --id {point.id} --station {point.station} --operator {point.operator} --map {pairs}"
            )


@app.command
def rotate(charge_point: ChargePointId, /, *, where: Where = NOT_GIVEN) -> None:
    """Give a charge point a new password and print it.

    The old password stops working immediately, and a connection that used it is closed.

    Args:
        charge_point: Id of the charge point; `ladestrom ocpp list` shows it.
        where: Options of every command.
    """
    password, digest = new_password(secrets.token_bytes(PASSWORD_BYTES_MIN))
    asyncio.run(_rotate(where, charge_point, digest))
    _hand_out(password, charge_point)


@app.command
def remove(charge_point: ChargePointId, /, *, where: Where = NOT_GIVEN) -> None:
    """Remove a charge point. A running server closes its connection within seconds; its EVSEs become UNKNOWN.

    Args:
        charge_point: Id of the charge point; `ladestrom ocpp list` shows it.
        where: Options of every command.
    """
    asyncio.run(_remove(where, charge_point))
    say(f"removed the charge point {charge_point}")


def _numbered(written: str) -> tuple[int, str]:
    number, is_pair, evse = written.partition("=")
    if not is_pair or not number.strip().isdecimal() or not evse.strip():
        raise BadRequest(f"--map {quoted(written)} is not a number and an EVSE, such as 1=FR*ABC*E1")
    return int(number), evse.strip()


async def _put(where: Where, point: ChargePoint) -> list[str]:
    """Charge points of the same station that have an EVSE in common with the one that is added."""
    async with writing(where) as store:
        await store.put_charge_point(point)
        points = await store.charge_points()
    own = next(each for each in points if each.id == point.id)
    return [
        each.id
        for each in points
        if each.id != own.id and each.station == own.station and _overlap(each, own)
    ]


def _overlap(one: ChargePoint, other: ChargePoint) -> bool:
    """Whether both may report on the same EVSE; a charge point without a map has all EVSEs of its station."""
    keys = [{key for _, key in point.evses} for point in (one, other)]
    return not all(keys) or not keys[0].isdisjoint(keys[1])


async def _points(where: Where) -> tuple[list[ChargePoint], dict[str, Mapping[int, str]]]:
    """All charge points; and of those whose numbers may be meant in two ways, the EVSEs by connector."""
    async with reading(where) as store:
        points = list(await store.charge_points())
        # The whole registry, which only charge points without a map need.
        is_needed = not all(each.evses for each in points)
        found = (await store.registry_since(0)).stations if is_needed else ()
    stations = {each.uuid: each for each in found}
    layouts = {each.id: layout(stations.get(each.station), dict(each.evses)) for each in points}
    return points, {name: each.by_plug for name, each in layouts.items() if each.by_plug}


async def _rotate(where: Where, charge_point: str, digest: bytes) -> None:
    async with writing(where) as store:
        await store.rotate_charge_point(charge_point, digest)


async def _remove(where: Where, charge_point: str) -> None:
    async with writing(where) as store:
        await store.remove_charge_point(charge_point)


def _hand_out(password: str, charge_point: str) -> None:
    print(password, flush=True)
    say(
        f"this is the password of {charge_point}. If the charge point expects AuthorizationKey (OCPP 1.6) in "
        f"hexadecimal, enter {as_hexadecimal(password)}. The password is not shown again"
    )
