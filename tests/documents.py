"""The project's documents as tests see them: their blocks of code, and a shell in which commands run in order.

A block's language says what a test does with it:

    sh            runs in the document's shell session; a block `text` right behind it is what it prints
    sh example    needs programs and data from elsewhere: its syntax is checked, each command of ladestrom is parsed
    text          what the block before it prints; `...` stands for any text within a line, a line `...` for lines
    json          is JSON, or JSON lines
    toml          is a settings file
    python, js    is run by the test that `EXAMPLES` names
    html          is opened in a browser by the test of its document
    nginx, ini, yaml   are checked by the programs that read them, where they are installed
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

import ladestrom.app  # noqa: F401 - loads every class of errors
from ladestrom import protocols
from ladestrom.backends import table
from ladestrom.cli.config import markdown
from ladestrom.core import electrical
from ladestrom.edges.error_pages import explanations
from ladestrom.outputs import OUTPUTS
from ladestrom.protocols import Transport
from ladestrom.reader.subscriptions import PHASES, Event

ROOT: Final = Path(__file__).resolve().parent.parent
DOCUMENTS: Final = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE: Final = re.compile(r"^```([a-z]*)(?: ([a-z ]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(msgspec.Struct, frozen=True):
    """One fenced block of a document."""

    document: str
    """Path relative to the project."""
    line: int
    language: str
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a document, in order."""
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT).as_posix()
    return [
        Block(name, text.count("\n", 0, found.start()) + 1, found[1], found[2] or "", found[3])
        for found in FENCE.finditer(text)
    ]


def matches(expected: str, printed: str) -> bool:
    """Whether what was printed is what a block `text` says, from its first line on."""
    return re.match(pattern(expected), printed) is not None


def pattern(expected: str) -> str:
    """What a block `text` says, as a regular expression."""
    lines = []
    for line in expected.rstrip("\n").split("\n"):
        if line.strip() == "...":
            lines.append(r"(?:.*\n)*?")
        else:
            pieces = (re.escape(piece.rstrip() if last else piece) for piece, last in _pieces(line))
            lines.append(r".*?".join(pieces) + r"[ \t]*(?:\n|\Z)")
    return "".join(lines)


def _pieces(line: str) -> Iterator[tuple[str, bool]]:
    pieces = line.split("...")
    for number, piece in enumerate(pieces):
        yield piece, number == len(pieces) - 1


# -- documents that are made from tables ------------------------------------------------------------------


def settings() -> str:
    """`docs/settings.md`: the table of settings."""
    return "\n".join(markdown()) + "\n"


def errors() -> str:
    """`docs/errors.md`: every error code."""
    lines = [
        "# Error codes",
        "",
        "Error responses are problem details (RFC 9457), except those of OCPI, OICP and QualiCharge, which have the",
        "form of their protocol (see the [guide for operators](operators.md)). The `code` is stable: program against it,",
        "not against `detail`. The `type` is the address of a page on the server that explains the code as this table",
        "does. If `retry` is true, the same request may succeed later: wait for the number of seconds in `Retry-After`,",
        "if that header is present.",
        "",
        "A code without an HTTP status is the `reason` why one item of a request was refused; `not_allowed` can be both.",
        "The column WebSocket is the code with which a connection is closed; if the WebSocket handshake is rejected,",
        "the response has the HTTP status. Codes about settings, backups, registers and sources appear in the messages of",
        "commands and in `ladestrom sources list`.",
        "",
        "| code | HTTP | WebSocket | retry | meaning | what to do |",
        "|---|---|---|---|---|---|",
    ]
    for row in explanations().values():
        status = "" if row.status is None else str(row.status)
        closes = "" if row.close_code is None else str(row.close_code)
        retry = "" if row.status is None else "yes" if row.retry else "no"
        lines.append(f"| `{row.code}` | {status} | {closes} | {retry} | {row.means} | {row.advice} |")
    return "\n".join(lines) + "\n"


def tables() -> str:
    """`docs/tables.md`: the tables by which the program is put together."""
    lines = [*TABLES_INTRODUCTION, *_phases(), *_outputs(), *_protocols(), *_backends(), *_electrical()]
    return "\n".join(lines) + "\n"


PROTOCOLS: Final = {
    Transport.HTTP_PUSH: protocols.PUSHES,
    Transport.HTTP_POLL: protocols.PULLS,
    Transport.STREAM: protocols.STREAMS,
    Transport.WEBSOCKET: protocols.CONVERSATIONS,
}
TABLES_INTRODUCTION: Final = (
    "# Tables",
    "",
    "For those who change ladestrom: what is in the tables by which it is put together. Adding a row there, and",
    "the module or folder that it names, is all that a new output, protocol or backend needs in the program.",
)


def _phases() -> Iterator[str]:
    yield from ("", "## Phases of a consumer", "")
    yield "`ladestrom.reader.subscriptions.PHASES`: the phase that follows each event."
    yield from (
        "",
        "| | " + " | ".join(event.value for event in Event) + " |",
        "|---" * (len(Event) + 1) + "|",
    )
    for phase, following in PHASES.items():
        cells = (following[event].name if event in following else "" for event in Event)
        yield f"| **{phase.name}** | " + " | ".join(cells) + " |"


def _outputs() -> Iterator[str]:
    yield from ("", "## Outputs", "", "`ladestrom.outputs.OUTPUTS`.", "")
    yield from ("| folder | is a | operations | streams |", "|---|---|---|---|")
    for output in OUTPUTS:
        rows = output.contract
        streams = [channel.path for channel in rows.channels]
        paths = dict.fromkeys(row.path for row in rows.operations if row.path not in streams)
        operations, channels = (", ".join(f"`{path}`" for path in each) for each in (paths, streams))
        yield f"| `{output.name}` | {output.is_a} | {operations} | {channels} |"


def _protocols() -> Iterator[str]:
    yield from ("", "## Protocols", "", "The tables of `ladestrom.protocols`.", "")
    yield from ("| name | carried by | at | ordered | module |", "|---|---|---|---|---|")
    for transport, rows in PROTOCOLS.items():
        for name, row in rows.items():
            whole = protocols.filled(name, row, transport)
            path, ordered = f"`{whole.path}`" if whole.path else "", "yes" if whole.ordered else ""
            yield f"| `{name}` | {whole.transport} | {path} | {ordered} | `{whole.target}` |"


def _backends() -> Iterator[str]:
    yield from ("", "## Backends", "", "`ladestrom.backends.table`, by the scheme of an address.", "")
    yield from ("| keeps | scheme | where | driver | opened by |", "|---|---|---|---|---|")
    for keeps, rows in {"log": table.LOGS, "store": table.STORES}.items():
        for scheme, row in rows.items():
            driver = f"`{row.driver}`" if row.driver else ""
            yield f"| {keeps} | `{scheme}` | {row.keeps} | {driver} | `{row.open}` |"


ELECTRICAL_INTRODUCTION: Final = (
    "",
    "## Electrical facts",
    "",
    "`ladestrom.core.electrical.RATINGS`: what an import adds to a connector if its register does not say it. What",
    "was added is named in `derived`. Of the rows of a connector, the first counts that is for its power and does",
    "not contradict what the register says. Connectors without a row get nothing, `UNKNOWN` ones too.",
    "",
    "Voltages of three phases are line to neutral, as in OCPI. If an OCPI Location says 400 V for three phases, it",
    "is read as 230 V. A power that is not said follows from voltage, current and phases, if all of them are known;",
    "for direct current, only if the register says voltage and current. An EVSE without a power of its own has that",
    "of its strongest connector.",
    "",
)


def _electrical() -> Iterator[str]:
    yield from ELECTRICAL_INTRODUCTION
    yield "| connector | power | power type | voltage | current | format |"
    yield "|---|---|---|---|---|---|"
    for row in electrical.RATINGS:
        standards = ", ".join(f"`{each}`" for each in row.standards)
        power = "any, or unknown" if row.up_to_kw is None else f"up to {row.up_to_kw:g} kW"
        current = "" if row.power_type is None else "power / voltage, rounded up"
        current = current if row.max_a is None else f"{row.max_a:g} A"
        cells = (row.power_type or "", f"{row.max_v:g} V" if row.max_v else "", current, row.format or "")
        yield f"| {standards} | {power} | " + " | ".join(cells) + " |"


MADE: Final = {"settings.md": settings, "errors.md": errors, "tables.md": tables}
"""Documents that are made from tables of the program; `make docs` writes them."""


def write() -> None:
    """Writes the documents that are made."""
    for name, made in MADE.items():
        (ROOT / "docs" / name).write_text(made(), encoding="utf-8")


if __name__ == "__main__":
    write()
