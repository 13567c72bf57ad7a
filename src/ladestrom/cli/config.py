"""`ladestrom config`: checks, shows and documents the settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter

from ladestrom.cli.flags import NO_FLAGS, SettingFlags
from ladestrom.config import SETTINGS, SPECIALS, Loaded, Setting, Settings, load, value_of
from ladestrom.quoting import without_user

app: Final = App(name="config", help="Check, show and document the settings.")

Flags = Annotated[SettingFlags, Parameter(name="*", show=False)]


@app.command
def check(config: Path | None = None, *, settings: Flags = NO_FLAGS) -> None:
    """Check the settings file, the environment and the options; print all problems.

    Exit code: 0 if there are none, 2 otherwise.

    Args:
        config: Settings file (TOML). Default: the file that LADESTROM_CONFIG names.
        settings: Settings as options.
    """
    loaded = load(config, os.environ, settings)
    given = sum(origin.kind != "default" for origin in loaded.origins.values())
    print(f"no problems: {given} of {len(SETTINGS)} settings are set, the others have their defaults")


@app.command
def show(
    config: Path | None = None,
    *,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    settings: Flags = NO_FLAGS,
) -> None:
    """Print each setting's value and where it came from. The output is a valid settings file.

    In addresses, `***` stands for user and password.

    Args:
        config: Settings file (TOML). Default: the file that LADESTROM_CONFIG names.
        as_json: Print one JSON object instead.
        settings: Settings as options.
    """
    loaded = load(config, os.environ, settings)
    print(_as_json(loaded) if as_json else "\n".join(_as_toml(loaded)))


@app.command
def doc() -> None:
    """Print the table of all settings as Markdown."""
    print("\n".join(markdown()))


@app.command
def env() -> None:
    """Print all environment variables with their defaults. The output is a valid env file."""
    print("\n".join(_as_environ()))


def markdown() -> Iterator[str]:
    """The documentation of all settings, line by line: a table for each section."""
    yield "# Settings"
    yield ""
    yield "A setting has its default unless the settings file (TOML) sets it; an environment variable"
    yield "overrides the file, and a command line option overrides both. This holds for all commands. Unknown"
    yield "names and values out of range are errors. In a variable or an option, commas separate the items of"
    yield 'a list; if an item contains a comma, write a JSON list: `["a,b", "c"]`. A variable whose name ends'
    yield "in `_FILE` names a file that contains the value."
    yield ""
    yield "On SIGHUP, a running server reads the file again. Settings marked *SIGHUP changes it* take effect"
    yield "at once. The server log names those that changed, and those that need a restart."
    for section in msgspec.structs.fields(Settings):
        yield ""
        yield f"## `[{section.name}]`"
        yield ""
        yield str(section.type.__doc__).strip()
        yield ""
        yield "| setting | default | values | what it does | why this default |"
        yield "|---|---|---|---|---|"
        for row in SETTINGS:
            if row.section == section.name:
                help_ = f"{row.help} *SIGHUP changes it.*" if row.live else row.help
                cells = (f"`{row.name}`", f"`{_toml(row.default)}`", row.accepts, help_, row.why)
                yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""
    yield "## Names"
    yield ""
    yield "`ping_interval_s` of `[stream]` is `LADESTROM_STREAM__PING_INTERVAL_S` in the environment and"
    yield "`--stream.ping-interval-s` on the command line. Short options:"
    yield ", ".join(f"`--{row.short}` (`{row.key}`)" for row in SETTINGS if row.short) + "."
    yield ""
    yield "| other variable | |"
    yield "|---|---|"
    for variable in SPECIALS:
        more = f" Or `{variable.name}_FILE`." if variable.secret else ""
        yield f"| `{variable.name}` | {variable.help}{more} |"


def _shown(loaded: Loaded, row: Setting) -> object:
    """The setting's value; of an address, not the user and the password in it."""
    value = value_of(loaded.settings, row)
    return without_user(value) if isinstance(value, str) else value


def _as_toml(loaded: Loaded) -> Iterator[str]:
    section = ""
    for row in SETTINGS:
        if row.section != section:
            if section:
                yield ""
            section = row.section
            yield f"[{section}]"
        yield f"{row.name} = {_toml(_shown(loaded, row))}  # {loaded.origins[row.key]}"


def _as_json(loaded: Loaded) -> str:
    rows = {
        row.key: {"value": _shown(loaded, row), "origin": str(loaded.origins[row.key])} for row in SETTINGS
    }
    return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode()


def _as_environ() -> Iterator[str]:
    for row in SETTINGS:
        yield f"# {row.help} Takes {row.accepts}."
        value = ",".join(row.default) if isinstance(row.default, tuple) else _toml(row.default).strip('"')
        yield f"{row.environ}={value}"
    yield ""
    for variable in SPECIALS:
        yield f"# {variable.help}"
        yield f"# {variable.name}="


def _toml(value: object) -> str:
    # A JSON number, boolean, text or list of texts is the same in TOML.
    return msgspec.json.encode(value).decode()
