"""NOBIL Real-time, made up, on loopback: an address for each connection, and messages as it is told.

    with Realtime() as service:
        service.ends.url            where a connection is asked for (POST)
        service.tell(nobilId="NOR_01342", evseUId="...", status="CHARGING")
        service.refuse(503)         what the next one who asks is told

Messages go to whoever is connected, as the service's do.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import Any, Self

from tests.e2e.answering import Answering, plain
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve


class Realtime:
    """NOBIL Real-time, made up: gives addresses for one connection each, and tells what it is told to."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.open: list[ServerConnection] = []
        self.paths: list[str] = []
        self.ends = Answering()
        self._server: Server = serve(self._serve, "127.0.0.1", 0)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.ends.__enter__()
        self.admit()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self.ends.__exit__(None, None, None)

    def admit(self) -> None:
        port = self._server.socket.getsockname()[1]

        def respond(asked: Any, send: Any) -> None:
            address = f"ws://127.0.0.1:{port}/once?access_token=s3cret-{len(self.paths)}"
            plain(200, json.dumps({"accessToken": address}).encode())(asked, send)

        self.ends.respond = respond

    def refuse(self, status: int) -> None:
        self.ends.say(status, body=b"{}")

    def tell(self, **change: str) -> None:
        self.tell_text(json.dumps(change))

    def tell_text(self, text: str) -> None:
        for connection in self.open[:]:
            with suppress(ConnectionClosed):
                connection.send(text)

    def drop(self) -> None:
        for connection in self.open[:]:
            connection.close()

    def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        self.open.append(connection)
        try:
            with suppress(ConnectionClosed):
                for _ in connection:
                    pass
        finally:
            self.open.remove(connection)
