"""Reads settings: defaults, then file, then environment, then flags, and notes where each value came from.

Knows the forms in which a value may be written. Must not know any single setting but those that are
checked against each other.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, get_origin

import msgspec

from ladestrom.backends.table import log_of
from ladestrom.config.table import BY_KEY, PREFIX, SETTINGS, SPECIALS, Setting, Settings
from ladestrom.errors import InvalidSetting
from ladestrom.quoting import cause, without_user

SETTINGS_FILE_KIB_MAX: Final = 1024
"""Every setting with a page of comment to each is a tenth of this."""
SECRET_FILE_KIB_MAX: Final = 64
"""What a `*_FILE` variable may name: keys are under 1 KiB, certificates under 16 KiB."""
SHOWN_CHARACTERS_MAX: Final = 80
"""Of a wrong value, this much is shown."""

_BOOLEANS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_NOT_OURS: Final = re.compile(
    r"LADESTROM_(TEST_\w+|SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)"
)
"""Names that the tests look for, and what Kubernetes sets where a service is named `ladestrom`."""
_SECTIONS: Final = tuple(field.name for field in msgspec.structs.fields(Settings))
_BY_ENVIRON: Final = {setting.environ: setting for setting in SETTINGS} | {
    "LADESTROM_DATA": BY_KEY["server.data"]
}
_SPECIAL_NAMES: Final = frozenset(
    name
    for row in SPECIALS
    if row.name not in _BY_ENVIRON
    for name in ((row.name, f"{row.name}_FILE") if row.secret else (row.name,))
)


class SettingOrigin(msgspec.Struct, frozen=True):
    """Where a value came from."""

    kind: Literal["default", "file", "environment", "flag", "demo"]
    where: str = ""
    """The file's path, the variable's name or the flag; empty for the others."""

    def __str__(self) -> str:
        return f"{self.kind} {self.where}".rstrip()


class Loaded(msgspec.Struct, frozen=True):
    """Settings, and the origin of each value by its `section.name`."""

    settings: Settings
    origins: Mapping[str, SettingOrigin]


def load(file: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]) -> Loaded:
    """Settings from defaults, then file, then environment, then flags: the last one holds.

    Args:
        file: a TOML file; without one, the file that LADESTROM_CONFIG names, if it does.
        environ: of it, only names that begin with `LADESTROM_` matter.
        flags: values by `section.name`, or by section and name; None is a flag that was not given.

    Raises:
        InvalidSetting: names that do not exist, values of the wrong form or out of range, files that
            cannot be read: all that is wrong, one problem a line.
    """
    values: dict[str, object] = {}
    origins: dict[str, SettingOrigin] = {setting.key: SettingOrigin("default") for setting in SETTINGS}
    problems: list[str] = []
    named = file or (Path(environ["LADESTROM_CONFIG"]) if environ.get("LADESTROM_CONFIG") else None)
    for found in (
        *_from_file(named, problems),
        *_from_environ(environ, problems),
        *_from_flags(flags, problems),
    ):
        setting, raw, origin = found
        origins[setting.key] = origin
        try:
            values[setting.key] = _convert(setting, raw)
        except ValueError:
            shown = "" if origin.where.endswith("_FILE") else f" = {_shortened(raw)}"
            problems.append(f"{setting.key}{shown} ({origin}): expected {setting.accepts}")
    settings = _built(values)
    if settings.stream.ping_timeout_s < settings.stream.ping_interval_s:
        problems.append(
            f"stream.ping_timeout_s = {settings.stream.ping_timeout_s} "
            f"({origins['stream.ping_timeout_s']}): expected at least stream.ping_interval_s, "
            f"which is {settings.stream.ping_interval_s}"
        )
    if settings.reports.certificate_header and not settings.reports.certificate_proxies:
        problems.append(
            f"reports.certificate_header is set ({origins['reports.certificate_header']}): expected "
            "reports.certificate_proxies to name the proxies that are believed, such as 127.0.0.1"
        )
    problems += _of_processes(settings, origins)
    if problems:
        raise InvalidSetting("\n".join(problems))
    return Loaded(settings, MappingProxyType(origins))


def _of_processes(settings: Settings, origins: Mapping[str, SettingOrigin]) -> Iterator[str]:
    """What is wrong with how many processes there are, and what they do."""
    own, log = settings.server, log_of(settings.log.url)
    lacking = [name for name in ("writer", "ingest", "reader") if name not in own.roles]
    if lacking:
        yield (
            f"server.roles = {','.join(own.roles)} ({origins['server.roles']}): expected also "
            f"{', '.join(lacking)}, because the change log ({settings.log.url}) is for one server"
        )
    if own.processes > 1 and not log.reader:
        yield (
            f"server.processes = {own.processes} ({origins['server.processes']}): expected 1, because other "
            f"processes cannot follow the change log ({settings.log.url}); sqlite: can be followed"
        )


def special(environ: Mapping[str, str], name: str) -> str | None:
    """The value of a variable of `SPECIALS`; of a secret one also from the file that NAME_FILE names.

    Raises:
        InvalidSetting: NAME and NAME_FILE are both set, or the file cannot be read.
    """
    found = next(row for row in SPECIALS if row.name == name)
    path = environ.get(f"{name}_FILE") if found.secret else None
    if path is None:
        return environ.get(name) or None
    if name in environ:
        raise InvalidSetting(f"{name} and {name}_FILE are both set; keep one")
    return _secret(f"{name}_FILE", path) or None


Found = tuple[Setting, object, SettingOrigin]


def _from_file(file: Path | None, problems: list[str]) -> Iterator[Found]:
    if file is None:
        return
    try:
        document = tomllib.loads(_read(file, SETTINGS_FILE_KIB_MAX))
    except (OSError, ValueError) as error:
        problems.append(f"settings file {file} cannot be read: {cause(error)}")
        return
    yield from _matched(document, lambda _: SettingOrigin("file", str(file)), problems)


def _from_flags(flags: Mapping[str, object], problems: list[str]) -> Iterator[Found]:
    yield from _matched(flags, lambda key: SettingOrigin("flag", _flag(key)), problems)


def _flag(key: str) -> str:
    """The flag of a setting, the shorter one where it has two."""
    row = BY_KEY.get(key)
    return f"--{row.short if row is not None and row.short else key}".replace("_", "-")


def _matched(
    document: Mapping[str, object], origin: Callable[[str], SettingOrigin], problems: list[str]
) -> Iterator[Found]:
    for key, value in _flattened(document):
        if key in BY_KEY:
            if value is not None:
                yield BY_KEY[key], value, origin(key)
        elif key in _SECTIONS:
            problems.append(f"{key} = {_shortened(value)} ({origin(key)}): expected the section [{key}]")
        else:
            problems.append(f"setting {key} ({origin(key)}) is unknown{_did_you_mean(key)}")


def _flattened(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in document.items():
        if isinstance(value, Mapping) and (value or key in _SECTIONS):
            for name, inner in value.items():
                yield f"{key}.{name}", inner
        else:
            yield key, value


def _from_environ(environ: Mapping[str, str], problems: list[str]) -> Iterator[Found]:
    seen: dict[str, str] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in _SPECIAL_NAMES or _NOT_OURS.fullmatch(name):
            continue
        setting = _BY_ENVIRON.get(name) or _BY_ENVIRON.get(name.removesuffix("_FILE"))
        if setting is None:
            problems.append(f"environment variable {name} is unknown{_did_you_mean_environ(name)}")
            continue
        if setting.key in seen:
            problems.append(f"{seen[setting.key]} and {name} are both set; keep one")
            continue
        seen[setting.key] = name
        if name in _BY_ENVIRON:
            yield setting, environ[name], SettingOrigin("environment", name)
            continue
        try:
            yield setting, _secret(name, environ[name]), SettingOrigin("environment", name)
        except InvalidSetting as error:
            problems.append(str(error))


def _convert(setting: Setting, raw: object) -> object:
    """Raises:
    ValueError: the value is not of the setting's type, or out of its range.
    """
    value = raw
    if isinstance(raw, Path):
        value = str(raw)
    elif isinstance(raw, str) and setting.type is int:
        value = int(raw)
    elif isinstance(raw, str) and setting.type is bool:
        value = _BOOLEANS.get(raw.strip().lower(), raw)
    elif isinstance(raw, str) and get_origin(setting.type) is tuple:
        is_json = raw.strip() == "[]" or raw.lstrip().startswith('["')
        value = (
            msgspec.json.decode(raw) if is_json else [each.strip() for each in raw.split(",") if each.strip()]
        )
    return msgspec.convert(value, setting.annotation)


def _built(values: Mapping[str, object]) -> Settings:
    sections: dict[str, dict[str, object]] = {section: {} for section in _SECTIONS}
    for key, value in values.items():
        section, name = key.split(".")
        sections[section][name] = value
    return Settings(
        **{field.name: field.type(**sections[field.name]) for field in msgspec.structs.fields(Settings)}
    )


def _read(path: Path, kib_max: int) -> str:
    """Raises:
    OSError: the file cannot be read.
    ValueError: it is too large, or not UTF-8.
    """
    with path.open("rb") as stream:
        content = stream.read(kib_max * 1024 + 1)
    if len(content) > kib_max * 1024:
        raise ValueError(f"larger than {kib_max} KiB")
    return content.decode()


def _secret(name: str, path: str) -> str:
    try:
        return _read(Path(path), SECRET_FILE_KIB_MAX).rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"{name}: {path} cannot be read: {cause(error)}") from error


def _shortened(raw: object) -> str:
    """A value as the settings file would have it; addresses without the user and the password in them."""
    text = without_user(msgspec.json.encode(raw, enc_hook=str).decode())
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "..."


def _did_you_mean(key: str) -> str:
    name = key.rpartition(".")[2]
    close = (
        [row.key for row in SETTINGS if row.name == name]
        or difflib.get_close_matches(key, BY_KEY, n=1)
        or difflib.get_close_matches(key, _SECTIONS, n=1)
    )
    return f"; did you mean {close[0]}?" if close else "; `ladestrom config doc` lists all"


def _did_you_mean_environ(name: str) -> str:
    known = [known.removeprefix(PREFIX) for known in (*_BY_ENVIRON, *_SPECIAL_NAMES)]
    close = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
    return f"; did you mean {PREFIX}{close[0]}?" if close else "; `ladestrom config env` lists all"
