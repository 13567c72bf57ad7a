"""The server that a command speaks to: from its options, else from the environment."""

from __future__ import annotations

import os
from typing import Final

from ladestrom.config import special

SERVER: Final = "http://127.0.0.1:8383"
"""Where `ladestrom serve` and `ladestrom demo` listen when nothing else is said."""


def remote(server: str | None, key: str | None) -> tuple[str, str | None]:
    """Address and key: the options, else LADESTROM_URL and LADESTROM_KEY (or LADESTROM_KEY_FILE).

    Raises:
        InvalidSetting: the environment contradicts itself, or the key's file cannot be read.
    """
    return (
        server or special(os.environ, "LADESTROM_URL") or SERVER,
        key or special(os.environ, "LADESTROM_KEY"),
    )
