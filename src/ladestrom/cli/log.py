"""`ladestrom log`: repairs of the change log."""

from __future__ import annotations

import asyncio
from typing import Final

from cyclopts import App

from ladestrom.backends.table import log_of
from ladestrom.cli.where import NOT_GIVEN, Where, say
from ladestrom.errors import Conflict
from ladestrom.roles import limits
from ladestrom.targets import load

app: Final = App(name="log", help="Repair the change log.")


@app.command(name="new-epoch")
def new_epoch(*, where: Where = NOT_GIVEN) -> None:
    """Check a change log in PostgreSQL, drop what is damaged, and begin a new epoch with the next start.

    Stop all servers of this change log first. Consumers get `reset` and a snapshot. All statuses stay,
    except for changes that are damaged and not in the last checkpoint: the command says which.

    Args:
        where: Options of every command.
    """
    settings = where.settings()
    row = log_of(settings.log.url)
    if not row.repair:
        raise Conflict(f"a change log {row.keeps} has no such repair: restore a backup (`ladestrom restore`)")
    repair = load(row.repair)
    found = asyncio.run(repair(limits.log(settings)))
    if found.damage:
        say(f"damaged: {found.damage}")
    if found.lost is not None:
        first, last = found.lost
        say(f"lost: changes {first} to {last}. Their EVSEs keep the status of before until the next report")
    say(f"the change log begins with entry {found.first} now; the next start begins a new epoch")
