"""Every command of README and docs does what the document says: run in order, and compared with what it prints.

One shell session for each document, in an empty directory that has `.venv` and `examples` as a clone has. It also
holds what a document has at the machine's root: `/srv`, `/var`, `/etc` and `/usr/local`, and a `sudo` that drops the
environment, as the real one does, but makes nobody another user.
Exported variables live on from block to block. A block that starts a server stays in the background until the
document's end; any other has to end by itself, or is ended once it has printed what the document says.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import sysconfig
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final, Self

import pytest
from tests.documents import DOCUMENTS, ROOT, Block, blocks, matches
from tests.e2e.peers.ocpi_sender import OcpiSender, envelope
from tests.e2e.running import environment, free_port
from tests.patience import DEADLINE_S, until
from tests.programs import STDOUT, Program, begin, end, run

from ladestrom.cli import build

SERVERS: Final = re.compile(r"^(\S*ladestrom (serve|demo)|make run)\b", re.MULTILINE)
SUBSTITUTES: Final = {
    r"make (setup|test|check)": "true",
    r"make run": ".venv/bin/ladestrom demo --port 8383",
    r"python3 -m pip wheel (.*) \.$": rf"{sys.executable} -m pip wheel --quiet --no-build-isolation \1 {ROOT}",
    r"sudo (\S+/srv/ladestrom)/bin/python -m pip install --require-hashes .*": (
        rf"echo {sysconfig.get_path('purelib')} > $(echo \1/lib/python3*/site-packages)/tests.pth"
    ),
    r"sudo (\S+/srv/ladestrom)/bin/python -m pip install": (
        rf"{sys.executable} -m pip --python \1 install --quiet --no-index"
    ),
    r"sudo useradd .*": "true",
    r"sudo install -d -o ladestrom -g ladestrom": "sudo install -d",
}
"""Commands that would set up or test the project itself, or load packages: the suite's own environment has them."""
PLACEHOLDERS: Final = {
    "TOKEN": "invitation-0001",
    "PEER": (
        "$(.venv/bin/ladestrom ocpi peers --json"
        " | python3 -c 'import json, sys; print(json.load(sys.stdin)[-1][\"id\"])')"
    ),
}
"""Words that a reader replaces by what was printed or received before."""
FILE: Final = b'{"EVSEStatuses": {"OperatorEVSEStatus": []}}'
"""What `data.example` serves."""
READY: Final = "...\n...ready...\n"
"""What a server prints that the document says nothing of."""
SUDO: Final = """#!/bin/sh
if [ "$1" = -u ]; then shift 2; fi
exec env -i PATH="$PATH" HOME="$HOME" "$@"
"""
PLACES: Final = re.compile(r"(?<![\w.\-/])/(?=(srv|var|etc|usr/local)/)")
"""Paths of a machine that a document installs on: they lie in the session's directory."""
PORT: Final = "8383"
"""The port that the documents speak of; each session has one of its own instead."""

RUN: Final = [
    (path, [block for block in blocks(path) if block.language in {"sh", "text"}])
    for path in DOCUMENTS
    if any(block.language == "sh" and not block.info for block in blocks(path))
]
EXAMPLES: Final = [block for path in DOCUMENTS for block in blocks(path) if block.info == "example"]


class Elsewhere:
    """What the documents' example hosts stand for, on loopback. A context manager."""

    def __init__(self) -> None:
        self._peer = OcpiSender()
        self._files = ThreadingHTTPServer(("127.0.0.1", 0), _File)
        self._files.daemon_threads = True
        self._thread = Thread(target=self._files.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        self._peer.__enter__()
        self._peer.on_credentials = lambda _: envelope(
            {
                "token": "their-token-0001",
                "url": self._peer.versions_url,
                "roles": [
                    {
                        "role": "CPO",
                        "party_id": "FJL",
                        "country_code": "NO",
                        "business_details": {"name": "Fjordlys"},
                    }
                ],
            }
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._peer.__exit__(None, None, None)
        self._files.shutdown()
        self._files.server_close()
        self._thread.join()

    def put_in(self, text: str) -> str:
        """Commands with these hosts in place of the documents'. Nobody follows the stream there."""
        files = f"http://127.0.0.1:{self._files.server_port}"
        addresses = {
            "https://ocpi.fjordlys.example/versions": self._peer.versions_url,
            "https://data.example": files,
            "wss://status.example.org": files.replace("http", "ws"),
        }
        for written, address in addresses.items():
            text = text.replace(written, address)
        return re.sub(r"^\S*ladestrom ocpi", r"LADESTROM_OCPI__PEERS=any \g<0>", text, flags=re.MULTILINE)


class _File(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(FILE)))
        self.end_headers()
        self.wfile.write(FILE)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Session:
    """A reader's shell. A context manager that ends what it started."""

    def __init__(self, directory: Path, elsewhere: Elsewhere) -> None:
        self._elsewhere = elsewhere
        self._directory = directory
        self._port = str(free_port())
        self._state = directory / ".exported"
        self._state.write_text("")
        self._running: list[Program] = []
        self._count = 0
        (directory / ".venv").symlink_to(sys.prefix)
        (directory / "examples").symlink_to(ROOT / "examples")
        local = directory / "usr" / "local" / "bin"
        for each in (local, directory / "etc", directory / "srv", directory / "var"):
            each.mkdir(parents=True)
        (local / "sudo").write_text(SUDO)
        (local / "sudo").chmod(0o755)
        own = environment({"server.port": self._port})
        self._environment = {
            **own,
            "COLUMNS": "100",
            "PATH": os.pathsep.join((str(local), own["PATH"], str(Path(sys.prefix) / "bin"))),
        }

    def configure(self, text: str) -> None:
        """Writes the settings file that a document prints."""
        (self._directory / "etc" / "ladestrom.toml").write_text(self._placed(text))

    def _placed(self, text: str) -> str:
        return PLACES.sub(f"{self._directory}/", text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        for process in self._running:
            end(process)
        self._running.clear()

    def run(self, block: Block, expected: str | None) -> None:
        """Runs a block; fails where it fails, or prints something other than the document says."""
        text = self._placed(block.text)
        for command, substitute in SUBSTITUTES.items():
            text = re.sub(rf"^{command}", substitute, text, flags=re.MULTILINE)
        for word, substitute in PLACEHOLDERS.items():
            text = re.sub(rf"(?<= ){word}(?= |$)", substitute, text, flags=re.MULTILINE)
        text = self._elsewhere.put_in(text)
        self._count += 1
        output = self._directory / f".printed-{self._count}"
        is_server = SERVERS.search(block.text) is not None
        if is_server:
            # The reader has one server at a time, on one port.
            self._stop()
        exports = re.search(r"^export ", text, re.MULTILINE) is not None
        exported = f"\ndeclare -px > {shlex.quote(str(self._state))}" if exports else ""
        script = f". {shlex.quote(str(self._state))}\n{text}{exported}".replace(PORT, self._port)
        with output.open("w") as printed:
            process = begin(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=self._directory,
                env=self._environment,
                stdout=printed,
                stderr=STDOUT,
            )
        self._running.append(process)
        self._wait(process, output, block, READY if is_server and expected is None else expected)
        if not is_server:
            if exports:
                until(lambda: process.poll() is not None, f"{block} ends")
            self._running.remove(process)
            end(process)

    def _wait(self, process: Program, output: Path, block: Block, expected: str | None) -> None:
        printed = ""

        def done() -> bool:
            nonlocal printed
            ended = process.poll() is not None
            printed = output.read_text(errors="replace").replace(self._port, PORT)
            return ended or (expected is not None and matches(expected, printed))

        commands = len(block.text.splitlines())
        until(done, f"{block} prints what the document says, or ends", DEADLINE_S * commands)
        if expected is None or not matches(expected, printed):
            assert process.returncode == 0, f"{block} ended with {process.returncode}:\n{printed}"
            assert expected is None, f"{block} printed:\n{printed}\nand the document says:\n{expected}"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Elsewhere() as elsewhere, Session(tmp_path, elsewhere) as made:
        yield made


@pytest.mark.parametrize("path", [path for path, _ in RUN], ids=lambda path: path.name)
def test_the_commands_of_a_document_print_what_it_says(path: Path, session: Session) -> None:
    found = dict(RUN)[path]
    for block in blocks(path):
        if block.language == "toml":
            session.configure(block.text)
    for number, block in enumerate(found):
        if block.language == "sh" and not block.info:
            after = found[number + 1] if number + 1 < len(found) else None
            session.run(block, after.text if after is not None and after.language == "text" else None)


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_commands_for_hosts_that_do_not_exist_are_understood(block: Block) -> None:
    run(["bash", "-n", "-c", block.text], check=True)
    for line in block.text.replace("\\\n", "").splitlines():
        if re.match(r"(\S*/)?ladestrom ", line):
            build().parse_args(shlex.split(line, comments=True)[1:], exit_on_error=False, print_error=False)
