"""What a member of a wire type means, for the published contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Word(msgspec.Struct, frozen=True):
    """What a member means."""

    description: str
    limits: Mapping[str, Any] = {}
    """Keywords beside those that the type gives."""
    replaces: bool = False
    """Whether `limits` is the whole schema."""
