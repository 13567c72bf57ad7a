"""Logs and stores of every kind that the tables of backends have, empty, for the contract suites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import postgres

from ladestrom.backends.opening import Opening
from ladestrom.backends.table import LOGS, STORES, Backend


def empty(scheme: str, folder: Path, **members: Any) -> Opening:
    """Where there is no store yet, as its row says; skips if its driver or its server is not here."""
    return _empty(STORES[scheme], scheme, folder, members)


def empty_log(scheme: str, folder: Path, **members: Any) -> Opening:
    """Where there is no log yet, likewise."""
    return _empty(LOGS[scheme], scheme, folder, members)


def _empty(row: Backend, scheme: str, folder: Path, members: dict[str, Any]) -> Opening:
    url = SERVERS[scheme]() if scheme in SERVERS else f"{scheme}:"
    if scheme not in SERVERS and row.address != url:
        pytest.skip(f"{scheme}: no server of this kind is started by tests")
    return Opening(url=url, folder=folder, **members)


SERVERS = {"postgresql": lambda: postgres.server().new_address()}
"""For each kind that is no file: the address of one that is not there yet."""
