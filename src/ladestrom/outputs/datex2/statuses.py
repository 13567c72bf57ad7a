"""Statuses of a station's EVSEs as a site of a status publication, JSON of the AFIR profile and XML.

Written as text: a national publication has 100,000 of them. What is written needs no escapes but names, which
are registers' texts.

`lastUpdated` is when the status was first observed, not when it was confirmed: a publication, and those who
apply its deltas, stay as they are while nothing changes.

Source: DATEX II 3.5, EnergyInfrastructureStatusPublication; AFIR profile 01-00-00.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from ladestrom.formats.wire import instant
from ladestrom.model import Change, Evse, Status
from ladestrom.outputs.datex2 import words
from ladestrom.outputs.datex2.table import site_id
from ladestrom.outputs.datex2.xml import escaped

_SIGNS: Final = str.maketrans("", "", "*-_")
"""What names have beside letters and digits."""


class Said(NamedTuple):
    """What is said of one EVSE."""

    name: str
    status: str
    updated_at: str | None
    has_fault: bool


def said(evse: Evse, change: Change) -> Said:
    """The state that a change left."""
    return of(evse.name, change)


def of(name: str, change: Change) -> Said:
    """The same, of an EVSE that may not be in the record any more."""
    return Said(
        name,
        words.status(change),
        instant(change.observed_at),
        # That it is out of order says that it has one.
        change.error and change.status is not Status.OUTOFORDER,
    )


def as_json(uuid: str, revision: int, found: Iterable[Said]) -> bytes:
    """A site with its station."""
    version = f'"versionG":"{revision}"'
    pieces = []
    for name, status, updated_at, has_fault in found:
        at = "" if updated_at is None else f'"lastUpdated":"{updated_at}",'
        fault = f'"fault":{{"faultLastUpdateTime":"{updated_at}"}},' if has_fault and updated_at else ""
        pieces.append(
            '{"aegiElectricChargingPointStatus":{"reference":{"targetClass":"FacilityObject",'
            f'"idG":{_quoted(name)},{version}}},{at}{fault}"status":{{"value":"{status}"}}}}}}'
        )
    return (
        f'{{"reference":{{"targetClass":"FacilityObject","idG":"{site_id(uuid)}",{version}}},'
        '"energyInfrastructureStationStatus":[{"reference":{"targetClass":"FacilityObject",'
        f'"idG":"{uuid}",{version}}},"refillPointStatus":[{",".join(pieces)}]}}]}}'
    ).encode()


def as_xml(uuid: str, revision: int, found: Iterable[Said]) -> bytes:
    """A site with its station."""
    reference = '<fac:reference targetClass="fac:FacilityObject" id="'
    version = f'" version="{revision}"/>'
    pieces = [
        f"<egi:energyInfrastructureSiteStatus>{reference}{site_id(uuid)}{version}",
        f"<egi:energyInfrastructureStationStatus>{reference}{uuid}{version}",
    ]
    for name, status, updated_at, has_fault in found:
        at = "" if updated_at is None else f"<fac:lastUpdated>{updated_at}</fac:lastUpdated>"
        fault = (
            f"<fac:fault><com:faultLastUpdateTime>{updated_at}</com:faultLastUpdateTime></fac:fault>"
            if has_fault and updated_at
            else ""
        )
        pieces.append(
            '<egi:refillPointStatus xsi:type="egi:ElectricChargingPointStatus">'
            f"{reference}{_attribute(name)}{version}{at}{fault}<egi:status>{status}</egi:status>"
            "</egi:refillPointStatus>"
        )
    pieces.append("</egi:energyInfrastructureStationStatus></egi:energyInfrastructureSiteStatus>\n")
    return "".join(pieces).encode()


def _quoted(name: str) -> str:
    return f'"{name}"' if _is_plain(name) else msgspec.json.encode(name).decode()


def _attribute(name: str) -> str:
    return name if _is_plain(name) else escaped(name)


def _is_plain(name: str) -> bool:
    """Whether it needs no escapes anywhere; nearly all are."""
    return name.isascii() and name.translate(_SIGNS).isalnum()
