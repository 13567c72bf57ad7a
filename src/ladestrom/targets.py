"""Where tables say that something is: `module:attribute`, imported when it is wanted."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load(target: str) -> Any:  # noqa: ANN401 - what it is, the member that holds the target says
    """The object at `module:attribute`."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
