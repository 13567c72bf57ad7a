"""`ladestrom operators`: who reports, on what it may, and how fresh its reports are."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import App, Parameter

from ladestrom.cli.noted import noted_sources
from ladestrom.cli.store import (
    DATA_DEFAULT,
    DataDirectory,
    duration_s,
    now,
    opened,
    print_table,
    shown,
    shown_duration,
)
from ladestrom.core.access import operator_from
from ladestrom.model import Millis

if TYPE_CHECKING:
    from ladestrom.model import Operator

FRESHNESS_FILE: Final = "freshness.json"
FRESHNESS_MIB_MAX: Final = 16
"""A hundred bytes for each of a hundred thousand operators is less."""

app: Final = App(name="operators", help="Operators, and what each may report on.")


class Freshness(msgspec.Struct, frozen=True):
    """What a server has noted of an operator since it started."""

    last_report_at: Millis | None = None
    reports: int = 0
    changes: int = 0
    refused: int = 0


@app.command
def add(
    name: str,
    *,
    party: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())] = None,
    prefix: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())] = None,
    all_evses: Annotated[bool, Parameter(name="--all", negative=())] = False,
    stale_after: str | None = None,
    registers: Annotated[bool, Parameter(name="--registers", negative=())] = False,
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Add an operator, or replace what one of this name may report on.

    Args:
        name: the operator's name; it is the source of its reports.
        party: country and party that the register gives its EVSEs, such as FR*ABC; several are possible.
        prefix: beginning of its EVSE ids, such as FRABC; several are possible.
        all_evses: it may report on every EVSE.
        stale_after: silence after which its EVSEs become unknown, such as 1h; the setting where left out.
        registers: stations that it describes come into the registry, where all their EVSEs are of its party.
        data: directory of the log and the store; made where it is missing.
    """
    operator = operator_from(
        name,
        parties=party or (),
        prefixes=prefix or (),
        all_evses=all_evses,
        stale_after_s=None if stale_after is None else duration_s(stale_after, "--stale-after"),
        may_register=registers,
    )
    added = asyncio.run(_put(data, operator))
    what = "added" if added else "replaced: what it could report on before is forgotten"
    registers_too = ", and register its stations" if operator.may_register else ""
    print(f"{operator.name} {what}; it may report on {_rights(operator)}{registers_too}")


@app.command(name="list")
def list_operators(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Print all operators, what each may report on and, where a server has run, how fresh its reports are.

    Args:
        as_json: prints a JSON list; instants are milliseconds since the Unix epoch.
        data: directory of the log and the store.
    """
    found = asyncio.run(_operators(data))
    freshness = _freshness(data / FRESHNESS_FILE)
    if as_json:
        rows = [
            {
                **msgspec.structs.asdict(operator),
                "freshness": None if freshness is None else freshness.get(operator.name, Freshness()),
            }
            for operator in found
        ]
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    head = ["NAME", "MAY REPORT ON", "STALE AFTER"]
    lines = [
        [
            operator.name,
            _rights(operator),
            "as set" if operator.stale_after_s is None else shown_duration(operator.stale_after_s),
        ]
        for operator in found
    ]
    if freshness is not None:
        head += ["LAST REPORT", "REPORTS", "CHANGES", "REFUSED"]
        for line, operator in zip(lines, found, strict=True):
            noted = freshness.get(operator.name, Freshness())
            line += [
                shown(noted.last_report_at, "never"),
                str(noted.reports),
                str(noted.changes),
                str(noted.refused),
            ]
        head.append("SOURCES")
        told = noted_sources(data).values()
        for line, operator in zip(lines, found, strict=True):
            own = [
                f"{each.freshness.source.removeprefix(f'{operator.name}/')} {each.freshness.state}"
                for each in told
                if each.operator == operator.name
            ]
            line.append(", ".join(own) or "-")
    print_table(head, lines)


async def _put(data: Path, operator: Operator) -> bool:
    async with opened(data) as store:
        return await store.put_operator(operator, now())


async def _operators(data: Path) -> list[Operator]:
    async with opened(data, make=False) as store:
        return list(await store.operators())


def _rights(operator: Operator) -> str:
    if operator.all:
        return "all EVSEs"
    return ", ".join([*operator.parties, *(f"{prefix}..." for prefix in operator.prefixes)])


def _freshness(path: Path) -> Mapping[str, Freshness] | None:
    """What the server wrote beside the store; None where there is nothing, or nothing that can be read."""
    try:
        with path.open("rb") as file:
            content = file.read(FRESHNESS_MIB_MAX * 1024 * 1024)
        return msgspec.json.decode(content, type=dict[str, Freshness])
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        sys.stderr.write(f"ladestrom: {path} is left out, it cannot be read: {error}\n")
        return None
