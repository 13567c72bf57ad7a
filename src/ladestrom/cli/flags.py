"""Every setting as a flag, made from the table of settings.

A command takes them with one parameter,

    settings: Annotated[SettingFlags, Parameter(name="*")] = NO_FLAGS

which holds what was given on the command line and nothing else, ready for `config.load`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final, TypedDict

from cyclopts import Group, Parameter

from ladestrom.config import SETTINGS, Setting

NO_FLAGS: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType({})

_GROUP: Final = Group(
    "Settings",
    help="Each can also be set in the settings file and in the environment: see `ladestrom config doc`.",
    sort_key=20,
)


def _flag(setting: Setting) -> object:
    names = (f"--{setting.short}", setting.flag) if setting.short else (setting.flag,)
    unit = f" ({setting.unit})" if setting.unit else ""
    default = ", ".join(setting.default) if isinstance(setting.default, tuple) else str(setting.default)
    return Annotated[
        setting.type,
        Parameter(
            name=names,
            help=f"{setting.help}{unit} [default: {default or 'none'}]",
            group=_GROUP,
        ),
    ]


def _flags() -> object:
    sections = {setting.section: "" for setting in SETTINGS}
    fields = {
        section: TypedDict(  # type: ignore[operator] # the table is read while the program runs
            section,
            {setting.name: _flag(setting) for setting in SETTINGS if setting.section == section},
            total=False,
        )
        for section in sections
    }
    return TypedDict("SettingFlags", fields, total=False)  # type: ignore[operator] # likewise


if TYPE_CHECKING:
    SettingFlags = Mapping[str, Mapping[str, object]]
else:
    SettingFlags = _flags()
