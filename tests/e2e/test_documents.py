"""Every command of README and docs does what the document says: run in order, and compared with what it prints.

One shell session for each document, in an empty directory that has `.venv` and `examples` as a clone has.
Exported variables live on from block to block. A block that starts a server stays in the background until the
document's end; any other has to end by itself, or is ended once it has printed what the document says.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import pytest
from tests.documents import DOCUMENTS, ROOT, Block, blocks, matches
from tests.e2e.running import free_port

from ladestrom.cli import app

BLOCK_S_MAX: Final = 120.0
SERVERS: Final = re.compile(r"^(\S*ladestrom (serve|demo)|make run)\b", re.MULTILINE)
SUBSTITUTES: Final = {
    "make setup": "true",
    "make run": ".venv/bin/ladestrom demo",
    "make test": "true",
    "make check": "true",
}
"""Commands that would set up or test the project itself: the suite that runs this one did that already."""
PORT: Final = "8383"
"""The port that the documents speak of; each session has one of its own instead."""

RUN: Final = [
    (path, [block for block in blocks(path) if block.language in {"sh", "text"}])
    for path in DOCUMENTS
    if any(block.language == "sh" and not block.info for block in blocks(path))
]
EXAMPLES: Final = [block for path in DOCUMENTS for block in blocks(path) if block.info == "example"]


class Session:
    """A reader's shell. A context manager that ends what it started."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = str(free_port())
        self._state = directory / ".exported"
        self._state.write_text("")
        self._servers: list[subprocess.Popen[str]] = []
        self._count = 0
        (directory / ".venv").symlink_to(sys.prefix)
        (directory / "examples").symlink_to(ROOT / "examples")
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LADESTROM_")},
            "LADESTROM_SERVER__PORT": self._port,
            "PYTHONPATH": str(ROOT / "src"),
            "NO_COLOR": "1",
            "COLUMNS": "100",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._servers:
            _end(process)

    def run(self, block: Block, expected: str | None) -> None:
        """Runs a block; fails where it fails, or prints something other than the document says."""
        text = block.text
        for command, substitute in SUBSTITUTES.items():
            text = re.sub(rf"^{command}\b", substitute, text, flags=re.MULTILINE)
        self._count += 1
        output = self._directory / f".printed-{self._count}"
        is_server = SERVERS.search(block.text) is not None
        exported = f"\ndeclare -px > {shlex.quote(str(self._state))}" if not is_server else ""
        script = f". {shlex.quote(str(self._state))}\n{text}{exported}".replace(PORT, self._port)
        with output.open("w") as printed:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self._servers.append(process)
        self._wait(process, output, block, "...\n...ready...\n" if is_server and not expected else expected)
        if not is_server:
            _end(process)

    def _wait(self, process: subprocess.Popen[str], output: Path, block: Block, expected: str | None) -> None:
        ends_s = time.monotonic() + BLOCK_S_MAX
        while True:
            code = process.poll()
            printed = output.read_text(errors="replace").replace(self._port, PORT)
            if expected is not None and matches(expected, printed):
                return
            if code is not None:
                assert code == 0, f"{block} ended with {code}:\n{printed}"
                assert expected is None, f"{block} printed:\n{printed}\nand the document says:\n{expected}"
                return
            assert time.monotonic() < ends_s, f"{block} went on without what it should print:\n{printed}"
            time.sleep(0.05)


def _end(process: subprocess.Popen[str]) -> None:
    """Ends a process and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(10)
            break
        except subprocess.TimeoutExpired:
            continue


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(tmp_path) as made:
        yield made


@pytest.mark.parametrize("path", [path for path, _ in RUN], ids=lambda path: path.name)
def test_the_commands_of_a_document_print_what_it_says(path: Path, session: Session) -> None:
    found = dict(RUN)[path]
    for number, block in enumerate(found):
        if block.language == "sh" and not block.info:
            after = found[number + 1] if number + 1 < len(found) else None
            session.run(block, after.text if after is not None and after.language == "text" else None)


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_commands_for_hosts_that_do_not_exist_are_understood(block: Block) -> None:
    subprocess.run(["bash", "-n", "-c", block.text], check=True, timeout=BLOCK_S_MAX)
    for line in block.text.replace("\\\n", "").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0].rpartition("/")[2] == "ladestrom":
            app.parse_args(words[1:], exit_on_error=False, print_error=False)
