"""One of several processes of a server, started by `supervisor` and not by people.

    python -m ladestrom.cli.process

The first line of standard input says what to do (`Assignment`); the rest of it stays open as long as the
process that started this one lives. Standard output gets one line when it is ready (`Ready`).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from threading import Thread

import msgspec
import structlog

from ladestrom.app import App, started
from ladestrom.backends.data_directory import DataDirectory
from ladestrom.cli import EXIT_BUG, report
from ladestrom.cli.serve import attend, cancelling, configure_logs, run
from ladestrom.config import Loaded, load
from ladestrom.errors import LadestromError
from ladestrom.logs import redacted_traceback
from ladestrom.roles.context import Context
from ladestrom.roles.place import Place
from ladestrom.signals import Signals
from ladestrom.supervisor import Assignment, Ready

logger = structlog.get_logger(__name__)


def main() -> int:
    """Runs the process to its end and gives its exit code."""
    try:
        # Unbuffered, so that nothing is taken that follows the line.
        line = _line()
        if not line:
            return 0
        assignment = msgspec.json.decode(line, type=Assignment)
        structlog.contextvars.bind_contextvars(process=assignment.name)
        with Signals() as signals:
            Thread(target=_end_with_parent, name="parent", daemon=True).start()
            configure_logs(assignment.settings)
            run(_serve(assignment, signals))
    except LadestromError as error:
        return report(error, debug=False)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else EXIT_BUG
    except Exception as error:  # noqa: BLE001 - the outermost frame: a traceback must not show a key
        sys.stderr.write(redacted_traceback(error))
        return EXIT_BUG
    return 0


def _line() -> bytes:
    found = bytearray()
    while not found.endswith(b"\n") and (data := os.read(0, 65_536)):
        found += data
    return bytes(found)


def _end_with_parent() -> None:
    """Ends this process as a signal does once whoever started it has gone."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


async def _serve(assignment: Assignment, signals: Signals) -> None:
    signals.bind(starting=cancelling())

    def read() -> Loaded:
        file = Path(assignment.config) if assignment.config else None
        return load(file, os.environ, assignment.flags)

    place = Place(
        duty=assignment.duty,
        name=assignment.name,
        listener=_socket(assignment.listener),
        metrics=_socket(assignment.metrics),
    )
    context = Context(assignment.settings, assignment.origins, demo=False)

    def ready(app: App) -> None:
        told = Ready(app.evses, app.ready_s)
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        sys.stdout.buffer.flush()

    with DataDirectory.inherited(context.data, assignment.lock) as directory:
        await attend(started(context, directory, place), signals, read, ready)


def _socket(descriptor: int | None) -> socket.socket | None:
    return None if descriptor is None else socket.socket(fileno=descriptor)


if __name__ == "__main__":
    sys.exit(main())
