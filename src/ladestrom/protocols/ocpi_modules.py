"""The modules that this server offers to peers of OCPI: one table, by version, role, module and method.

The router (`ingest.ocpi_server`) finds the row of each request here, and the version details are made of the
rows. A module is added by its handler and one row. Must not know what a module does.

Source: OCPI 2.2.1 and 2.3.0, section 6 (versions); 2.1.1 likewise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from ladestrom.protocols.ocpi import PREFIX, ROLELESS, VERSIONS

READING: Final = "reading"
"""State of those who are no peers, and only read."""
_PARTY: Final = re.compile(r"[A-Za-z]{2}/+[A-Za-z0-9]{3}(/|$)", re.ASCII)


class Role(StrEnum):
    """Which side of a module's interface we are."""

    SENDER = "SENDER"
    RECEIVER = "RECEIVER"


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """One module in one role."""

    identifier: str
    """`ModuleID` of OCPI."""
    role: Role
    path: str
    """Behind `/ocpi/VERSION/`; no other row's. One that ends in a slash has objects below it."""
    methods: tuple[str, ...]
    target: str
    """`module:attribute` that makes its handler (`ingest.ocpi_handlers.HandlerMaker`)."""
    versions: tuple[str, ...] = VERSIONS
    states: frozenset[str] = frozenset({"invited", "calling", "registered", "fixed"})
    """Of the peers that are told of it in the version details (`ports.peers.Peer.state`)."""
    shares: str = ""
    """Path of another module at which it answers GET too, unless that names an object of a party. Where
    endpoints have no role, that path is told alone to those who are told of both."""
    functional: bool = True
    """Whether its messages are routed between parties (OCPI 2.2.1, section 4.1.3.2); those of a configuration
    module are not."""

    def below(self, path: str) -> str | None:
        """What follows the own path in a path behind the version; None where that is not of this module."""
        own = self.path.rstrip("/")
        if path != own and not path.startswith(f"{own}/"):
            return None
        rest = path[len(own) :]
        return rest.removeprefix("/") if self.path.endswith("/") or not rest.strip("/") else None


MODULES: Final = (
    Module(
        identifier="credentials",
        role=Role.SENDER,  # OCPI 2.2.1, section 6.2.3: its role says nothing; SENDER is advised.
        path="credentials",
        methods=("GET", "POST", "PUT", "DELETE"),
        target="ladestrom.ingest.ocpi_registration:Registration",
        states=frozenset({"invited", "calling", "registered"}),
        functional=False,
    ),
    Module(
        identifier="locations",
        role=Role.RECEIVER,
        path="locations/",  # its address ends in a slash: some peers append to it as it is
        methods=("GET", "PUT", "PATCH"),
        target="ladestrom.ingest.ocpi_receiver:LocationsReceiver",
    ),
    Module(
        identifier="locations",
        role=Role.SENDER,
        path="sender/locations/",
        methods=("GET",),
        target="ladestrom.outputs.ocpi.edge:locations",
        states=frozenset({"invited", "calling", "registered", "fixed", READING}),
        shares="locations/",
    ),
)
"""All of them, in the order in which version details list them."""


def find(modules: Iterable[Module], version: str, path: str) -> Module | None:
    """The module at a path behind a version; None where nothing is."""
    return next((each for each in modules if version in each.versions and each.below(path) is not None), None)


def sharing(modules: Iterable[Module], version: str, path: str, state: str) -> tuple[Module, str] | None:
    """The module that answers GET at the path of another one to a peer in this state, and what follows that
    path; None where the other one answers.
    """
    for each in modules:
        if not each.shares or version not in each.versions:
            continue
        below = msgspec.structs.replace(each, path=each.shares).below(path)
        if below is not None and (state == READING or not _PARTY.match(below.lstrip("/"))):
            return each, below
    return None


def details(modules: Iterable[Module], root: str, version: str, state: str) -> dict[str, object]:
    """The version details for a peer in this state; `root` is our address, without a slash at its end."""
    told = [each for each in modules if version in each.versions and state in each.states]
    if version in ROLELESS:
        paths = {each.path for each in told}
        told = [each for each in told if each.shares not in paths]
    endpoints = [
        {"identifier": each.identifier, "url": f"{root}{PREFIX}/{version}/{each.path}"}
        | ({} if version in ROLELESS else {"role": each.role.value})
        for each in told
    ]
    return {"version": version, "endpoints": endpoints}
