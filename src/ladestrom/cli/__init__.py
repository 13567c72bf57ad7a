"""The command line's frame: which commands there are, and how an error ends the program.

Knows each command by name and address only, and imports it when it is called, so that `--version` and
`--help` answer at once. Must not know what a command does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ladestrom import __version__
from ladestrom.errors import LadestromError

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError
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
    Command("demo", "ladestrom.cli.demo:demo", "Run a simulated country. Nothing else is needed."),
    Command("serve", "ladestrom.cli.serve:serve", "Run the server."),
    Command("roles", "ladestrom.cli.roles:roles", "Show what the processes of a server do."),
    Command("import", "ladestrom.cli.imports:app", "Add or update stations from a register file."),
    Command("registry", "ladestrom.cli.registry:app", "Show what the registry contains."),
    Command("operators", "ladestrom.cli.operators:app", "Manage operators and what each may report on."),
    Command("keys", "ladestrom.cli.keys:app", "Create, list, approve, rotate, revoke and erase keys."),
    Command("sources", "ladestrom.cli.sources:app", "Manage sources that the server polls or follows."),
    Command("ocpi", "ladestrom.cli.ocpi:app", "Manage OCPI peers."),
    Command("ocpp", "ladestrom.cli.ocpp:app", "Manage charge points that connect over OCPP."),
    Command("replay", "ladestrom.cli.replay:replay", "Send recorded events to a server."),
    Command("tail", "ladestrom.cli.tail:tail", "Print changes as they happen."),
    Command(
        "backup", "ladestrom.cli.backups:backup", "Copy the data directory. The server can keep running."
    ),
    Command("restore", "ladestrom.cli.backups:restore", "Create a data directory from a backup."),
    Command("log", "ladestrom.cli.log:app", "Repair a change log in PostgreSQL."),
    Command("store", "ladestrom.cli.store_copy:app", "Copy the store, for example to PostgreSQL."),
    Command("config", "ladestrom.cli.config:app", "Check, show and document the settings."),
    Command("doctor", "ladestrom.cli.doctor:doctor", "Check that this machine is fit to run the server."),
)


def _usage_error(error: CycloptsError) -> Text:
    from rich.text import Text  # noqa: PLC0415 - only where there is an error to show

    return Text(f"ladestrom: {error}")


def build(called: str | None = None) -> App:
    """The command line with all its commands, none of them imported.

    The command that is `called` speaks for itself in its help; the line about it would stand in its place.
    """
    from cyclopts import App, Parameter  # noqa: PLC0415 - loads slowly, and --version does without

    app = App(
        name="ladestrom",
        help="Live EV charger availability you can verify.",
        help_epilogue="If a command fails, --debug shows where in the program the error occurred.",
        version=f"ladestrom {__version__}",
        default_parameter=Parameter(negative=(), show_default=_worth_showing),
        error_formatter=_usage_error,
        suppress_keyboard_interrupt=False,
        result_action="return_int_as_exit_code_else_zero",
    )
    for command in COMMANDS:
        line = None if command.name == called else command.help
        app.command(command.target, name=command.name, help=line)
    app.register_install_completion_command(help="Install completion for your shell.")
    app["--help"].help = "Show this help."
    app["--version"].help = "Show the version."
    return app


def _worth_showing(default: object) -> str | None:
    """A default as help shows it; nothing for what is off or missing unless it is given."""
    return None if default is None or default is False else str(default)


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
        return report(error, debug=debug)
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
    if list(arguments) == ["--version"]:
        # The frame of commands takes longer to load than this takes to print.
        print(f"ladestrom {__version__}")
        return 0
    try:
        code: Any = build(arguments[0] if arguments else None)(arguments)
    except SystemExit as error:
        code = error.code
    if code is None or isinstance(code, int):
        return int(code or 0)
    sys.stderr.write(f"ladestrom: {code}\n")
    return EXIT_BUG


def report(error: LadestromError, *, debug: bool) -> int:
    """Says on standard error what is wrong; the exit code."""
    from ladestrom.cli.program import typed  # noqa: PLC0415 - only where there is an error
    from ladestrom.logs import redact, redacted_traceback  # noqa: PLC0415 - likewise

    if debug:
        sys.stderr.write(redacted_traceback(error))
    for line in typed(str(error)).splitlines() or [error.code]:
        sys.stderr.write(f"ladestrom: {redact(line)}\n")
    return EXIT_ERROR
