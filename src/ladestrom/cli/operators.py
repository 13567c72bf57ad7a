"""`ladestrom operators`: who reports, on what it may report, and how fresh its reports are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from cyclopts import App, Parameter

from ladestrom.cli.source_status import source_statuses
from ladestrom.cli.store import (
    duration_s,
    now,
    print_table,
    reading,
    shown,
    shown_duration,
    writing,
)
from ladestrom.cli.where import NOT_GIVEN, Where, say
from ladestrom.core.access import operator_from
from ladestrom.core.coverage import Coverage, coverage
from ladestrom.errors import NotFound
from ladestrom.formats.freshness import FRESHNESS_FILE
from ladestrom.model import Millis
from ladestrom.quoting import cause, quoted

if TYPE_CHECKING:
    from ladestrom.model import Operator
    from ladestrom.ports.stores import OperatorUse

FRESHNESS_MIB_MAX: Final = 16
"""A hundred bytes for each of a hundred thousand operators is less."""

Times = Literal["source", "receipt"]

app: Final = App(name="operators", help="Manage operators and what each may report on.")


class Freshness(msgspec.Struct, frozen=True):
    """What a server has noted of an operator since it started."""

    last_report_at: Millis | None = None
    reports: int = 0
    changes: int = 0
    refused: int = 0


@app.command
def add(  # noqa: PLR0913 - each is an option of the command
    name: str,
    *,
    party: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    prefix: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    all_evses: Annotated[bool, Parameter(name="--all")] = False,
    stale_after: str | None = None,
    registers: bool = False,
    max_age: str | None = None,
    times: Times = "source",
    where: Where = NOT_GIVEN,
) -> None:
    """Add an operator, or replace the rights of the operator that has this name.

    Give at least one right: --party, --prefix or --all. `ladestrom registry parties` shows the parties and
    prefixes that the registry has. If the rights cover no EVSE in the registry, the command warns you.

    Args:
        name: Name of the operator.
        party: Country and company code at the beginning of the operator's EVSE ids, such as FR*ABC, FR-ABC or
            FRABC. Can be given several times.
        prefix: Beginning of EVSE ids or station uuids, such as FR*ABC*E12 or NOR_015. Can be given several
            times.
        all_evses: The operator may report on every EVSE.
        stale_after: How long an EVSE may go unreported before it becomes UNKNOWN, such as 1h. Default: the
            setting `rules.stale_after_s`.
        registers: The operator may register stations: those that it describes are added to the registry, and
            their EVSEs belong to its party.
        max_age: How old an observation may be when it arrives, such as 1d. An older one makes the EVSE
            UNKNOWN, because the system behind the operator's interface has probably stopped. Default: any
            age.
        times: Which observation time is used: that of the source, or the time of receipt. Use receipt if the
            operator's times are wrong.
        where: Options of every command.
    """
    operator = operator_from(
        name,
        parties=party or (),
        prefixes=prefix or (),
        all_evses=all_evses,
        stale_after_s=None if stale_after is None else duration_s(stale_after, "--stale-after"),
        may_register=registers,
    )
    operator = msgspec.structs.replace(
        operator,
        max_age_s=None if max_age is None else duration_s(max_age, "--max-age"),
        by_receipt=times == "receipt",
    )
    added, covered = asyncio.run(_put(where, operator))
    print(
        f"{'added' if added else 'replaced'} {operator.name}: it may report on {_rights(operator)}"
        + (" and add stations to the registry" if operator.may_register else "")
    )
    print(_covers(covered))
    for line in _warnings(covered):
        say(f"warning: {line}")


@app.command(name="list")
def list_operators(
    *,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    where: Where = NOT_GIVEN,
) -> None:
    """List all operators, their rights and, if a server has run, how fresh their reports are.

    Args:
        as_json: Print a JSON list. Times are milliseconds since 1970.
        where: Options of every command.
    """
    found = asyncio.run(_operators(where))
    data = where.directory().path
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
    lines = [[operator.name, _rights(operator), _stale_after(operator)] for operator in found]
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
        told = source_statuses(data).values()
        for line, operator in zip(lines, found, strict=True):
            own = [
                f"{each.freshness.source.removeprefix(f'{operator.name}/')} {each.freshness.state}"
                for each in told
                if each.operator == operator.name
            ]
            line.append(", ".join(own) or "-")
    print_table(head, lines)


@app.command
def show(
    name: str,
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    where: Where = NOT_GIVEN,
) -> None:
    """Show an operator's rights and which EVSEs of the registry each of them covers.

    Args:
        name: Name of the operator.
        as_json: Print one JSON object.
        where: Options of every command.
    """
    operator, covered = asyncio.run(_covered(where, name))
    if as_json:
        row = {**msgspec.structs.asdict(operator), "covers": covered}
        print(msgspec.json.format(msgspec.json.encode(row), indent=2).decode())
        return
    print(f"{operator.name} may report on {_rights(operator)}")
    print(_covers(covered))
    print(f"stale after: {_stale_after(operator)}")
    if operator.max_age_s is not None:
        print(f"maximum age of an observation: {shown_duration(operator.max_age_s)}")
    if operator.by_receipt:
        print("observation time: the time of receipt")
    print(f"may add stations to the registry: {'yes' if operator.may_register else 'no'}")
    print()
    print_table(
        ("RIGHT", "VALUE", "EVSES"), [(each.kind, each.value, f"{each.evses:,}") for each in covered.rights]
    )
    if covered.examples:
        print("\nexamples:")
        for evse in covered.examples:
            print(f"  {evse.name} (station {evse.station})")
    for line in _warnings(covered):
        say(f"warning: {line}")


@app.command
def remove(
    name: str,
    /,
    *,
    force: bool = False,
    where: Where = NOT_GIVEN,
) -> None:
    """Remove an operator. A running server refuses its reports within a second.

    Statuses that it reported stay until they expire. Its keys that are revoked or expired are removed too.

    Args:
        name: Name of the operator.
        force: Also remove the keys, sources, charge points and OCPI peers of the operator. Without this
            option, the command fails if there are any.
        where: Options of every command.
    """
    use = asyncio.run(_remove(where, name, force=force))
    print(f"removed {name}{f', together with {use}' if str(use) else ''}")


async def _put(where: Where, operator: Operator) -> tuple[bool, Coverage]:
    async with writing(where, make=True) as store:
        added = await store.put_operator(operator, now())
        return added, coverage(operator, (await store.registry_since(0)).stations)


async def _operators(where: Where) -> list[Operator]:
    async with reading(where) as store:
        return list(await store.operators())


async def _covered(where: Where, name: str) -> tuple[Operator, Coverage]:
    async with reading(where) as store:
        operator = next((each for each in await store.operators() if each.name == name), None)
        if operator is None:
            raise NotFound(f"there is no operator {quoted(name)}; `ladestrom operators list` shows the names")
        return operator, coverage(operator, (await store.registry_since(0)).stations)


async def _remove(where: Where, name: str, *, force: bool) -> OperatorUse:
    async with writing(where) as store:
        return await store.remove_operator(name, now(), force=force)


def _rights(operator: Operator) -> str:
    if operator.all:
        return "all EVSEs"
    return ", ".join([*operator.parties, *(f"{prefix}..." for prefix in operator.prefixes)])


def _stale_after(operator: Operator) -> str:
    return "as set" if operator.stale_after_s is None else shown_duration(operator.stale_after_s)


def _covers(covered: Coverage) -> str:
    if not covered.evses:
        return "this covers no EVSE in the registry"
    return f"this covers {covered.evses:,} EVSEs at {covered.stations:,} stations"


def _warnings(covered: Coverage) -> Iterator[str]:
    """What is odd about rights that cover nothing, and what to do."""
    empty = [f"{right.kind} {right.value}" for right in covered.rights if not right.evses]
    if not empty:
        return
    which = "its rights cover" if not covered.evses else f"{', '.join(empty)}: this covers"
    yield (
        f"{which} no EVSE in the registry. `ladestrom registry parties` shows the parties and prefixes that "
        "the registry has"
    )


def _freshness(path: Path) -> Mapping[str, Freshness] | None:
    """What the server wrote beside the store; None where there is nothing, or nothing that can be read."""
    try:
        with path.open("rb") as file:
            content = file.read(FRESHNESS_MIB_MAX * 1024 * 1024)
        return msgspec.json.decode(content, type=dict[str, Freshness])
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        say(f"warning: {path} cannot be read and is ignored: {cause(error)}")
        return None
