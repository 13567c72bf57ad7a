"""Who may do what, as the store has it at one revision; each role takes what it needs of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ladestrom.core.access import Keyring
from ladestrom.model import Operator
from ladestrom.ports.charge_points import ChargePoint
from ladestrom.ports.peers import Peer
from ladestrom.ports.sources import SourceRecord
from ladestrom.ports.stores import Stores


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """Read at one time; what is written meanwhile has a later revision."""

    revision: int
    operators: Mapping[str, Operator]
    keyring: Keyring
    points: Sequence[ChargePoint]
    peers: Sequence[Peer]
    sources: Sequence[SourceRecord]


async def read(store: Stores, *, demo: bool) -> Rights:
    """What the store has now; in a demo, the key `demo` reads.

    Raises:
        NotReady: the store cannot be read.
    """
    revision = await store.revision()
    operators = {operator.name: operator for operator in await store.operators()}
    return Rights(
        revision=revision,
        operators=operators,
        keyring=Keyring(await store.keys(), operators.values(), demo=demo),
        points=await store.charge_points(),
        peers=await store.peers.every(),
        sources=await store.sources(),
    )
