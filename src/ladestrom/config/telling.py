"""Settings as they are told: values with where each came from, and nothing secret in them.

Knows the table. Must not know who is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ladestrom.config.loading import SettingOrigin
from ladestrom.config.table import SETTINGS, Setting, Settings
from ladestrom.formats.administration import ShownSetting
from ladestrom.logs import redact

_DEFAULT: Final = SettingOrigin("default")
_GIVEN: Final = SettingOrigin("flag")


def value_of(settings: Settings, setting: Setting) -> Any:  # noqa: ANN401 - of the setting's own type
    """The setting's value."""
    section: msgspec.Struct = getattr(settings, setting.section)
    return getattr(section, setting.name)


def shown(settings: Settings, origins: Mapping[str, SettingOrigin]) -> list[ShownSetting]:
    """Every setting, in the order of the table.

    Keys, and passwords and keys in addresses, are `***`. A value whose origin is not among `origins` is a
    default, or was given by the program.
    """
    told = []
    for row in SETTINGS:
        value = value_of(settings, row)
        origin = origins.get(row.key) or (_DEFAULT if value == row.default else _GIVEN)
        told.append(
            ShownSetting(
                name=row.key,
                value=_without_secrets(value),
                unit=row.unit,
                default=_without_secrets(row.default),
                origin=origin.kind,
                where=origin.where,
                help=row.help,
            )
        )
    return told


def _without_secrets(value: Any) -> Any:  # noqa: ANN401 - likewise
    if isinstance(value, str):
        return redact(value)
    return tuple(map(redact, value)) if isinstance(value, tuple) else value
