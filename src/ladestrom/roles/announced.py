"""What the process that writes tells the others of its server."""

from __future__ import annotations

from ladestrom.inner.service import Ours, Service
from ladestrom.roles.following import Following
from ladestrom.roles.front import Front
from ladestrom.roles.writing import Writing


def announced(writing: Writing, front: Front, following: Following, name: str) -> Service:
    """The service of the writer `name`, which hears what its own readers hear."""
    reader, hub = front.reader, writing.writer.hub
    service = Service(
        writing.log,
        reader.tickets,
        Ours(
            process=name,
            listener=reader.broadcast,
            cells=hub.board.cells,
            reasons=front.watch.readiness.reasons,
            metrics=front.metrics.text,
        ),
    )
    writing.writer.tell(service)
    writing.console.others = service
    following.taken = service.rights_changed
    front.metrics.of_all = service.metrics
    return service
