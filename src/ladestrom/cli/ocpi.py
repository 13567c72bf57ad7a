"""`ladestrom ocpi`: peers of OCPI. Invites them, registers with them, lists them, parts from them.

A token is printed once. Whoever has it speaks for its operator.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import App, Parameter

from ladestrom.cli.flags import NO_FLAGS
from ladestrom.cli.store import DATA_DEFAULT, DataDirectory, now, opened, print_table, shown
from ladestrom.config import Settings, load
from ladestrom.errors import BadRequest, Conflict, NotFound
from ladestrom.ingest.ocpi_calls import Calls
from ladestrom.ingest.ocpi_server import VERSIONS_PATH, digest, new_token
from ladestrom.ports import OcpiPeer
from ladestrom.protocols import ocpi, ocpi_credentials
from ladestrom.protocols.conversation import Answered, Ask

if TYPE_CHECKING:
    from ladestrom.backends.sql import SqlStore

ID_BYTES: Final = 5
TOKEN_CHARACTERS_MIN: Final = 16
"""Of a token that somebody else chose."""

app: Final = App(name="ocpi", help="Peers of OCPI: invite, register, fix, peers, renew, unregister.")

Meeting = Generator[Ask, Answered, tuple[ocpi_credentials.Introduction, ocpi_credentials.Credentials]]
PeerId = Annotated[str, Parameter(name="ID")]


@app.command
def invite(
    *,
    operator: str,
    config: Path | None = None,
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Make a token with which an operator's system may register, and print where: two lines, URL and token.

    The token is good for one registration and is not shown again.

    Args:
        operator: whose statuses the peer will report.
        config: settings file (TOML); LADESTROM_CONFIG where it is not given.
        data: directory of the log and the store.
    """
    token = new_token()
    peer = _new(operator, "invited", token)
    asyncio.run(_put(data, peer))
    print(f"{_our_url(_settings(config))}\n{token}", flush=True)
    _say(f"peer {peer.id} of {operator} is invited. The token is not shown again")


@app.command
def register(
    *,
    operator: str,
    url: str,
    token: Annotated[str, Parameter(env_var="LADESTROM_OCPI_TOKEN")],
    config: Path | None = None,
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Register with a peer that invited us. Our server has to run: the peer calls it back.

    Args:
        operator: whose statuses the peer will report.
        url: of the peer's versions.
        token: with which it invited us.
        config: settings file (TOML); LADESTROM_CONFIG where it is not given.
        data: directory of the log and the store.
    """
    if not ocpi.is_address(url) or not ocpi.is_token(token):
        raise BadRequest("--url is an http or https address, and --token 1 to 64 printable characters")
    settings = _settings(config)
    peer = asyncio.run(_register(data, settings, operator, url, token))
    _say(f"peer {peer.id} of {operator} is registered, with OCPI {peer.version}")


@app.command
def fix(
    *,
    operator: str,
    token: Annotated[str | None, Parameter(env_var="LADESTROM_OCPI_TOKEN")] = None,
    config: Path | None = None,
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Let a peer in with a token for good, without the module credentials; print URL and token.

    Args:
        operator: whose statuses the peer reports.
        token: that the peer will show; a new one where left out.
        config: settings file (TOML); LADESTROM_CONFIG where it is not given.
        data: directory of the log and the store.
    """
    given = new_token() if token is None else token
    if not ocpi.is_token(given) or len(given) < TOKEN_CHARACTERS_MIN:
        raise BadRequest(
            f"--token has {TOKEN_CHARACTERS_MIN} to {ocpi.TOKEN_CHARACTERS_MAX} printable characters of ASCII"
        )
    peer = _new(operator, "fixed", given)
    asyncio.run(_put(data, peer))
    print(f"{_our_url(_settings(config))}\n{given}", flush=True)
    _say(f"peer {peer.id} of {operator} may push with this token. It is not shown again")


@app.command
def peers(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Print all peers, without tokens.

    Args:
        as_json: prints a JSON list; instants are milliseconds since the Unix epoch.
        data: directory of the log and the store.
    """
    found = asyncio.run(_peers(data))
    if as_json:
        rows = [
            {
                name: value
                for name, value in msgspec.structs.asdict(peer).items()
                if name not in {"token_sha256", "their_token"}
            }
            for peer in found
        ]
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    print_table(
        ("ID", "OPERATOR", "STATE", "VERSION", "PARTIES", "MADE", "REGISTERED"),
        [
            (
                peer.id,
                peer.operator,
                peer.state,
                peer.version or "-",
                " ".join(sorted({party for _, party, _ in peer.roles})) or "-",
                shown(peer.made_at),
                shown(peer.registered_at),
            )
            for peer in found
        ],
    )


@app.command
def renew(peer_id: PeerId, /, *, config: Path | None = None, data: DataDirectory = DATA_DEFAULT) -> None:
    """Exchange new tokens with a registered peer, at the best version that both speak now.

    Our server has to run: the peer calls it back.

    Args:
        peer_id: its id, which `ocpi peers` shows.
        config: settings file (TOML); LADESTROM_CONFIG where it is not given.
        data: directory of the log and the store.
    """
    peer = asyncio.run(_renew(data, _settings(config), peer_id))
    _say(f"peer {peer.id} has new tokens, and speaks OCPI {peer.version}")


@app.command
def unregister(
    peer_id: PeerId,
    /,
    *,
    untold: Annotated[bool, Parameter(negative=())] = False,
    config: Path | None = None,
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Part from a peer: tell it, and forget it. Its token is good for nothing within a second.

    Args:
        peer_id: its id, which `ocpi peers` shows.
        untold: do not tell it, as it is gone.
        config: settings file (TOML); LADESTROM_CONFIG where it is not given.
        data: directory of the log and the store.
    """
    asyncio.run(_unregister(data, _settings(config), peer_id, told=not untold))
    _say(f"peer {peer_id} is forgotten; where it was its operator's last, its EVSEs are unknown")


async def _register(data: Path, settings: Settings, operator: str, url: str, token: str) -> OcpiPeer:
    ours = new_token()
    calling = _new(operator, "calling", ours)
    async with opened(data, make=False) as store:
        await store.peers.put(calling)
        try:
            conversation = ocpi_credentials.register(url, token, _own(settings), ours, _our_url(settings))
            return await _meet(store, settings, calling, conversation)
        except BaseException:
            await store.peers.drop(calling.id)
            raise


async def _renew(data: Path, settings: Settings, peer_id: str) -> OcpiPeer:
    async with opened(data, make=False) as store:
        peer = await _peer(store, peer_id)
        if peer.state != "registered" or peer.their_url is None or peer.their_token is None:
            raise Conflict(
                f"the peer {peer_id} is {peer.state}; only registered ones have tokens to exchange"
            )
        ours = new_token()
        calling = msgspec.structs.replace(
            _new(peer.operator, "calling", ours), version=peer.version, roles=peer.roles
        )
        await store.peers.put(calling)
        try:
            conversation = ocpi_credentials.renew(
                peer.their_url, peer.their_token, _own(settings), ours, _our_url(settings)
            )
            renewed = await _meet(store, settings, calling, conversation)
        except BaseException:
            await store.peers.drop(calling.id)
            raise
        await store.peers.drop(peer.id)
        return renewed


async def _meet(store: SqlStore, settings: Settings, calling: OcpiPeer, conversation: Meeting) -> OcpiPeer:
    met, said = await _calls(settings).run(conversation)
    registered = msgspec.structs.replace(
        calling,
        state="registered",
        their_token=said.token,
        their_url=said.url,
        version=met.version,
        endpoints=tuple((each.identifier, each.role or "", each.url) for each in met.endpoints),
        roles=tuple((role.role, role.party, role.name) for role in said.roles),
        registered_at=now(),
    )
    await store.peers.put(registered)
    return registered


async def _unregister(data: Path, settings: Settings, peer_id: str, *, told: bool) -> None:
    async with opened(data, make=False) as store:
        peer = await _peer(store, peer_id)
        if told and peer.state == "registered" and peer.their_token is not None:
            endpoints = tuple(ocpi.Endpoint(name, url, role) for name, role, url in peer.endpoints)
            await _calls(settings).run(
                ocpi_credentials.unregister(endpoints, peer.version or "", peer.their_token)
            )
        await store.peers.drop(peer.id)


async def _put(data: Path, peer: OcpiPeer) -> None:
    async with opened(data, make=False) as store:
        await store.peers.put(peer)


async def _peers(data: Path) -> list[OcpiPeer]:
    async with opened(data, make=False) as store:
        return list(await store.peers.every())


async def _peer(store: SqlStore, peer_id: str) -> OcpiPeer:
    for peer in await store.peers.every():
        if peer.id == peer_id:
            return peer
    raise NotFound(f"there is no peer {peer_id[:40]!r}; `ladestrom ocpi peers` shows the ids")


def _new(operator: str, state: str, token: str) -> OcpiPeer:
    return OcpiPeer(
        id=secrets.token_hex(ID_BYTES),
        operator=operator,
        state=state,
        token_sha256=digest(token),
        made_at=now(),
    )


def _settings(config: Path | None) -> Settings:
    return load(config, os.environ, NO_FLAGS).settings


def _our_url(settings: Settings) -> str:
    server = settings.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{server.url_public or f'http://{host}:{server.port}'}{VERSIONS_PATH}"


def _own(settings: Settings) -> ocpi_credentials.Self:
    own = settings.ocpi
    return ocpi_credentials.Self(own.country_code, own.party_id, own.name)


def _calls(settings: Settings) -> Calls:
    return Calls(now, anywhere=settings.ocpi.peers == "any")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
