"""`ladestrom sources`: where statuses are fetched from, whether that goes well, and what could not be read.

A server that runs takes what is changed here within a second. Secrets are read from files or the environment
and are never printed.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

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
from ladestrom.errors import BadRequest, InvalidSetting, LadestromError, NotFound
from ladestrom.model import Operator
from ladestrom.ports import SourceRecord

if TYPE_CHECKING:
    from ladestrom.ingest.extensions import Table
    from ladestrom.ingest.quarantine import Quarantine, Quarantined
    from ladestrom.ingest.supervision import Noted
    from ladestrom.protocols import Row

EXIT_FAILED: Final = 1
SECRET_BYTES_MAX: Final = 16 * 1024
"""The longest tokens are JSON Web Tokens of some KiB."""
REFUSALS_SHOWN: Final = 10
FOLLOW_S: Final = "10s"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

app: Final = App(name="sources", help="Sources that are asked or followed: add, list, test, pause.")

Options = Annotated[list[str] | None, Parameter(name="--option", negative=())]


@app.command
def add(  # noqa: PLR0913 - each is an option of the command
    name: str,
    /,
    *,
    operator: str,
    protocol: str,
    address: str,
    option: Options = None,
    secret_file: Path | None = None,
    secret_env: str | None = None,
    certificate: Path | None = None,
    certificate_key: Path | None = None,
    poll: str | None = None,
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Add a source, or replace the one of this name. `sources protocols` shows what there is.

    Args:
        name: what the source is called: letters, digits, dots, hyphens and underscores.
        operator: whose statuses it brings; what it may report on is the operator's.
        protocol: in which it is asked or followed.
        address: where; what exactly, the protocol says.
        option: what the protocol needs beside, such as provider_id=NO-ABC; several are possible.
        secret_file: file with the token or key that it is shown, on one line.
        secret_env: name of an environment variable with it, instead of a file.
        certificate: file of the certificate that it is shown, PEM.
        certificate_key: file of that certificate's key, where it is not in the same one.
        poll: from the beginning of a round to that of the next, such as 60s; the protocol's own if left out.
        data: directory of the log and the store; made where it is missing.
    """
    at = now()
    table = _table()
    row = _row(table, protocol)
    if _NAME.fullmatch(name) is None:
        raise BadRequest(f"{name[:40]!r} cannot be a source's name; use letters, digits, dots, hyphens, _")
    options = _options(option or (), protocol, row, is_stream=protocol in table.streams)
    source = SourceRecord(
        name=name,
        operator=operator,
        protocol=protocol,
        address=_address(address, is_stream=protocol in table.streams),
        options=options,
        secret=_secret(secret_file, secret_env),
        certificate=_file(certificate, "--certificate"),
        certificate_key=_file(certificate_key, "--certificate-key"),
        poll_s=_poll(poll, is_stream=protocol in table.streams),
        added_at=at,
        changed_at=at,
    )
    _check_certificates(source)
    added = asyncio.run(_put(data, source))
    print(f"{name} {'added' if added else 'replaced'}; `ladestrom sources test {name}` tries it")


@app.command(name="protocols")
def list_protocols() -> None:
    """Print the protocols in which sources are asked or followed, and the options of each."""
    table = _table()
    for title, rows in (("asked", table.pulls), ("followed", table.streams), ("pushing", table.pushes)):
        for name, row in sorted(rows.items()):
            print(f"{name} ({title}): {row.help}")
            if row.secret:
                print(f"    secret: {row.secret}")
            for option, text in row.options.items():
                needed = " Needed." if option in row.required else ""
                print(f"    {option}: {text}{needed}")


@app.command(name="list")
def list_sources(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Print all sources, those that push too, and how each does where a server runs.

    Args:
        as_json: prints a JSON list, without secrets.
        data: directory of the log and the store.
    """
    from ladestrom.ingest.quarantine import Quarantine  # noqa: PLC0415 - loads slowly

    found = {source.name: source for source in asyncio.run(_sources(data))}
    noted = noted_sources(data)
    quarantine = Quarantine(data)
    names = [*found, *(name for name in sorted(noted) if name not in found)]
    if as_json:
        rows = [
            {
                "name": name,
                **(_public(found[name]) if name in found else {}),
                "freshness": noted[name].freshness if name in noted else None,
                "last_error": noted[name].last_error if name in noted else None,
                "quarantined": quarantine.count(name),
            }
            for name in names
        ]
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    head = ("NAME", "OPERATOR", "PROTOCOL", "STATE", "LAST HEARD", "REPORTS", "CHANGES", "REFUSED", "LATE")
    print_table(
        (*head, "UNREADABLE", "NEXT", "LAST ERROR"),
        [_line(name, found.get(name), noted.get(name), quarantine.count(name)) for name in names],
    )


@app.command(name="test")
def try_source(
    name: str,
    /,
    *,
    duration: Annotated[str, Parameter(name="--for")] = FOLLOW_S,
    data: DataDirectory = DATA_DEFAULT,
) -> int:
    """Ask a source once, or follow it for a moment, and print what would come of it. Nothing is written.

    Ends with 0 where it went well, with 1 where it did not.

    Args:
        name: of the source; a paused one may be tried too.
        duration: how long a source that is followed is listened to.
        data: directory of the log and the store.
    """
    return asyncio.run(_try(data, name, duration_s(duration, "--for")))


@app.command
def pause(name: str, /, *, data: DataDirectory = DATA_DEFAULT) -> None:
    """Stop asking or following a source, until `sources resume`.

    Args:
        name: of the source.
        data: directory of the log and the store.
    """
    at = now()
    asyncio.run(_change(data, "pause_source", name, at, at))
    print(f"{name} is paused")


@app.command
def resume(name: str, /, *, data: DataDirectory = DATA_DEFAULT) -> None:
    """Let a paused source go on.

    Args:
        name: of the source.
        data: directory of the log and the store.
    """
    asyncio.run(_change(data, "pause_source", name, None, now()))
    print(f"{name} goes on")


@app.command
def remove(name: str, /, *, data: DataDirectory = DATA_DEFAULT) -> None:
    """Forget a source and what is kept of its unreadable deliveries. What it told stays until it is stale.

    Args:
        name: of the source.
        data: directory of the log and the store.
    """
    asyncio.run(_change(data, "remove_source", name))
    _quarantine(data).forget(name)
    print(f"{name} is removed")


@app.command
def quarantine(name: str, /, *, data: DataDirectory = DATA_DEFAULT) -> None:
    """Print the deliveries of a source that could not be read.

    Args:
        name: of the source; OPERATOR/PROTOCOL for one that pushes.
        data: directory of the log and the store.
    """
    print_table(
        ("ID", "RECEIVED", "BYTES", "ERROR"),
        [
            (each.id, shown(each.kept.received_at), str(len(each.body)), each.kept.detail[:200])
            for each in _quarantine(data).of(name)
        ],
    )


@app.command
def replay(
    name: str,
    delivery: Annotated[str | None, Parameter(name="ID")] = None,
    /,
    *,
    check: Annotated[bool, Parameter(negative=())] = False,
    data: DataDirectory = DATA_DEFAULT,
) -> int:
    """Read deliveries again that could not be read; the server takes those that can be now within a second.

    Statuses hold from when they were observed or, where that is not told, were received then: what is known
    to be newer stays. Ends with 0 where all could be read, with 1 where some could not.

    Args:
        name: of the source; OPERATOR/PROTOCOL for one that pushes.
        delivery: one of them, as `sources quarantine` shows it; all where it is left out.
        check: only say which can be read.
        data: directory of the log and the store.
    """
    kept = [each for each in _quarantine(data).of(name) if delivery in {None, each.id}]
    if delivery is not None and not kept:
        raise NotFound(f"{name} has no delivery {delivery[:40]!r}; `ladestrom sources quarantine` shows them")
    return asyncio.run(_replay(data, kept, check=check))


# -- what is asked for ---------------------------------------------------------------------------------------


def _table() -> Table:
    from ladestrom.ingest.extensions import table  # noqa: PLC0415 - loads slowly

    return table()


def _row(table: Table, protocol: str) -> Row:
    row = table.pulls.get(protocol) or table.streams.get(protocol)
    if row is None:
        names = ", ".join(sorted({*table.pulls, *table.streams}))
        raise BadRequest(
            f"there is no protocol {protocol[:40]!r} in which we ask or follow; there are: {names}"
        )
    return row


def _options(given: Sequence[str], protocol: str, row: Row, *, is_stream: bool) -> dict[str, str]:
    from ladestrom.ingest.sources import (  # noqa: PLC0415 - loads slowly
        STREAM_TRANSPORT_OPTIONS,
        TRANSPORT_OPTIONS,
    )

    known = {*row.options, *(STREAM_TRANSPORT_OPTIONS if is_stream else TRANSPORT_OPTIONS)}
    options: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise BadRequest(f"--option {each[:40]!r} has no value; write NAME=VALUE")
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(known))}"
            raise BadRequest(f"{protocol} has no option {name[:40]!r}; {hint}")
        options[name] = value
    missing = [name for name in row.required if not options.get(name)]
    if missing:
        raise BadRequest(f"{protocol} needs --option {missing[0]}=...: {row.options[missing[0]]}")
    return options


def _address(written: str, *, is_stream: bool) -> str:
    schemes = {"http", "https", "ws", "wss"} if is_stream else {"http", "https"}
    try:
        parts = urlsplit(written)
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise BadRequest(f"{written[:80]!r} is no address; write https://HOST/PATH")
    if parts.password is not None or parts.username is not None:
        raise BadRequest("an address must not hold a name or password; give it with --secret-file")
    return written


def _secret(file: Path | None, variable: str | None) -> str | None:
    if file is not None and variable is not None:
        raise BadRequest("--secret-file and --secret-env are given; use one of them")
    if variable is not None:
        secret = os.environ.get(variable, "")
        if not secret:
            raise InvalidSetting(f"the environment has no variable {variable}")
    elif file is not None:
        try:
            with file.open(encoding="utf-8") as opened_file:
                secret = opened_file.read(SECRET_BYTES_MAX)
        except (OSError, ValueError) as error:
            raise InvalidSetting(f"the secret cannot be read from {file} ({error})") from error
    else:
        return None
    secret = secret.strip()
    if not secret or not secret.isprintable():
        raise InvalidSetting("the secret is empty, or not one line of text")
    return secret


def _file(path: Path | None, option: str) -> str | None:
    if path is None:
        return None
    if not path.is_file():
        raise InvalidSetting(f"{option} {path}: there is no such file")
    return str(path.resolve())


def _poll(written: str | None, *, is_stream: bool) -> int | None:
    from ladestrom.ingest.sources import POLL_S_MAX, POLL_S_MIN  # noqa: PLC0415 - loads slowly

    if written is None:
        return None
    if is_stream:
        raise BadRequest("--poll is for sources that are asked; this one is followed")
    poll_s = duration_s(written, "--poll")
    if not POLL_S_MIN <= poll_s <= POLL_S_MAX:
        raise BadRequest(f"--poll {written} is not between {POLL_S_MIN}s and {shown_duration(POLL_S_MAX)}")
    return poll_s


def _check_certificates(source: SourceRecord) -> None:
    from ladestrom.ingest import tls  # noqa: PLC0415 - loads slowly

    if source.certificate_key is not None and source.certificate is None:
        raise BadRequest("--certificate-key is given without --certificate")
    ca = source.options.get("ca")
    if ca is not None or source.certificate is not None:
        tls.context(ca, source.certificate, source.certificate_key)
    if source.certificate is not None and tls.expires_at(source.certificate) < source.added_at:
        sys.stderr.write(f"ladestrom: the certificate {source.certificate} has expired\n")


# -- the store and the data directory ------------------------------------------------------------------------


async def _put(data: Path, source: SourceRecord) -> bool:
    async with opened(data) as store:
        return await store.put_source(source)


async def _sources(data: Path) -> list[SourceRecord]:
    async with opened(data, make=False) as store:
        return list(await store.sources())


async def _change(data: Path, verb: str, *arguments: Any) -> None:  # noqa: ANN401 - as the store takes them
    async with opened(data, make=False) as store:
        await getattr(store, verb)(*arguments)


def _quarantine(data: Path) -> Quarantine:
    from ladestrom.ingest.quarantine import Quarantine  # noqa: PLC0415 - loads slowly

    return Quarantine(data)


def _public(source: SourceRecord) -> dict[str, object]:
    """A source without its secret, and without what may hold one."""
    row = msgspec.structs.asdict(source)
    for name in ("name", "secret", "memory"):
        del row[name]
    return {**row, "has_secret": source.secret is not None}


def _line(name: str, source: SourceRecord | None, noted: Noted | None, kept: int) -> tuple[str, ...]:
    operator, _, protocol = name.partition("/")
    if source is not None:
        operator, protocol = source.operator, source.protocol
    if noted is None:
        state = "paused" if source is not None and source.paused_at is not None else "-"
        return (name, operator, protocol, state, *["-"] * 4, "-", str(kept), "-", "-")
    told = noted.freshness
    paused = source is not None and source.paused_at is not None
    late = "-" if told.late_share is None else f"{told.late_share:.1%}"
    return (
        name,
        operator,
        told.protocol,
        "paused" if paused else told.state,
        _clock(told.last_heard_at),
        str(told.reports),
        str(told.changes),
        str(sum(told.refused.values())),
        late,
        f"{told.unreadable} ({kept} kept)",
        "-" if paused else _clock(told.next_at),
        f"{told.error}: {noted.last_error[:80]}" if told.error is not None else "-",
    )


def _clock(at: str | None) -> str:
    return "-" if at is None else f"{at[:10]} {at[11:19]}Z"


# -- trying and replaying ------------------------------------------------------------------------------------


async def _try(data: Path, name: str, follow_s: int) -> int:
    from ladestrom.cli.trial import trial  # noqa: PLC0415 - loads slowly

    async with opened(data, make=False) as store:
        source = next((each for each in await store.sources() if each.name == name), None)
        if source is None:
            raise NotFound(f"there is no source {name[:100]!r}; `ladestrom sources list` shows the names")
        operators = {operator.name: operator for operator in await store.operators()}
        delta = await store.registry_since(0)
    result = await trial(source, _table(), operators, delta.stations, follow_s)
    for line in result.lines(REFUSALS_SHOWN):
        print(line)
    return 0 if result.error is None else EXIT_FAILED


async def _replay(data: Path, kept: Sequence[Quarantined], *, check: bool) -> int:
    from ladestrom.ingest.sources import SOURCE_ITEMS_MAX, read_again  # noqa: PLC0415 - loads slowly
    from ladestrom.protocols.delivery import ParseLimits  # noqa: PLC0415 - likewise

    limits = ParseLimits(items_max=SOURCE_ITEMS_MAX)
    failed = 0
    async with _known(data) as (operators, sources):
        for each in kept:
            operator = operators.get(each.kept.operator)
            try:
                if operator is None:
                    raise NotFound(f"there is no operator {each.kept.operator!r} any more")
                read = read_again(each, _table(), operator, sources.get(each.kept.source), limits)
            except LadestromError as error:
                failed += 1
                print(f"{each.id}: still unreadable: {error}")
                continue
            reports = sum(len(delivery.reports) for delivery in read)
            refused = sum(len(delivery.refused) for delivery in read)
            print(f"{each.id}: {reports} reports, {refused} items refused")
            if not check:
                with suppress(FileNotFoundError):
                    _quarantine(data).hand_over(each)
    return EXIT_FAILED if failed else 0


@asynccontextmanager
async def _known(data: Path) -> AsyncIterator[tuple[dict[str, Operator], dict[str, SourceRecord]]]:
    async with opened(data, make=False) as store:
        operators = {operator.name: operator for operator in await store.operators()}
        yield operators, {source.name: source for source in await store.sources()}
