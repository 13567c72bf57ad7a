"""Settings: one table, from which the file, the environment, the flags and their documentation come.

Knows each setting's name, type, unit, limits, default and why it is that, and where a value came from.
Must not know what a setting does: `app` hands the values to those that use them.
"""

from __future__ import annotations

from ladestrom.config.loading import Loaded, SettingOrigin, load, special
from ladestrom.config.table import SETTINGS, SPECIALS, Setting, Settings, Special
from ladestrom.config.telling import shown, value_of

__all__ = [
    "SETTINGS",
    "SPECIALS",
    "Loaded",
    "Setting",
    "SettingOrigin",
    "Settings",
    "Special",
    "load",
    "shown",
    "special",
    "value_of",
]
