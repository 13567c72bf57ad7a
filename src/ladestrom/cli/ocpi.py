"""`ladestrom ocpi`: OCPI peers. Invites them, registers with them, lists them, unregisters them.

A token is printed once. Anyone who has it can report for its operator.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Generator
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import msgspec
from cyclopts import App, Parameter

from ladestrom.cli.store import now, print_table, reading, shown, writing
from ladestrom.cli.where import NOT_GIVEN, Where, say
from ladestrom.config import Settings, special
from ladestrom.errors import BadRequest, Conflict, NotFound
from ladestrom.ingest.ocpi_calls import calls
from ladestrom.ingest.ocpi_peers import digest, new_token
from ladestrom.ingest.ocpi_registration import VERSIONS_PATH
from ladestrom.outbound.calls import Calls
from ladestrom.ports.calls import Answered, Ask
from ladestrom.ports.peers import Peer
from ladestrom.protocols import ocpi, ocpi_credentials
from ladestrom.quoting import quoted

if TYPE_CHECKING:
    from ladestrom.ports.stores import Stores

ID_BYTES: Final = 5
TOKEN_CHARACTERS_MIN: Final = 16
"""Of a token that somebody else chose."""

app: Final = App(name="ocpi", help="Manage OCPI peers.")

Meeting = Generator[Ask, Answered, tuple[ocpi_credentials.Introduction, ocpi_credentials.Credentials]]
PeerId = Annotated[str, Parameter(name="ID")]


@app.command
def invite(*, operator: str, where: Where = NOT_GIVEN) -> None:
    """Create a token with which a peer can register.

    Print two lines: the URL of this server's versions endpoint, and the token. The token can be used for one
    registration. It is shown only once: store it.

    Args:
        operator: Operator whose statuses the peer will report.
        where: Options of every command.
    """
    token = new_token()
    peer = _new(operator, "invited", token)
    asyncio.run(_put(where, peer))
    print(f"{_our_url(where)}\n{token}", flush=True)
    say(f"peer {peer.id} of {operator} is invited. The token is not shown again")


@app.command
def register(*, operator: str, url: str, token: str | None = None, where: Where = NOT_GIVEN) -> None:
    """Register with a peer that invited us. Our server must be running: the peer calls it back.

    Args:
        operator: Operator whose statuses the peer will report.
        url: URL of the peer's versions endpoint.
        token: Token from the peer's invitation. Default: LADESTROM_OCPI_TOKEN.
        where: Options of every command.
    """
    given = token or special(os.environ, "LADESTROM_OCPI_TOKEN")
    if given is None:
        raise BadRequest("the token of the invitation is missing; use --token or LADESTROM_OCPI_TOKEN")
    if not ocpi.is_address(url):
        raise BadRequest("--url must be an http or https address")
    if not ocpi.is_token(given):
        raise BadRequest(f"--token must have 1 to {ocpi.TOKEN_CHARACTERS_MAX} printable ASCII characters")
    peer = asyncio.run(_register(where, operator, url, given))
    say(f"peer {peer.id} of {operator} is registered, with OCPI {peer.version}")


@app.command
def fix(*, operator: str, token: str | None = None, where: Where = NOT_GIVEN) -> None:
    """Create a permanent token, with which a peer can push without registering.

    Print two lines: the URL of this server's versions endpoint, and the token. The token is shown only once:
    store it.

    Args:
        operator: Operator whose statuses the peer reports.
        token: Token that the peer will use. Default: LADESTROM_OCPI_TOKEN, else a new one.
        where: Options of every command.
    """
    given = token or special(os.environ, "LADESTROM_OCPI_TOKEN") or new_token()
    if not ocpi.is_token(given) or len(given) < TOKEN_CHARACTERS_MIN:
        raise BadRequest(
            f"--token must have {TOKEN_CHARACTERS_MIN} to {ocpi.TOKEN_CHARACTERS_MAX} printable ASCII "
            "characters"
        )
    peer = _new(operator, "fixed", given)
    asyncio.run(_put(where, peer))
    print(f"{_our_url(where)}\n{given}", flush=True)
    say(f"peer {peer.id} of {operator} may push with this token. The token is not shown again")


@app.command
def peers(*, as_json: Annotated[bool, Parameter(name="--json")] = False, where: Where = NOT_GIVEN) -> None:
    """List all peers, without tokens.

    Args:
        as_json: Print a JSON list. Times are milliseconds since 1970.
        where: Options of every command.
    """
    found = asyncio.run(_peers(where))
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
def renew(peer_id: PeerId, /, *, where: Where = NOT_GIVEN) -> None:
    """Exchange new tokens with a registered peer, and use the newest version that both sides support.

    Our server must be running: the peer calls it back.

    Args:
        peer_id: Id of the peer; `ladestrom ocpi peers` shows it.
        where: Options of every command.
    """
    peer = asyncio.run(_renew(where, peer_id))
    say(f"peer {peer.id} has new tokens and uses OCPI {peer.version}")


@app.command
def unregister(peer_id: PeerId, /, *, no_notify: bool = False, where: Where = NOT_GIVEN) -> None:
    """Unregister from a peer and remove it. A running server rejects its token within a second.

    Args:
        peer_id: Id of the peer; `ladestrom ocpi peers` shows it.
        no_notify: Do not notify the peer, for example because it no longer exists.
        where: Options of every command.
    """
    asyncio.run(_unregister(where, peer_id, notify=not no_notify))
    say(f"peer {peer_id} is removed. If its operator has no other peer, its EVSEs become UNKNOWN")


async def _register(where: Where, operator: str, url: str, token: str) -> Peer:
    settings, ours = where.settings(), new_token()
    calling = _new(operator, "calling", ours)
    async with writing(where) as store:
        await store.peers.put(calling)
        try:
            conversation = ocpi_credentials.register(url, token, _own(settings), ours, _our_url(where))
            return await _meet(store, settings, calling, conversation)
        except BaseException:
            await store.peers.drop(calling.id)
            raise


async def _renew(where: Where, peer_id: str) -> Peer:
    settings = where.settings()
    async with writing(where) as store:
        peer = await _peer(store, peer_id)
        if peer.state != "registered" or peer.their_url is None or peer.their_token is None:
            raise Conflict(
                f"the peer {peer_id} is {peer.state}; only registered peers have tokens to exchange"
            )
        ours = new_token()
        calling = msgspec.structs.replace(
            _new(peer.operator, "calling", ours), version=peer.version, roles=peer.roles
        )
        await store.peers.put(calling)
        try:
            conversation = ocpi_credentials.renew(
                peer.their_url, peer.their_token, _own(settings), ours, _our_url(where)
            )
            renewed = await _meet(store, settings, calling, conversation)
        except BaseException:
            await store.peers.drop(calling.id)
            raise
        await store.peers.drop(peer.id)
        return renewed


async def _meet(store: Stores, settings: Settings, calling: Peer, conversation: Meeting) -> Peer:
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


async def _unregister(where: Where, peer_id: str, *, notify: bool) -> None:
    settings = where.settings()
    async with writing(where) as store:
        peer = await _peer(store, peer_id)
        if notify and peer.state == "registered" and peer.their_token is not None:
            endpoints = tuple(ocpi.Endpoint(name, url, role) for name, role, url in peer.endpoints)
            await _calls(settings).run(
                ocpi_credentials.unregister(endpoints, peer.version or "", peer.their_token)
            )
        await store.peers.drop(peer.id)


async def _put(where: Where, peer: Peer) -> None:
    async with writing(where) as store:
        await store.peers.put(peer)


async def _peers(where: Where) -> list[Peer]:
    async with reading(where) as store:
        return list(await store.peers.every())


async def _peer(store: Stores, peer_id: str) -> Peer:
    for peer in await store.peers.every():
        if peer.id == peer_id:
            return peer
    raise NotFound(f"there is no peer {quoted(peer_id)}; `ladestrom ocpi peers` shows the ids")


def _new(operator: str, state: str, token: str) -> Peer:
    return Peer(
        id=secrets.token_hex(ID_BYTES),
        operator=operator,
        state=state,
        token_sha256=digest(token),
        made_at=now(),
    )


def _our_url(where: Where) -> str:
    """Where peers find our versions; warns of an address that they cannot reach."""
    found, is_running = where.addresses()
    if not is_running and not where.settings().server.url_public:
        say(
            f"no server runs on this data directory now; {found.public} is the address that its settings give"
        )
    if _is_local(urlsplit(found.public).hostname or ""):
        say("warning: only programs on this machine reach that address; set server.url_public")
    return f"{found.public}{VERSIONS_PATH}"


def _is_local(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


def _own(settings: Settings) -> ocpi_credentials.Self:
    own = settings.ocpi
    return ocpi_credentials.Self(own.country_code, own.party_id, own.name)


def _calls(settings: Settings) -> Calls:
    return calls(now, anywhere=settings.ocpi.peers == "any")
