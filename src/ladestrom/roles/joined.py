"""What a process that only reads has of the one that writes: where the log stands, tickets, and all that it
does not answer itself.
"""

from __future__ import annotations

from functools import partial

from litestar import Litestar

from ladestrom.edges.cors import Headers
from ladestrom.edges.methods import Application
from ladestrom.edges.operations import METRICS_PATH
from ladestrom.inner.client import Inner
from ladestrom.inner.forwarding import Dispatch, Forwarding, Local
from ladestrom.inner.frames import KeyUse, Standing
from ladestrom.inner.link import Link, Ours
from ladestrom.inner.tickets import WritersTickets
from ladestrom.ports.log import FollowedElsewhere
from ladestrom.roles import listening
from ladestrom.roles.context import Context
from ladestrom.roles.following import Following
from ladestrom.roles.front import Front


class Joined:
    """Of one process."""

    def __init__(self, inner: str) -> None:
        """`inner`: the address of the process that writes."""
        self.inner = Inner(inner)
        self.tickets = WritersTickets(self.inner)
        self._link: Link | None = None

    def follow(
        self,
        name: str,
        context: Context,
        log: FollowedElsewhere | None,
        front: Front,
        following: Following,
    ) -> Link:
        """What hears of the writer, as the process `name`; it is to be run."""
        reader = front.reader

        def standing(number: int) -> Standing:
            stream = reader.stream
            uses = {}
            for key_id, use in context.door.uses.items():
                messages, size = stream.delivered(key_id)
                uses[key_id] = KeyUse(
                    requests=use.requests,
                    refused=use.refused,
                    connections=stream.by_key[key_id],
                    connections_total=use.connections,
                    messages=use.messages + messages,
                    bytes=use.bytes + size,
                )
            return Standing(
                number=number,
                process=name,
                seq=reader.view.seq,
                wants_heard=reader.broadcast.wanted,
                consumers=reader.broadcast.consumers,
                channels=reader.broadcast.channels,
                bytes_out=reader.broadcast.counts.bytes_out,
                frames=reader.broadcast.counts.frames,
                uses=uses,
            )

        self._link = Link(
            self.inner,
            log,
            Ours(
                process=name,
                listener=reader.broadcast,
                evse=reader.view.directory.holder,
                rights=following.take_rights,
                metrics=front.metrics.text,
                standing=standing,
            ),
        )
        for check in ("store", "log", "files"):
            # For alerts: the server is not ready where reports are not taken.
            front.watch.add(check, partial(self._link.reason, check))
        return self._link

    def application(self, web: Litestar, front: Front) -> Application:
        """What answers what this process can, and passes on all else."""
        stream = front.reader.stream
        here = listening.around(web, [], stream)

        def cors(path: str, origin: str | None) -> Headers:
            return stream.cors.headers(origin) if stream.cors.shares(path) else []

        paths = [route.path_format for route in web.routes]
        return Dispatch(
            Local(paths, (*front.reader.remembers, METRICS_PATH)),
            here,
            Forwarding(self.inner, cors, {METRICS_PATH: here}),
        )
