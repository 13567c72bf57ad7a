"""`ladestrom demo`: a simulated country, live, on loopback, with nothing else needed.

Knows the order in which a demonstration is put together. What it shows first needs no server, so it is
printed before the server's parts are imported.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.console import Console
from rich.text import Text

from ladestrom import __version__
from ladestrom.cli.program import program, python
from ladestrom.config import Loaded, SettingOrigin, Settings, load
from ladestrom.errors import Conflict, InvalidSetting
from ladestrom.logs import configure
from ladestrom.model import Millis, Operator
from ladestrom.ports.registry import StationDraft
from ladestrom.signals import Signals
from ladestrom.simulator.companies import COMPANIES, Company
from ladestrom.simulator.country import REGISTER, STATIONS_MAX, build
from ladestrom.simulator.deliver import SPEED_MAX, Tally, drive
from ladestrom.simulator.traffic import Traffic

if TYPE_CHECKING:
    from ladestrom.app import App
    from ladestrom.ports.stores import Store

HOST: Final = "127.0.0.1"
KEY_NAME: Final = "simulator"
"""Of the operators' report keys; those of an earlier demonstration are revoked."""
CONFIRMATIONS_MISSED: Final = 4
"""An EVSE becomes UNKNOWN when its operator is silent for the usual time of this many confirmations."""
STALE_AFTER_S_MIN: Final = 60
STATION_SHOWN: Final = "NOR_80001"
"""The simulated country's first station."""


class Prepared(msgspec.Struct):
    """What operators go on with."""

    keys: dict[str, str]
    """Their report keys by name."""
    traffic: Traffic


class Demo(msgspec.Struct, frozen=True):
    """What is shown, and where."""

    port: int
    speed: float
    seed: int
    drafts: list[StationDraft]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def demo(
    *,
    port: int | None = None,
    stations: int = 2_000,
    speed: float = 10.0,
    seed: int = 1,
    config: Path | None = None,
    data: Path | None = None,
) -> None:
    """Run a simulated country until Ctrl-C. None of it is real, and it is reachable only from this machine.

    Args:
        port: Port on 127.0.0.1; 0 takes any free port. Default: the setting `server.port`, which is 8383
            unless set otherwise.
        stations: Number of charging stations, 1 to 100,000.
        speed: Simulated seconds per second, up to 3,600. Timestamps are real, not simulated.
        seed: The same seed and number of stations give the same country.
        config: Settings file (TOML). Default: the file that LADESTROM_CONFIG names.
        data: Directory for the change log and the registry. Without this option they are in a temporary
            directory, which is deleted at the end. LADESTROM_DATA, `server.data`, `log.url` and
            `store.url` are ignored, so that simulated data do not get into a real data directory or database.
    """
    if not 1 <= stations <= STATIONS_MAX:
        raise InvalidSetting(f"--stations {stations}: write a number from 1 to {STATIONS_MAX:,}")
    if not 0 < speed <= SPEED_MAX:
        raise InvalidSetting(f"--speed {speed:g}: write a number above 0, at most {SPEED_MAX:,g}")
    wanted = load(config, os.environ, {"server.port": port}).settings.server.port
    planned = Demo(_free_port(wanted), speed, seed, build(stations, _chance(seed)))
    screen = Console(highlight=False)
    with _directory(data) as directory:
        loaded = _loaded(config, planned.port, directory)
        _introduce(screen, planned, loaded.settings, kept=data is not None)

        from ladestrom.cli.serve import run  # noqa: PLC0415 - the server's parts, after the screen

        with Signals(hangup_stops=True) as signals:
            run(_show(screen, planned, loaded, signals))


async def _show(screen: Console, planned: Demo, loaded: Loaded, signals: Signals) -> None:
    from ladestrom.app import running  # noqa: PLC0415 - likewise

    signals.bind()
    stopping = asyncio.create_task(signals.next())
    made: list[Prepared] = []

    async def prepare(store: Store) -> None:
        keys = await _prepare(store, planned)
        made.append(Prepared(keys, await _past(store, planned, loaded.settings)))

    async with running(loaded.settings, loaded.origins, demo=True, prepare=prepare) as app:
        tally = await _drive(screen, planned, app, made[0], stopping)
    screen.print(f"ended: {tally.items:,} reports in, {tally.accepted:,} changes out", markup=False)


async def _drive(
    screen: Console, planned: Demo, app: App, prepared: Prepared, stopping: asyncio.Task[Any]
) -> Tally:
    """Has operators report until somebody stops it; says what was sent."""
    tally, opened = Tally(), asyncio.Event()
    listening_s = time.monotonic()
    driving = asyncio.create_task(
        drive(
            app.url,
            prepared.keys,
            prepared.traffic,
            planned.speed,
            rng=_chance(planned.seed),
            tally=tally,
            opened=opened,
        )
    )
    opening = asyncio.create_task(opened.wait())
    try:
        await asyncio.wait({stopping, driving, opening}, return_when=asyncio.FIRST_COMPLETED)
        if opening.done():
            ready_s = app.ready_s + time.monotonic() - listening_s
            screen.print(f"ready in {ready_s:.1f} s; press Ctrl-C to stop")
            await asyncio.wait({stopping, driving}, return_when=asyncio.FIRST_COMPLETED)
        if driving.done():
            driving.result()
    finally:
        for task in (driving, opening, stopping):
            task.cancel()
        await asyncio.gather(driving, opening, stopping, return_exceptions=True)
    return tally


async def _prepare(store: Store, planned: Demo) -> dict[str, str]:
    """Fills the store; gives the operators' report keys by name.

    Raises:
        Conflict: the registry holds stations that are not simulated.
    """
    await _refuse_real(store)
    await store.import_stations(REGISTER, planned.drafts, _now(), complete=True, force_vanish=True)
    for record in await store.keys():
        if record.name == KEY_NAME and record.revoked_at is None:
            await store.revoke_key(record.id, _now())
    present = {draft.station.operator for draft in planned.drafts}
    return {
        company.name: await _admit(store, company, planned.speed)
        for company in COMPANIES
        if company.name in present
    }


async def _past(store: Store, planned: Demo, settings: Settings) -> Traffic:
    """The traffic as it is now; where the log is new, it has what happened in the last day."""
    from ladestrom.backends import table  # noqa: PLC0415 - after the screen
    from ladestrom.cli import demo_past  # noqa: PLC0415 - likewise
    from ladestrom.roles import limits  # noqa: PLC0415 - likewise

    stations = [draft.station for draft in planned.drafts]
    # Nobody has been told any of it yet, so that nothing is lost where the power fails meanwhile.
    log = await table.open_log(msgspec.structs.replace(limits.log(settings), durability="relaxed"))
    try:
        now, is_new = _now(), log.last.seq == 0
        span_ms = demo_past.span_ms(sum(len(station.evses) for station in stations)) if is_new else 0
        traffic = Traffic(stations, _chance(planned.seed), now - span_ms)
        if is_new:
            await demo_past.tell(log, store, limits.of_hub(settings), traffic, now)
    finally:
        await log.close()
    return traffic


async def _refuse_real(store: Store) -> None:
    held = Counter(station.register for station in (await store.registry_since(0)).stations)
    del held[REGISTER]
    if held:
        raise Conflict(
            f"the data directory has {held.total():,} stations that are not simulated, from the registers "
            f"{', '.join(sorted(held))}. The demo would add simulated statuses to them: choose another "
            "directory with --data"
        )


async def _admit(store: Store, company: Company, speed: float) -> str:
    """Makes the operator known; gives a new report key of it."""
    from ladestrom.core.access import Scope, create_key  # noqa: PLC0415 - after the screen

    confirmed_s = CONFIRMATIONS_MISSED * company.habit.confirm_s / speed
    operator = Operator(
        company.name, (company.party,), stale_after_s=max(STALE_AFTER_S_MIN, math.ceil(confirmed_s))
    )
    await store.put_operator(operator, _now())
    text, record = create_key(
        secrets.token_bytes(32),
        secrets.token_bytes(16),
        name=KEY_NAME,
        scopes=[Scope.REPORT],
        operator=company.name,
        created_at=_now(),
        expires_at=None,
    )
    await store.put_key(record)
    return text


def _loaded(config: Path | None, port: int, directory: Path) -> Loaded:
    """The settings, but on loopback, open to all, and quiet unless the environment says otherwise."""
    given = {
        "server.host": HOST,
        "server.port": port,
        "server.data": directory,
        "server.drain_s": 1,
        "log.url": "sqlite:",
        "store.url": "sqlite:",
        "rules.start_grace_s": STALE_AFTER_S_MIN,
        "page.visitors": "anyone",
        "keys.policy": "open",
        "logging.level": None if "LADESTROM_LOGGING__LEVEL" in os.environ else "warning",
    }
    loaded = load(config, os.environ, given)
    own = loaded.settings.logging
    configure(own.level, own.format, file=own.file)
    ours = {name: SettingOrigin("demo") for name, value in given.items() if value is not None}
    return Loaded(loaded.settings, {**loaded.origins, **ours})


@contextlib.contextmanager
def _directory(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="ladestrom-demo-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _free_port(port: int) -> int:
    """The port, or any that is free for 0.

    Raises:
        InvalidSetting: it cannot be had.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "a port is a number from 0 to 65535"
            raise InvalidSetting(
                f"cannot listen on {HOST}:{port}: {reason}. If another ladestrom runs there, stop it, or "
                "choose another port with --port; --port 0 takes any free port"
            ) from error
        return int(probe.getsockname()[1])


def _introduce(screen: Console, planned: Demo, settings: Settings, *, kept: bool) -> None:
    import apsw  # noqa: PLC0415 - for its version only

    evses = sum(len(draft.station.evses) for draft in planned.drafts)
    url, websocket = planned.url, planned.url.replace("http", "ws", 1)
    where = settings.server.data if kept else f"{settings.server.data}, deleted at the end"
    screen.print(
        f"ladestrom {__version__}: a simulated Norway with {len(planned.drafts):,} stations and {evses:,} "
        f"EVSEs, {planned.speed:g} times as fast as real time",
        soft_wrap=True,
    )
    rows = (
        ("Page", f"{url}/ and {url}/now"),
        ("Docs", f"{url}/docs and {url}/console"),
        ("Stations", f"{url}/api/v1/rest/chargers?apikey=demo"),
        ("One EVSE", f"{url}/api/v2/evses/{planned.drafts[0].station.evses[0].key}"),
        ("Stream", f"{websocket}/api/v1/stream?apikey=demo"),
        ("Version 2", f"{websocket}/api/v2/stream and {url}/api/v2/events"),
        ("Key", "demo (scope stream: it reads)"),
        ("Storage", f"SQLite {apsw.sqlite_lib_version()}, durability {settings.log.durability}, in {where}"),
        *zip(("Try", *[""] * 9), _tries(url, websocket), strict=False),
    )
    for name, value in rows:
        screen.print(Text.assemble((f"  {name:<10}", "bold"), value), soft_wrap=True)


def _tries(url: str, websocket: str) -> Iterator[str]:
    """Commands that work on this machine as they stand."""
    if shutil.which("curl"):
        yield f"curl -s -H 'X-Api-Key: demo' {url}/api/v1/rest/charger/{STATION_SHOWN}"
        yield f"curl -sN -H 'X-Api-Key: demo' '{url}/api/v2/events?station={STATION_SHOWN}'"
    reader = "websocat" if shutil.which("websocat") else f"{python()} -m websockets"
    yield f"{reader} '{websocket}/api/v1/stream?apikey=demo&types=update'"
    yield f"{program()} tail --server {url} --key demo"


def _chance(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - a simulation that can be repeated, no secret


def _now() -> Millis:
    return time.time_ns() // 1_000_000
