"""`ladestrom registry`: what the registry has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import App, Parameter

from ladestrom.cli.store import print_table, reading
from ladestrom.cli.where import NOT_GIVEN, Where, say
from ladestrom.core.coverage import parties
from ladestrom.model import evse_key

if TYPE_CHECKING:
    from ladestrom.core.coverage import PartyRow

ROWS_SHOWN: Final = 100
"""Of a national register with a thousand operators, those that have most EVSEs."""

app: Final = App(name="registry", help="Show what the registry contains.")


@app.command(name="parties")
def list_parties(
    search: str | None = None,
    /,
    *,
    everything: Annotated[bool, Parameter(name="--all")] = False,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    where: Where = NOT_GIVEN,
) -> None:
    """List the parties, EVSE id prefixes and operator names in the registry, with their numbers of EVSEs.

    Use them as --party and --prefix of `ladestrom operators add`. The last column shows the
    operators of this server that may report on them.

    Args:
        search: Only rows in which the party, the prefix or the operator's name contains this text.
        everything: List all rows; without it, the first 100.
        as_json: Print a JSON list of all rows.
        where: Options of every command.
    """
    rows = [row for row in asyncio.run(_parties(where)) if search is None or _has(row, search)]
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    if not rows:
        say("the registry has no stations" if search is None else f"no party, prefix or name has {search}")
        return
    listed = rows if everything else rows[:ROWS_SHOWN]
    print_table(
        ("PARTY", "PREFIX", "OPERATOR IN THE REGISTER", "REGISTER", "STATIONS", "EVSES", "REPORTED BY"),
        [
            (
                row.party or "-",
                row.prefix or "-",
                row.operator or "-",
                row.register,
                f"{row.stations:,}",
                f"{row.evses:,}",
                ", ".join(row.reported_by) or "-",
            )
            for row in listed
        ],
    )
    if len(listed) < len(rows):
        say(f"these are the first {len(listed):,} of {len(rows):,} rows; --all lists all of them")


async def _parties(where: Where) -> list[PartyRow]:
    async with reading(where) as store:
        return parties((await store.registry_since(0)).stations, await store.operators())


def _has(row: PartyRow, search: str) -> bool:
    key, text = evse_key(search), search.casefold()
    return (
        bool(key and any(key in each for each in (row.party, row.prefix) if each))
        or text in (row.operator or "").casefold()
    )
