"""NOBIL's XML: the same as its JSON, each member an element."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from ladestrom.outputs.nobil_v3 import table
from ladestrom.outputs.nobil_v3.table import Told
from ladestrom.outputs.nobil_v3.words import NAMES, Attribute
from ladestrom.registers import nobil_tables as tables

CACHED_MAX: Final = 4_096
_IDS: Final = frozenset({tables.EVSE_UID, tables.EVSE_ID})
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""XML 1.0, section 2.2."""
_MARKUP: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def text(value: str) -> str:
    """A text between tags."""
    return _FORBIDDEN.sub("", value).translate(_MARKUP)


def head(provider: str, rights: str, apiver: str) -> bytes:
    """What a document begins with."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<chargerstations>\n'
        f"<Provider>{text(provider)}</Provider><Rights>{text(rights)}</Rights><apiver>{apiver}</apiver>"
    ).encode()


def error(message: str) -> bytes:
    """What is said instead of a document."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<error>{text(message)}</error>\n'.encode()


def station(told: Told) -> bytes:
    """A station."""
    metadata = "".join(
        f"<{name}>{text(str(value))}</{name}>" for name, value in told.metadata.items() if value is not None
    )
    connectors = "".join(
        f'<connector id="{place}">{_listed(connector)}</connector>'
        for place, connector in enumerate(told.connectors, 1)
    )
    return (
        f"<chargerstation><metadata>{metadata}</metadata><attributes><station>{_listed(told.attributes)}"
        f"</station><connectors>{connectors}</connectors></attributes></chargerstation>"
    ).encode()


def _listed(attributes: Iterable[Attribute]) -> str:
    return "".join(_attribute(each) if each.value else _common(each) for each in attributes)


def _attribute(told: Attribute) -> str:
    value = told.value if told.kind in _IDS else table.escaped(told.value)
    return (
        f"<attribute><attrtypeid>{told.kind}</attrtypeid><attrname>{text(NAMES[told.kind])}</attrname>"
        f"<attrvalid>{told.number}</attrvalid><trans>{text(table.escaped(told.text))}</trans>"
        f"<attrval>{text(value)}</attrval></attribute>"
    )


_common = lru_cache(CACHED_MAX)(_attribute)
