"""Peers of OCPI and their Locations, on the database of the store.

Knows rows. Must not know what a Location means, nor the tokens that peers show us: it gets their SHA-256.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select, update

from ladestrom.backends import operators, registry
from ladestrom.backends.database import Database
from ladestrom.backends.tables import ocpi_locations, ocpi_peers
from ladestrom.errors import Conflict, NotFound
from ladestrom.model import Millis
from ladestrom.ports.peers import Peer
from ladestrom.quoting import quoted

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncConnection

_Triples = tuple[tuple[str, str, str], ...]
_decode_triples = msgspec.json.Decoder(_Triples).decode
_encode = msgspec.json.Encoder().encode


class SqlPeers:
    """Implements `ports.Peers`. Each operation may raise `NotReady` too: the database cannot be used now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def every(self) -> Sequence[Peer]:
        """All of them, the oldest first."""
        query = select(ocpi_peers).order_by(ocpi_peers.c.made_at, ocpi_peers.c.id)

        async def fetch(connection: AsyncConnection) -> list[Peer]:
            return [
                Peer(
                    id=row.id,
                    operator=row.operator,
                    state=row.state,
                    token_sha256=bytes(row.token_sha256),
                    made_at=row.made_at,
                    their_token=row.their_token,
                    their_url=row.their_url,
                    version=row.version,
                    endpoints=_decode_triples(row.endpoints),
                    roles=_decode_triples(row.roles),
                    registered_at=row.registered_at,
                )
                for row in await connection.execute(query)
            ]

        return await self._database.read(fetch)

    async def put(self, peer: Peer, *, instead_of: bytes | None = None) -> None:
        """Adds the peer or replaces it; with `instead_of`, only where that is still its token's SHA-256.

        Raises:
            NotFound: its operator does not exist.
            Conflict: its token is another by now.
        """
        row = {
            **msgspec.structs.asdict(peer),
            "endpoints": _encode(peer.endpoints).decode(),
            "roles": _encode(peer.roles).decode(),
        }
        replacing = update(ocpi_peers).where(ocpi_peers.c.id == peer.id)
        if instead_of is not None:
            replacing = replacing.where(ocpi_peers.c.token_sha256 == instead_of)

        async def write(connection: AsyncConnection) -> None:
            revision = await registry.current_revision(connection, lock=True) + 1
            await operators.require(connection, peer.operator)
            replaced = await connection.execute(replacing.values(row))
            if not replaced.rowcount:
                if instead_of is not None:
                    raise Conflict("the peer has a different token in the meantime")
                await connection.execute(insert(ocpi_peers).values(row))
            await registry.set_revision(connection, revision)

        await self._database.write(write)

    async def drop(self, peer_id: str) -> None:
        """Forgets the peer.

        Raises:
            NotFound: no peer has this id.
        """

        async def write(connection: AsyncConnection) -> None:
            revision = await registry.current_revision(connection, lock=True) + 1
            dropped = await connection.execute(delete(ocpi_peers).where(ocpi_peers.c.id == peer_id))
            if not dropped.rowcount:
                raise NotFound(
                    f"there is no peer {quoted(peer_id, 40)}; `ladestrom ocpi peers` shows the ids"
                )
            await registry.set_revision(connection, revision)

        await self._database.write(write)

    async def location(self, operator: str, location_id: str) -> bytes | None:
        """A Location of an operator as it was stored, by `NO*ABC*LOC1`; None where there is none."""
        query = select(ocpi_locations.c.document).where(
            ocpi_locations.c.operator == operator, ocpi_locations.c.id == location_id
        )

        async def fetch(connection: AsyncConnection) -> bytes | None:
            row = (await connection.execute(query)).first()
            return None if row is None else bytes(row.document)

        return await self._database.read(fetch)

    async def locations(
        self, operator: str, after: str = "", count_max: int = 1_000
    ) -> Sequence[tuple[str, bytes]]:
        """The next Locations of an operator and their ids, in the order of these, behind the id `after`."""
        columns = ocpi_locations.c
        query = select(columns.id, columns.document).where(columns.operator == operator, columns.id > after)
        return await self._found(query.order_by(columns.id).limit(count_max))

    async def some_locations(self, operator: str, location_ids: Sequence[str]) -> Mapping[str, bytes]:
        """Those of some Locations of an operator that there are, by their ids; at most 1,000."""
        columns = ocpi_locations.c
        query = select(columns.id, columns.document).where(
            columns.operator == operator, columns.id.in_(location_ids)
        )
        return dict(await self._found(query))

    async def _found(self, query: Select[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        async def fetch(connection: AsyncConnection) -> list[tuple[str, bytes]]:
            return [(row.id, bytes(row.document)) for row in await connection.execute(query)]

        return await self._database.read(fetch)

    async def stored_bytes(self, operator: str) -> int:
        """What all Locations of an operator take."""
        size = func.coalesce(func.sum(func.length(ocpi_locations.c.document)), 0)
        query = select(size).where(ocpi_locations.c.operator == operator)

        async def fetch(connection: AsyncConnection) -> int:
            return int((await connection.execute(query)).scalar_one())

        return await self._database.read(fetch)

    async def put_locations(self, documents: Mapping[tuple[str, str], bytes], now: Millis) -> None:
        """Stores Locations, by operator and id. Does not count as a new revision."""
        replacing = update(ocpi_locations).where(
            ocpi_locations.c.operator == bindparam("owner"), ocpi_locations.c.id == bindparam("which")
        )

        async def write(connection: AsyncConnection) -> None:
            new = []
            for (operator, location_id), document in documents.items():
                values = {"document": document, "changed_at": now}
                replaced = await connection.execute(
                    replacing.values(values), {"owner": operator, "which": location_id}
                )
                if not replaced.rowcount:
                    new.append({"operator": operator, "id": location_id, **values})
            if new:
                await connection.execute(insert(ocpi_locations), new)

        await self._database.write(write)
