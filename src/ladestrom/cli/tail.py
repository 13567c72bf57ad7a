"""`ladestrom tail`: prints changes as they happen."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from ladestrom.cli.where import NOT_GIVEN, Where
from ladestrom.client.aio import Lost, Opened, Received, follow
from ladestrom.client.session import Raw, Session, Skipped, Snapshot, Update

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ladestrom.client.session import ConnectorStatus, StationStatus

WORDS: Final[Mapping[int, tuple[str, str]]] = {
    -1: ("unknown", "dim"),
    0: ("free", "green"),
    1: ("busy", "yellow"),
}
"""Status of a connector: the word and its colour."""
ERROR: Final = ("error", "bold red")


def tail(
    *,
    server: str | None = None,
    key: str | None = None,
    country: str | None = None,
    station: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    where: Where = NOT_GIVEN,
) -> int:
    """Print changes as they happen, one line each: time, station, and the state of each of its connectors.

    If the connection is lost, the command reconnects, says so on standard error, and prints what has changed
    in the meantime. It ends with Ctrl-C, or when the program that reads its output ends.

    Args:
        server: Address of the server. Default: LADESTROM_URL, else the server of the data directory.
        key: Key with the scope `stream`. Default: LADESTROM_KEY.
        country: Only these countries, such as NOR or NOR,SWE.
        station: Only these stations, such as NOR_01333 or NOR_01333,NOR_01342.
        as_json: Print the messages as they were received, one line each, snapshots included.
        where: Options of every command.
    """
    selection = {"types": "snapshot,update"}
    if country is not None:
        selection["country"] = country
    if station is not None:
        selection["station"] = station
    screen = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        address, secret = where.remote(server, key)
        asyncio.run(_tail(address, secret, selection, screen, as_json=as_json))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0
    except BrokenPipeError:
        # The interpreter flushes standard output when it ends, and would fail on it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


async def _tail(
    server: str, key: str | None, selection: Mapping[str, str], screen: Console, *, as_json: bool
) -> None:
    session = Session()
    lines = Console(highlight=False, soft_wrap=True)
    _end_on(signal.SIGTERM)
    async with contextlib.aclosing(follow(server, key, session, selection=selection)) as events:
        async for event in events:
            match event:
                case Received(frame=frame) if as_json:
                    sys.stdout.write(frame.decode() + "\n")
                case Received(event=Update(station=changed, before=before)):
                    lines.print(line(changed, before))
                case Received(event=Snapshot(stations=stations, missed=missed)):
                    screen.print(
                        f"tail: {len(stations):,} stations, at position {session.since}", style="dim"
                    )
                    for each in missed:
                        lines.print(line(each, None))
                case Received(event=Raw() | Skipped()):
                    continue
                case Opened(since=since):
                    again = "" if since is None else f", resuming after {since}"
                    screen.print(f"tail: connected to {server}{again}", style="dim", markup=False)
                case Lost(why=why, retry_in_s=wait_s):
                    screen.print(f"tail: {why}; reconnecting in {wait_s:.1f} s", style="yellow", markup=False)
            sys.stdout.flush()


def _end_on(number: signal.Signals) -> None:
    """Makes the signal end the program as Ctrl-C does."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def line(station: StationStatus, before: StationStatus | None) -> Text:
    """One change for people: local time, station, connectors; what changed in bold."""
    known = before.connectors if before is not None else ()
    changed_at = max((each.timestamp for each in station.connectors), default=-1)
    text = Text(_clock(changed_at), style="dim")
    text.append(f"  {station.uuid:<10}", style="bold not dim")
    for place, connector in enumerate(station.connectors):
        word, colour = _word(connector)
        changed = place >= len(known) or known[place] != connector
        text.append("  ")
        text.append(word, style=f"{colour} not dim" + (" bold" if changed and before is not None else ""))
    if not station.connectors:
        text.append("  gone", style="red not dim")
    return text


def _word(connector: ConnectorStatus) -> tuple[str, str]:
    return ERROR if connector.error else WORDS.get(connector.status, WORDS[-1])


def _clock(at: int) -> str:
    if at < 0:
        return "-" * len("2026-11-22 10:00:00")
    return datetime.fromtimestamp(at / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
