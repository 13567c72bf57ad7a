"""Reading in the objects of a DATEX II publication, which its XML and its JSON encoding write differently.

Knows how texts, enumerations, types and lists are written. Must not know of sites and stations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from ladestrom.core.fields import identifier, plain
from ladestrom.core.rules import EARLIEST_AT
from ladestrom.model import Millis
from ladestrom.registers import datex2_tables as tables

Node = Mapping[str, object]
"""An object as the readers of both encodings make it: a dict."""

_TYPED: Final = re.compile(r"(?:aegi|egi|afac|fac|locx|loc|com)([A-Z][A-Za-z0-9]*)")
"""JSON: a property that says of which type its value is."""
_SEARCH_DEPTH_MAX: Final = 8
"""Below a location: an address is 3 deep in it, coordinates are 2."""


def found(node: object, name: str, depth_left: int = _SEARCH_DEPTH_MAX) -> Node:
    """The first object of that name below a node; an empty one where there is none."""
    if isinstance(node, dict):
        inside = as_node(first(node.get(name)))
        if inside:
            return inside
    if depth_left:
        for inner in below(node):
            inside = found(inner, name, depth_left - 1)
            if inside:
                return inside
    return {}


def below(node: object) -> Iterable[object]:
    """What a node holds."""
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def words(value: object, depth_left: int = _SEARCH_DEPTH_MAX) -> str:
    """The first of the texts of a MultilingualString, however it is written."""
    if isinstance(value, str):
        return value
    if not depth_left:
        return ""
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        inner = (value.get("values"), value.get("value"))
    elif isinstance(value, list):
        inner = value
    return next(filter(None, (words(one, depth_left - 1) for one in inner)), "")


def word(value: object) -> object:
    """What an enumeration, or any simple value, says: alone, in `value`, or extended beside it."""
    value = first(value)
    if not isinstance(value, dict):
        return value
    said = value.get("value")
    if isinstance(said, str) and said.casefold() in tables.EXTENDED:
        said = value.get("extendedValueG", value.get("@_extendedValue", said))
    return None if isinstance(said, (dict, list)) else said


def enumerated(node: Node, name: str) -> list[str]:
    """The words of a member that is an enumeration, one or many, in small letters."""
    value = node.get(name)
    if value is None:
        return []
    said = (plain(word(one)).casefold() for one in as_list(value))
    return [one for one in said if one]


def truth(value: object) -> bool:
    """Whether a member says yes."""
    said = word(value)
    return said is True or (isinstance(said, str) and said.strip().casefold() in {"true", "1"})


def instant(value: object, *, needs_zone: bool = False) -> Millis | None:
    """The instant of an `xs:dateTime`; None for all else. Without a time zone it is in UTC, or None where a
    zone has to be said.
    """
    said = word(value)
    if not isinstance(said, str):
        return None
    try:
        at = datetime.fromisoformat(said.strip())
        if at.tzinfo is None:
            if needs_zone:
                return None
            at = at.replace(tzinfo=UTC)
        since = round(at.timestamp() * 1_000)
    except (ValueError, OverflowError):
        return None
    return since if since >= EARLIEST_AT else None


def typed(node: object) -> tuple[str, Node]:
    """The type of an object and the object: JSON names it in a property around it, XML in an attribute."""
    made = as_node(node)
    for name, inner in made.items():
        if isinstance(inner, dict):
            match = _TYPED.fullmatch(name)
            if match and not name.endswith("ExtensionG"):
                return match[1], inner
    kind = made.get("@type")
    return kind.rpartition(":")[2] if isinstance(kind, str) else "", made


def identifiers(node: Node) -> Iterator[tuple[str, str]]:
    """External identifiers and what kind each is of, in small letters; empty where that is not said."""
    for one in as_list(node.get("externalIdentifier")):
        if isinstance(one, dict):
            written = identifier(word(one.get("identifier"))) or identifier(one.get("value"))
            kind = plain(word(one.get("typeOfIdentifier"))) or plain(word(one.get("otherTypeOfIdentifier")))
            if written:
                yield written, kind.casefold()
        elif identifier(one):
            yield identifier(one), ""


def nodes(node: Node, name: str) -> list[Node]:
    """The objects of a member, one or many."""
    return [one for one in as_list(node.get(name)) if isinstance(one, dict)]


def as_list(value: object) -> list[object]:
    """The values of a member, one or many."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def first(value: object) -> object:
    """The value of a member, the first of many."""
    if isinstance(value, list):
        return value[0] if value else None
    return value


def as_node(value: object) -> Node:
    """The object that a value is; an empty one where it is none."""
    return value if isinstance(value, dict) else {}
