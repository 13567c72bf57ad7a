"""`ladestrom ocpp`: charge points that report for themselves.

A password is printed once, alone, on standard output; what is said about it goes to standard error.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter

from ladestrom.cli.store import DATA_DEFAULT, DataDirectory, now, opened, print_table, shown
from ladestrom.core.charge_points import PASSWORD_BYTES_MIN, as_hexadecimal, enrol, new_password
from ladestrom.errors import BadRequest
from ladestrom.ports import ChargePoint

app: Final = App(name="ocpp", help="Charge points that connect: add, list, rotate, remove.")


@app.command
def add(
    *,
    operator: str,
    station: str,
    charge_point: Annotated[str, Parameter(name="--id")],
    numbers: Annotated[list[str] | None, Parameter(name="--map", consume_multiple=True, negative=())] = None,
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Add a charge point and print its password, alone, on standard output. It cannot be shown again.

    Args:
        operator: whose statuses it reports.
        station: the registry's uuid of its station.
        charge_point: its id, with which it connects: ws://HOST/ocpp/ID.
        numbers: its number of a connector (OCPP 1.6) or EVSE (2.x) and the EVSE that it is, such as
            1=FR*ABC*E1; several are possible. Left out, numbers are the station's EVSEs in registry order.
        data: directory of the log and the store.
    """
    password, point = enrol(
        secrets.token_bytes(PASSWORD_BYTES_MIN),
        charge_point=charge_point,
        operator=operator,
        station=station,
        evses=dict(map(_numbered, numbers or ())),
        added_at=now(),
    )
    asyncio.run(_put(data, point))
    _hand_out(password, charge_point)


@app.command(name="list")
def list_charge_points(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Print all charge points, without their passwords.

    Args:
        as_json: prints a JSON list; instants are milliseconds since the Unix epoch.
        data: directory of the log and the store.
    """
    points = asyncio.run(_points(data))
    if as_json:
        rows = [
            {name: value for name, value in msgspec.structs.asdict(point).items() if name != "secret_sha256"}
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


@app.command
def rotate(
    charge_point: Annotated[str, Parameter(name="ID")], /, *, data: DataDirectory = DATA_DEFAULT
) -> None:
    """Give a charge point a new password and print it. The old one ends at once, and its connection.

    Args:
        charge_point: its id, which `ocpp list` shows.
        data: directory of the log and the store.
    """
    password, digest = new_password(secrets.token_bytes(PASSWORD_BYTES_MIN))
    asyncio.run(_rotate(data, charge_point, digest))
    _hand_out(password, charge_point)


@app.command
def remove(
    charge_point: Annotated[str, Parameter(name="ID")], /, *, data: DataDirectory = DATA_DEFAULT
) -> None:
    """Forget a charge point. Servers that run end its connection within seconds; its EVSEs are unknown then.

    Args:
        charge_point: its id, which `ocpp list` shows.
        data: directory of the log and the store.
    """
    asyncio.run(_remove(data, charge_point))
    _say(f"the charge point {charge_point} is removed")


def _numbered(written: str) -> tuple[int, str]:
    number, is_pair, evse = written.partition("=")
    if not is_pair or not number.strip().isdecimal() or not evse.strip():
        raise BadRequest(f"--map {written[:60]!r} is no number and EVSE; write 1=FR*ABC*E1")
    return int(number), evse.strip()


async def _put(data: Path, point: ChargePoint) -> None:
    async with opened(data, make=False) as store:
        await store.put_charge_point(point)


async def _points(data: Path) -> list[ChargePoint]:
    async with opened(data, make=False) as store:
        return list(await store.charge_points())


async def _rotate(data: Path, charge_point: str, digest: bytes) -> None:
    async with opened(data, make=False) as store:
        await store.rotate_charge_point(charge_point, digest)


async def _remove(data: Path, charge_point: str) -> None:
    async with opened(data, make=False) as store:
        await store.remove_charge_point(charge_point)


def _hand_out(password: str, charge_point: str) -> None:
    print(password, flush=True)
    _say(
        f"password of {charge_point}; where OCPP 1.6 wants AuthorizationKey in hexadecimal, "
        f"{as_hexadecimal(password)}. It is not shown again"
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
