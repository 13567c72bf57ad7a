"""The command line's frame: which commands there are, and how an error ends the program.

Knows each command by name and address only, and imports it when it is called, so that `--version` and
`--help` answer at once. Must not know what a command does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cyclopts import App

from ladestrom import __version__
from ladestrom.errors import LadestromError

if TYPE_CHECKING:
    from cyclopts import CycloptsError
    from rich.text import Text

EXIT_BUG: Final = 1
EXIT_ERROR: Final = 2
"""The command was understood and could not be done, or could not be understood."""
EXIT_INTERRUPTED: Final = 130
"""128 and SIGINT, as shells have it."""
EXIT_BROKEN_PIPE: Final = 141
"""128 and SIGPIPE, as shells have it."""


class Command(NamedTuple):
    """A command: its name, its function or App as `module:attribute`, and one line about it."""

    name: str
    target: str
    help: str


COMMANDS: Final = (
    Command("demo", "ladestrom.cli.demo:demo", "A simulated country, live, with nothing else needed."),
    Command("serve", "ladestrom.cli.serve:serve", "The server."),
    Command("import", "ladestrom.cli.imports:app", "Fills or updates the registry from a register file."),
    Command("keys", "ladestrom.cli.keys:app", "Keys: create, list, rotate, revoke."),
    Command("operators", "ladestrom.cli.operators:app", "Operators, and what each may report on."),
    Command("ocpi", "ladestrom.cli.ocpi:app", "Peers of OCPI: invite, register, list, part from them."),
    Command("ocpp", "ladestrom.cli.ocpp:app", "Charge points that connect: add, list, rotate, remove."),
    Command("sources", "ladestrom.cli.sources:app", "Sources that are asked or followed: add, list, test."),
    Command("replay", "ladestrom.cli.replay:replay", "Sends recorded events to a server."),
    Command("tail", "ladestrom.cli.tail:tail", "Prints changes as they happen."),
    Command("config", "ladestrom.cli.config:app", "Settings: check, show, doc, env."),
    Command("doctor", "ladestrom.cli.doctor:doctor", "Looks whether this machine is fit to serve."),
)


def _usage_error(error: CycloptsError) -> Text:
    from rich.text import Text  # noqa: PLC0415 - only where there is an error to show

    return Text(f"ladestrom: {error}")


def build() -> App:
    """The command line with all its commands, none of them imported."""
    app = App(
        name="ladestrom",
        help="Which EV charger is free, now and provably.",
        help_epilogue="With --debug, an error shows where in the program it arose.",
        version=f"ladestrom {__version__}",
        error_formatter=_usage_error,
        suppress_keyboard_interrupt=False,
        result_action="return_int_as_exit_code_else_zero",
    )
    for command in COMMANDS:
        app.command(command.target, name=command.name, help=command.help)
    app.register_install_completion_command(help="Installs completion for your shell.")
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and gives its exit code.

    An error that ladestrom knows becomes one message on standard error and 2. Anything else is a defect
    of the program: its traceback is shown, without keys, and the code is 1.

    Args:
        arguments: what follows the program's name; those of the process where None.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    debug = "--debug" in options or os.environ.get("LADESTROM_DEBUG", "0") not in {"", "0"}
    if "--debug" in options:
        given.remove("--debug")
    try:
        code = _run(given)
        sys.stdout.flush()
    except LadestromError as error:
        return _report(error, debug=debug)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes standard output when it ends, and would fail on it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the outermost frame: a traceback must not show a key
        from ladestrom.logs import redacted_traceback  # noqa: PLC0415 - only where there is an error

        sys.stderr.write(redacted_traceback(error))
        return EXIT_BUG
    return code


def _run(arguments: Sequence[str]) -> int:
    try:
        code: Any = build()(arguments)
    except SystemExit as error:
        code = error.code
    if code is None or isinstance(code, int):
        return int(code or 0)
    sys.stderr.write(f"ladestrom: {code}\n")
    return EXIT_BUG


def _report(error: LadestromError, *, debug: bool) -> int:
    from ladestrom.logs import redact, redacted_traceback  # noqa: PLC0415 - only where there is an error

    if debug:
        sys.stderr.write(redacted_traceback(error))
    for line in str(error).splitlines() or [error.code]:
        sys.stderr.write(f"ladestrom: {redact(line)}\n")
    return EXIT_ERROR
