"""`ladestrom sources`: where statuses are fetched from, how each source does, and what could not be read.

A running server takes what is changed here within a second. Secrets are read from files or the environment
and are never printed.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from cyclopts import App, Parameter

from ladestrom.cli.program import typed
from ladestrom.cli.source_status import source_statuses
from ladestrom.cli.store import duration_s, now, print_table, reading, shown, shown_duration, writing
from ladestrom.cli.where import NOT_GIVEN, Where, say
from ladestrom.errors import BadRequest, Conflict, InvalidSetting, LadestromError, NotFound
from ladestrom.model import Operator
from ladestrom.ports.sources import SourceRecord
from ladestrom.quoting import cause, quoted

if TYPE_CHECKING:
    from ladestrom.ingest.extensions import Table
    from ladestrom.ingest.quarantine import Quarantine, Quarantined
    from ladestrom.ingest.supervision import SourceStatus
    from ladestrom.protocols import Row

EXIT_FAILED: Final = 1
SECRET_BYTES_MAX: Final = 16 * 1024
"""The longest tokens are JSON Web Tokens of some KiB."""
REFUSALS_SHOWN: Final = 10
FOLLOW_S: Final = "10s"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

app: Final = App(name="sources", help="Manage the sources that the server polls or follows.")

Times = Literal["source", "receipt"]
Options = Annotated[list[str] | None, Parameter(name="--option")]


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
    anywhere: Annotated[bool, Parameter(negative=())] = False,
    max_age: str | None = None,
    times: Times | None = None,
    where: Where = NOT_GIVEN,
) -> None:
    """Add a source, or replace the source of this name. `ladestrom sources protocols` lists the protocols.

    Args:
        name: Name of the source: letters, digits, dots, hyphens and underscores.
        operator: Operator whose statuses the source delivers. The source has the same rights as the operator.
        protocol: Protocol of the source.
        address: Address of the source. `ladestrom sources protocols` says what each protocol expects.
        option: Option of the protocol, such as provider_id=NO-ABC. Can be given several times.
        secret_file: File with the token or key that the source requires, on one line.
        secret_env: Name of an environment variable with that token or key.
        certificate: File with the client certificate that the source requires, PEM.
        certificate_key: File with the private key of that certificate, if it is not in the same file.
        poll: Time from the start of one poll to the start of the next, such as 60s. Default: that of the
            protocol.
        anywhere: Also follow redirects, next pages and endpoints that lead to private networks.
        max_age: How old an observation may be when it arrives, such as 1d. An older one makes the EVSE
            UNKNOWN, because the system behind the address has probably stopped. Default: that of the
            operator.
        times: Which observation time is used: that of the source, or the time of receipt. Default: that of
            the operator.
        where: Options of every command.
    """
    at = now()
    table = _table()
    row = _row(table, protocol)
    if _NAME.fullmatch(name) is None:
        raise BadRequest(
            f"{quoted(name)} cannot be the name of a source; use letters, digits, dots, hyphens and "
            "underscores"
        )
    options = _options(option or (), protocol, row, is_stream=protocol in table.streams)
    if anywhere:
        options["anywhere"] = "yes"
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
        max_age_s=None if max_age is None else duration_s(max_age, "--max-age"),
        by_receipt=None if times is None else times == "receipt",
        added_at=at,
        changed_at=at,
    )
    _check_certificates(source)
    added = asyncio.run(_put(where, source))
    print(typed(f"{'added' if added else 'replaced'} {name}; try it with `ladestrom sources test {name}`"))


@app.command(name="protocols")
def list_protocols() -> None:
    """List the protocols of sources, and the options of each."""
    table = _table()
    for title, rows in (("polled", table.pulls), ("followed", table.streams), ("pushed", table.pushes)):
        for name, row in sorted(rows.items()):
            print(f"{name} ({title}): {row.help}")
            if row.secret:
                print(f"    secret: {row.secret}")
            for option, text in row.options.items():
                needed = " Required." if option in row.required else ""
                print(f"    {option}: {text}{needed}")


@app.command(name="list")
def list_sources(
    *,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    where: Where = NOT_GIVEN,
) -> None:
    """List all sources, including operators that push, and their health if a server runs.

    Args:
        as_json: Print a JSON list, without secrets.
        where: Options of every command.
    """
    found = {source.name: source for source in asyncio.run(_sources(where))}
    statuses = source_statuses(where.directory().path)
    quarantine = _quarantine(where)
    names = [*found, *(name for name in sorted(statuses) if name not in found)]
    if as_json:
        rows = [
            {
                "name": name,
                "operator": _operator(name, found.get(name), statuses.get(name)),
                **(_public(found[name]) if name in found else {}),
                "freshness": statuses[name].freshness if name in statuses else None,
                "last_error": statuses[name].last_error if name in statuses else None,
                "quarantined": quarantine.count(name),
            }
            for name in names
        ]
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    head = ("NAME", "OPERATOR", "PROTOCOL", "STATE", "LAST HEARD", "REPORTS", "CHANGES", "REFUSED", "LATE")
    print_table(
        (*head, "UNREADABLE", "NEXT", "LAST ERROR"),
        [_line(name, found.get(name), statuses.get(name), quarantine.count(name)) for name in names],
    )


@app.command(name="test")
def try_source(
    name: str,
    /,
    *,
    duration: Annotated[str, Parameter(name="--for")] = FOLLOW_S,
    where: Where = NOT_GIVEN,
) -> int:
    """Poll a source once, or follow it for a short time, and print what would change. Nothing is stored.

    Exit code: 0 if it succeeded, 1 if it failed.

    Args:
        name: Name of the source. A paused source can be tested too.
        duration: How long a source is followed.
        where: Options of every command.
    """
    return asyncio.run(_try(where, name, duration_s(duration, "--for")))


@app.command
def pause(name: str, /, *, where: Where = NOT_GIVEN) -> None:
    """Stop polling or following a source until `ladestrom sources resume`.

    Args:
        name: Name of the source.
        where: Options of every command.
    """
    at = now()
    asyncio.run(_change(where, "pause_source", name, at, at))
    print(f"paused {name}")


@app.command
def resume(name: str, /, *, where: Where = NOT_GIVEN) -> None:
    """Poll or follow a paused source again.

    Args:
        name: Name of the source.
        where: Options of every command.
    """
    asyncio.run(_change(where, "pause_source", name, None, now()))
    print(f"resumed {name}")


@app.command
def ask(name: str, /, *, where: Where = NOT_GIVEN) -> None:
    """Make a running server poll a source within a few seconds, or connect to it again.

    `ladestrom sources list` then shows whether it succeeded.

    Args:
        name: Name of the source.
        where: Options of every command.
    """
    asyncio.run(_ask(where, name))
    print(f"asked for {name}")


@app.command
def remove(name: str, /, *, where: Where = NOT_GIVEN) -> None:
    """Remove a source and its unreadable deliveries. EVSEs whose status it reported last become UNKNOWN.

    Args:
        name: Name of the source.
        where: Options of every command.
    """
    asyncio.run(_change(where, "remove_source", name))
    _quarantine(where).forget(name)
    print(f"removed {name}")


@app.command
def quarantine(name: str, /, *, where: Where = NOT_GIVEN) -> None:
    """List the deliveries of a source that could not be read.

    Args:
        name: Name of the source; OPERATOR/PROTOCOL for a source that pushes.
        where: Options of every command.
    """
    print_table(
        ("ID", "RECEIVED", "BYTES", "ERROR"),
        [
            (each.id, shown(each.kept.received_at), str(len(each.body)), each.kept.detail[:200])
            for each in _quarantine(where).of(name)
        ],
    )


@app.command
def replay(
    name: str,
    delivery: Annotated[str | None, Parameter(name="ID")] = None,
    /,
    *,
    check: bool = False,
    where: Where = NOT_GIVEN,
) -> int:
    """Read unreadable deliveries again. A running server processes those that it can read now.

    A status keeps its observation time, or else the time at which it was first received, and does not replace
    a newer one. Exit code: 0 if all deliveries could be read, 1 if some could not.

    Args:
        name: Name of the source; OPERATOR/PROTOCOL for a source that pushes.
        delivery: One delivery, by the id that `ladestrom sources quarantine` shows. Default: all of them.
        check: Only print which deliveries can be read.
        where: Options of every command.
    """
    kept = [each for each in _quarantine(where).of(name) if delivery in {None, each.id}]
    if delivery is not None and not kept:
        raise NotFound(
            f"{name} has no delivery {quoted(delivery)}; `ladestrom sources quarantine {name}` lists them"
        )
    return asyncio.run(_replay(where, kept, check=check))


# -- what was written on the command line -----------------------------------------------------------------


def _table() -> Table:
    from ladestrom.ingest.extensions import table  # noqa: PLC0415 - loads slowly

    return table()


def _row(table: Table, protocol: str) -> Row:
    row = table.pulls.get(protocol) or table.streams.get(protocol)
    if row is None:
        names = ", ".join(sorted({*table.pulls, *table.streams}))
        raise BadRequest(
            f"{quoted(protocol)} is not a protocol of sources that are polled or followed; write one of "
            f"{names}"
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
            raise BadRequest(f"--option {quoted(each)} has no value; write NAME=VALUE")
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(sorted(known))}"
            raise BadRequest(f"the protocol {protocol} has no option {quoted(name)}; {hint}")
        options[name] = value
    missing = [name for name in row.required if not options.get(name)]
    if missing:
        raise BadRequest(
            f"the protocol {protocol} requires --option {missing[0]}=...: {row.options[missing[0]]}"
        )
    return options


def _address(written: str, *, is_stream: bool) -> str:
    schemes = {"http", "https", "ws", "wss"} if is_stream else {"http", "https"}
    try:
        parts = urlsplit(written)
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise BadRequest(f"{quoted(written)} is not an address; write https://HOST/PATH")
    if parts.password is not None or parts.username is not None:
        raise BadRequest("an address must not contain a user name or password; use --secret-file")
    return written


def _secret(file: Path | None, variable: str | None) -> str | None:
    if file is not None and variable is not None:
        raise BadRequest("--secret-file and --secret-env are both given; use one of them")
    if variable is not None:
        secret = os.environ.get(variable, "")
        if not secret:
            raise InvalidSetting(f"the environment variable {variable} is not set")
    elif file is not None:
        try:
            with file.open(encoding="utf-8") as opened_file:
                secret = opened_file.read(SECRET_BYTES_MAX)
        except (OSError, ValueError) as error:
            raise InvalidSetting(f"the secret cannot be read from {file}: {cause(error)}") from error
    else:
        return None
    secret = secret.strip()
    if not secret or not secret.isprintable():
        raise InvalidSetting("the secret is empty or is not one line of text")
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
        raise BadRequest("--poll is for sources that are polled; this one is followed")
    poll_s = duration_s(written, "--poll")
    if not POLL_S_MIN <= poll_s <= POLL_S_MAX:
        raise BadRequest(f"--poll {written} is not between {POLL_S_MIN}s and {shown_duration(POLL_S_MAX)}")
    return poll_s


def _check_certificates(source: SourceRecord) -> None:
    from ladestrom.outbound import tls  # noqa: PLC0415 - loads slowly

    if source.certificate_key is not None and source.certificate is None:
        raise BadRequest("--certificate-key requires --certificate")
    ca = source.options.get("ca")
    if ca is not None or source.certificate is not None:
        tls.context(ca, source.certificate, source.certificate_key)
    if source.certificate is not None and tls.expires_at(source.certificate) < source.added_at:
        say(f"warning: the certificate {source.certificate} has expired")


# -- the store and the data directory ------------------------------------------------------------------------


async def _put(where: Where, source: SourceRecord) -> bool:
    async with writing(where) as store:
        return await store.put_source(source)


async def _sources(where: Where) -> list[SourceRecord]:
    async with reading(where) as store:
        return list(await store.sources())


async def _ask(where: Where, name: str) -> None:
    async with writing(where) as store:
        source = next((each for each in await store.sources() if each.name == name), None)
        if source is None:
            raise NotFound(f"there is no source {quoted(name)}; `ladestrom sources list` shows the names")
        if source.paused_at is not None:
            raise Conflict(f"{name} is paused; resume it with `ladestrom sources resume {name}`")
        # A server starts what was changed anew, and asks at once; what it remembers of it stays.
        await store.put_source(msgspec.structs.replace(source, changed_at=max(now(), source.changed_at + 1)))


async def _change(where: Where, verb: str, *arguments: Any) -> None:  # noqa: ANN401 - as the store takes them
    async with writing(where) as store:
        await getattr(store, verb)(*arguments)


def _quarantine(where: Where) -> Quarantine:
    from ladestrom.ingest.quarantine import Quarantine  # noqa: PLC0415 - loads slowly

    return Quarantine(where.directory().path)


def _public(source: SourceRecord) -> dict[str, object]:
    """A source without its secret, and without what may contain one."""
    row = msgspec.structs.asdict(source)
    for name in ("name", "operator", "secret", "memory"):
        del row[name]
    return {**row, "has_secret": source.secret is not None}


def _operator(name: str, source: SourceRecord | None, status: SourceStatus | None) -> str:
    """Whose statuses a source delivers; a source that pushes is called OPERATOR/PROTOCOL."""
    if source is not None:
        return source.operator
    return status.operator if status is not None else name.rpartition("/")[0]


def _line(name: str, source: SourceRecord | None, status: SourceStatus | None, kept: int) -> tuple[str, ...]:
    operator = _operator(name, source, status)
    protocol = name.rpartition("/")[2] if source is None else source.protocol
    if source is not None and "anywhere" in source.options:
        protocol += " --anywhere"
    if status is None:
        state = "paused" if source is not None and source.paused_at is not None else "-"
        return (name, operator, protocol, state, *["-"] * 4, "-", str(kept), "-", "-")
    told = status.freshness
    paused = source is not None and source.paused_at is not None
    late = "-" if told.late_share is None else f"{told.late_share:.1%}"
    return (
        name,
        operator,
        protocol,
        "paused" if paused else told.state,
        _clock(told.last_heard_at),
        str(told.reports),
        str(told.changes),
        str(sum(told.refused.values())),
        late,
        f"{told.unreadable} ({kept} kept)",
        "-" if paused else _clock(told.next_at),
        f"{told.error}: {status.last_error[:80]}" if told.error is not None else "-",
    )


def _clock(at: str | None) -> str:
    return "-" if at is None else f"{at[:10]} {at[11:19]}Z"


# -- trying and replaying ------------------------------------------------------------------------------------


async def _try(where: Where, name: str, follow_s: int) -> int:
    from ladestrom.cli.source_test import run_test  # noqa: PLC0415 - loads slowly

    async with reading(where) as store:
        source = next((each for each in await store.sources() if each.name == name), None)
        if source is None:
            raise NotFound(f"there is no source {quoted(name)}; `ladestrom sources list` shows the names")
        operators = {operator.name: operator for operator in await store.operators()}
        delta = await store.registry_since(0)
    result = await run_test(source, _table(), operators, delta.stations, follow_s)
    for line in result.lines(REFUSALS_SHOWN):
        print(line)
    return 0 if result.error is None else EXIT_FAILED


async def _replay(where: Where, kept: Sequence[Quarantined], *, check: bool) -> int:
    from ladestrom.ingest.http_poll import SourceLimits  # noqa: PLC0415 - loads slowly
    from ladestrom.ingest.sources import read_again  # noqa: PLC0415 - likewise

    limits = SourceLimits()
    failed = 0
    async with _known(where) as (operators, sources):
        for each in kept:
            operator = operators.get(each.kept.operator)
            try:
                if operator is None:
                    raise NotFound(f"the operator {quoted(each.kept.operator)} no longer exists")
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
                    _quarantine(where).hand_over(each)
    return EXIT_FAILED if failed else 0


@asynccontextmanager
async def _known(where: Where) -> AsyncIterator[tuple[dict[str, Operator], dict[str, SourceRecord]]]:
    async with reading(where) as store:
        operators = {operator.name: operator for operator in await store.operators()}
        yield operators, {source.name: source for source in await store.sources()}
