"""Every command of README and docs does what the document says: run in order, and compared with what it prints.

One shell session for each document, in an empty directory that has `.venv` and `examples` as a clone has; one for both
guides to a server of one's own, the second of which goes on where the first ends. The directory also holds what a
document has at the machine's root: `/srv`, `/var`, `/etc` and `/usr/local`, with the files that it prints. There are a
`sudo` that drops the environment, as the real one does, but makes nobody another user, and a `systemctl` that runs
the printed units (`tests/e2e/systemctl.py`).
Exported variables live on from block to block. A block that starts a server stays in the background until the
document's end, and one that follows a stream is ended once it has printed what the document says; any other has to end
by itself.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import sysconfig
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Final, Self

import pytest
from tests import warden
from tests.documents import DOCUMENTS, ROOT, Block, blocks, matches
from tests.e2e import systemctl
from tests.e2e.peers.ocpi_sender import OcpiSender, envelope
from tests.e2e.running import environment, free_port
from tests.patience import DEADLINE_S, until
from tests.programs import MARK, STDOUT, Program, begin, end, run

from ladestrom.cli import build

SERVERS: Final = re.compile(r"^(\S*ladestrom (serve|demo)|make run)\b", re.MULTILINE)
FOLLOWS: Final = re.compile(r"^curl -\w*N", re.MULTILINE)
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
    r"git rev-parse HEAD": "echo 0123456",
    r"scp -r dist requirements status\.example\.org:": f"ln -s {ROOT}/requirements .",
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
SYSTEMCTL: Final = """#!/bin/sh
exec env -i {environment} {python} -I -S {program} {root} "$@"
"""
PORTS: Final = ("8383", "9383")
"""The ports that the documents speak of, the server's first; each session has others instead."""
FILES: Final = {
    "toml": re.compile(r"`/(etc/[\w./-]+\.toml)`"),
    "ini": re.compile(r"`/(etc/systemd/system/[\w.-]+\.(?:service|timer))`"),
}
"""How a document names the file that a block of a language is: the last name before it counts."""

SERVER: Final = tuple(ROOT / "docs" / name for name in ("install.md", "operations.md"))
RUN: Final = [
    *(
        (path,)
        for path in DOCUMENTS
        if path not in SERVER and any(block.language == "sh" and not block.info for block in blocks(path))
    ),
    SERVER,
]
"""What is done in one session, in this order."""
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


def _free_ports(count: int) -> list[int]:
    """Different ports."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)


class Session:
    """A reader's shell. A context manager that ends what it started."""

    def __init__(self, directory: Path, elsewhere: Elsewhere) -> None:
        self._elsewhere = elsewhere
        self._directory = directory
        self._ports = dict(zip(PORTS, map(str, _free_ports(len(PORTS))), strict=True))
        self._state = directory / ".exported"
        self._state.write_text("")
        self._running: list[Program] = []
        self._count = 0
        (directory / ".venv").symlink_to(sys.prefix)
        (directory / "examples").symlink_to(ROOT / "examples")
        local = directory / "usr" / "local" / "bin"
        for each in (local, directory / "etc", directory / "srv", directory / "var"):
            each.mkdir(parents=True)
        own = environment({"server.port": self._ports[PORTS[0]]})
        kept = {
            name: value
            for name, value in own.items()
            if name in {"PATH", "HOME"} or name.startswith("LADESTROM_")
        }
        words = {
            "environment": shlex.join(
                f"{name}={value}" for name, value in {**kept, warden.VARIABLE: MARK}.items()
            ),
            "python": shlex.quote(sys.executable),
            "program": shlex.quote(systemctl.__file__),
            "root": shlex.quote(str(directory)),
        }
        for name, text in (("sudo", SUDO), ("systemctl", SYSTEMCTL.format_map(words))):
            (local / name).write_text(text)
            (local / name).chmod(0o755)
        self._environment = {
            **own,
            "COLUMNS": "100",
            "PATH": os.pathsep.join((str(local), own["PATH"], str(Path(sys.prefix) / "bin"))),
        }

    def write(self, block: Block) -> None:
        """Writes the file that a document prints, where it says."""
        before = (ROOT / block.document).read_text(encoding="utf-8").splitlines()[: block.line - 1]
        named = FILES[block.language].findall("\n".join(before))
        file = self._directory / (named[-1] if named else "etc/ladestrom.toml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._with_ports(self._placed(block.text)))

    def _placed(self, text: str) -> str:
        return PLACES.sub(f"{self._directory}/", text)

    def _with_ports(self, text: str) -> str:
        for written, port in self._ports.items():
            text = text.replace(written, port)
        return text

    def _as_written(self, text: str) -> str:
        for written, port in self._ports.items():
            text = text.replace(port, written)
        return text.replace(f"{self._directory}/", "/")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        systemctl.kill_all(self._directory)

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
        text = self._elsewhere.put_in(self._with_ports(text))
        self._count += 1
        output = self._directory / f".printed-{self._count}"
        is_server = SERVERS.search(block.text) is not None
        if is_server:
            # The reader has one server at a time, on one port.
            self._stop()
        exports = re.search(r"^export ", text, re.MULTILINE) is not None
        exported = f"\ndeclare -px > {shlex.quote(str(self._state))}" if exports else ""
        script = f". {shlex.quote(str(self._state))}\n{text}{exported}"
        with output.open("w") as printed:
            process = begin(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=self._directory,
                env=self._environment,
                stdout=printed,
                stderr=STDOUT,
            )
        self._running.append(process)
        if is_server:
            self._wait_for(READY if expected is None else expected, process, output, block)
            return
        if expected is not None and FOLLOWS.search(block.text):
            self._wait_for(expected, process, output, block)
        else:
            until(lambda: process.poll() is not None, f"{block} ends", _deadline_s(block))
            text = self._as_written(output.read_text(errors="replace"))
            assert process.returncode == 0, f"{block} ended with {process.returncode}:\n{text}"
            assert expected is None or matches(expected, text), _differs(block, text, expected)
        self._running.remove(process)
        end(process)

    def _wait_for(self, expected: str, process: Program, output: Path, block: Block) -> None:
        """Waits until a program that goes on has printed what the document says."""

        def printed() -> str:
            return self._as_written(output.read_text(errors="replace"))

        until(
            lambda: process.poll() is not None or matches(expected, printed()),
            f"{block} prints what the document says, or ends",
            _deadline_s(block),
        )
        assert matches(expected, printed()), _differs(block, printed(), expected)


def _deadline_s(block: Block) -> float:
    return DEADLINE_S * len(block.text.splitlines())


def _differs(block: Block, printed: str, expected: str) -> str:
    return f"{block} printed:\n{printed}\nand the document says:\n{expected}"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Elsewhere() as elsewhere, Session(tmp_path, elsewhere) as made:
        yield made


@pytest.mark.parametrize("paths", RUN, ids=lambda paths: "+".join(path.name for path in paths))
def test_the_commands_of_a_document_print_what_it_says(paths: tuple[Path, ...], session: Session) -> None:
    for path in paths:
        for block, after in pairwise([*blocks(path), None]):
            assert block is not None
            if block.language in FILES:
                session.write(block)
            elif block.language == "sh" and not block.info:
                session.run(block, after.text if after is not None and after.language == "text" else None)


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_commands_that_need_what_is_not_here_are_understood(block: Block) -> None:
    run(["bash", "-n", "-c", block.text], check=True)
    for line in block.text.replace("\\\n", "").splitlines():
        if re.match(r"(\S*/)?ladestrom ", line):
            build().parse_args(shlex.split(line, comments=True)[1:], exit_on_error=False, print_error=False)
