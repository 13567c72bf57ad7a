"""Modules of the read side, for tests that make its numbers small."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Final

import ladestrom.reader

MODULES: Final = [
    import_module(f"ladestrom.reader.{found.name}")
    for found in pkgutil.iter_modules(ladestrom.reader.__path__)
]


def holders(name: str) -> list[ModuleType]:
    """All that have a name: who imports a constant has its own."""
    found = [module for module in MODULES if hasattr(module, name)]
    assert found, f"no module of the read side has {name}"
    return found
