"""`ladestrom replay`: sends a recording through the public report interface."""

from __future__ import annotations

import asyncio
import gzip
import sys
import time
import zlib
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from ladestrom.cli.where import NOT_GIVEN, Where
from ladestrom.client.playback import LANES_MAX, play
from ladestrom.client.recording import Recording, read_recording
from ladestrom.client.reports import REPORT_ITEMS_MAX, Observation, Reporter, ReportReceipt, Tally
from ladestrom.errors import BadRequest, LadestromError
from ladestrom.model import REFUSALS

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Sequence

GZIP_MAGIC: Final = b"\x1f\x8b"
LINE_BYTES_MAX: Final = 1024 * 1024
"""A longer line is not a recording, and would be read into memory as a whole."""
BAD_LINES_SHOWN_MAX: Final = 20
KNOWN_REASONS: Final = frozenset(reason.value for reason in REFUSALS)
STDIN: Final = "-"


class Summary(msgspec.Struct, frozen=True):
    """What became of a recording."""

    lines: int
    bad_lines: int
    observations: int
    """What the recording holds, `--limit` applied."""
    sent: int
    """Observations whose receipt is there."""
    accepted: int
    unchanged: int
    """Those of `stale` included."""
    stale: int
    refused: dict[str, int]
    """By reason."""
    requests: int
    retries: int
    seconds: float
    observations_per_s: float
    complete: bool
    """Everything was sent, the receipts account for every item, and no refusal is of an unknown kind."""


def replay(  # noqa: PLR0913 - a command's options are its parameters
    file: Annotated[str, Parameter(name="FILE", allow_leading_hyphen=True)],
    /,
    *,
    server: str | None = None,
    key: str | None = None,
    speed: str = "max",
    batch: int = 100,
    connections: int = 4,
    limit: int | None = None,
    compress: Annotated[bool, Parameter(name="--gzip")] = False,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    where: Where = NOT_GIVEN,
) -> int:
    """Send recorded events through the public report interface, each with its recorded time.

    FILE is CSV with the columns `ts_ms,id,occupied`, or JSON lines of sessions with `start`, `end` (ms) and
    `id_pdc_itinerance`, and may be compressed with gzip. The whole file is read first and sorted by time. It
    may have up to 5,000,000 observations. Lines that cannot be read are reported and skipped. Exit code: 0 if
    the server answered for every observation, whatever it decided; 1 otherwise.

    Args:
        file: Recording; `-` is standard input.
        server: Address of the server. Default: LADESTROM_URL, else the server of the data directory.
        key: Key with the scope `report`. Default: LADESTROM_KEY.
        speed: Recorded seconds per second, or `max` to send as fast as the server answers.
        batch: Most observations in one request, 1 to 10,000.
        connections: Number of parallel requests, 1 to 64. The observations of one EVSE stay in order.
        limit: Send only this many observations, starting with the first.
        compress: Compress the requests with gzip.
        as_json: Print the summary as one JSON object.
        where: Options of every command.
    """
    screen = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        pace = _pace(speed)
        _within("--batch", batch, REPORT_ITEMS_MAX)
        _within("--connections", connections, LANES_MAX)
        address, secret = where.remote(server, key)
        recording = _read(file)
        _name_bad_lines(recording, screen)
        observations = recording.observations if limit is None else recording.observations[: max(limit, 0)]
        started_s = time.monotonic()
        reporter = Reporter(address, secret, compress=compress, connections_max=connections)
        failure = asyncio.run(
            _send(observations, reporter, screen, batch=batch, connections=connections, speed=pace)
        )
    except KeyboardInterrupt:
        screen.print(
            "replay: stopped. Observations without a receipt may or may not have been stored", markup=False
        )
        return 130
    summary = _sum_up(recording, len(observations), reporter.tally, time.monotonic() - started_s)
    if as_json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    else:
        sys.stdout.write(_as_text(summary))
    if failure is not None:
        screen.print(f"replay: {failure}", style="red", markup=False)
    return 0 if summary.complete and failure is None else 1


async def _send(
    observations: Sequence[Observation],
    reporter: Reporter,
    screen: Console,
    *,
    batch: int,
    connections: int,
    speed: float | None,
) -> LadestromError | None:
    """Plays with a progress bar; what stopped it, if anything did."""
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    started_s = time.monotonic()
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("", total=len(observations), rate="")

        def told(sent: Sequence[Observation], _: ReportReceipt) -> None:
            rate = reporter.tally.sent / max(time.monotonic() - started_s, 0.001)
            progress.update(task, advance=len(sent), rate=f"{rate:,.0f}/s")

        async with reporter:
            try:
                await play(
                    observations, reporter, batch=batch, connections=connections, speed=speed, told=told
                )
            except LadestromError as error:
                return error
    return None


def _pace(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        pace = float(speed)
    except ValueError:
        pace = 0.0
    if not 0.0 < pace < float("inf"):
        raise BadRequest(f"--speed {speed}: write a number above 0, or max")
    return pace


def _within(option: str, number: int, most: int) -> None:
    if not 1 <= number <= most:
        raise BadRequest(f"{option} {number}: write a number from 1 to {most:,}")


def _read(file: str) -> Recording:
    source = sys.stdin.fileno() if file == STDIN else Path(file)
    try:
        with open(source, "rb", closefd=file != STDIN) as raw:
            return read_recording(_lines(_plain(raw)))
    except (OSError, EOFError, zlib.error) as error:
        raise BadRequest(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _plain(raw: io.BufferedReader) -> io.BufferedIOBase:
    """The stream, decompressed where it begins as gzip does (RFC 1952, section 2.3.1)."""
    return gzip.GzipFile(fileobj=raw) if raw.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC) else raw


def _lines(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Lines with their ends.

    Raises:
        BadRequest: a line is over the limit.
    """
    number = 0
    while line := stream.readline(LINE_BYTES_MAX):
        number += 1
        if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
            raise BadRequest(
                f"line {number} is longer than {LINE_BYTES_MAX:,} bytes; this file is not a recording"
            )
        yield line


def _name_bad_lines(recording: Recording, screen: Console) -> None:
    for bad in recording.bad[:BAD_LINES_SHOWN_MAX]:
        screen.print(f"line {bad.line} skipped: {bad.why}", style="yellow", markup=False)
    more = recording.bad_count - BAD_LINES_SHOWN_MAX
    if more > 0:
        screen.print(f"{more:,} more lines skipped", style="yellow", markup=False)


def _sum_up(recording: Recording, observations: int, tally: Tally, seconds: float) -> Summary:
    return Summary(
        lines=recording.lines,
        bad_lines=recording.bad_count,
        observations=observations,
        sent=tally.sent,
        accepted=tally.accepted,
        unchanged=tally.unchanged,
        stale=tally.stale,
        refused=dict(sorted(tally.refused.items())),
        requests=tally.requests,
        retries=tally.retries,
        seconds=round(seconds, 3),
        observations_per_s=round(tally.sent / max(seconds, 0.001), 1),
        complete=tally.sent == observations and tally.adds_up and tally.refused.keys() <= KNOWN_REASONS,
    )


def _as_text(summary: Summary) -> str:
    refused = ", ".join(f"{reason} {count:,}" for reason, count in summary.refused.items())
    rows = [
        ("lines", f"{summary.lines:,}" + (f", {summary.bad_lines:,} bad" if summary.bad_lines else "")),
        ("sent", f"{summary.sent:,} of {summary.observations:,}"),
        ("accepted", f"{summary.accepted:,}"),
        ("unchanged", f"{summary.unchanged:,}, of which {summary.stale:,} stale"),
        ("refused", f"{sum(summary.refused.values()):,}" + (f": {refused}" if refused else "")),
        ("requests", f"{summary.requests:,}, of which {summary.retries:,} retries"),
        ("time", f"{summary.seconds:.1f} s, {summary.observations_per_s:,.0f} observations/s"),
    ]
    if not summary.complete:
        rows.append(("result", "incomplete: the receipts do not account for every observation"))
    return "".join(chain.from_iterable((f"{name:<10}", text, "\n") for name, text in rows))
