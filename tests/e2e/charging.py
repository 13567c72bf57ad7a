"""A charge point by hand, for tests: frames out, frames in, over a real socket.

with plugged(server, "CP1", "ocpp1.6") as cp:
    assert cp.call("Heartbeat", {})["currentTime"]
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from typing import Any, Final, Self

from tests.e2e.serving import Serving, now
from tests.e2e.wire import TEXT, Wire

from ladestrom.core.charge_points import enrol

STATION: Final = "NOR_01333"
"""Two EVSEs, the second with two connectors."""
FIRST: Final = "NO*ALF*E1333*1"
SECOND: Final = "NO*ALF*E1333*2"


def add(
    server: Serving,
    name: str,
    *,
    station: str = STATION,
    operator: str = "alfa",
    evses: Mapping[int, str] | None = None,
) -> str:
    """Adds a charge point to the store, and waits until the server knows it; its password."""
    password, point = enrol(
        secrets.token_bytes(20),
        charge_point=name,
        operator=operator,
        station=station,
        evses=evses or {},
        added_at=now(),
    )
    server.write(lambda store: store.put_charge_point(point))
    server.in_step()
    return password


def basic(name: str, password: str | bytes) -> dict[str, str]:
    """The header Authorization."""
    content = password.encode() if isinstance(password, str) else password
    return {"Authorization": f"Basic {base64.b64encode(name.encode() + b':' + content).decode()}"}


class Plugged(Wire):
    """A connected charge point."""

    is_published = False

    def __init__(
        self,
        server: Serving,
        name: str,
        password: str,
        subprotocols: str,
        *,
        offered: str = "",
        **options: Any,
    ) -> None:
        super().__init__(server.port, **options)
        self.asked: list[list[Any]] = []
        """Calls of the server."""
        self._calls = 0
        headers = basic(name, password)
        if subprotocols:
            headers["Sec-WebSocket-Protocol"] = subprotocols
        if offered:
            headers["Sec-WebSocket-Extensions"] = offered
        self.open(f"/ocpp/{name}", headers)

    def __enter__(self) -> Self:
        return self

    def say(self, message: object) -> None:
        """Sends a frame; text as it is, all else as JSON."""
        self.put(TEXT, (message if isinstance(message, str) else json.dumps(message)).encode())

    def hear(self) -> list[Any]:
        """The next frame that is no call of the server."""
        while True:
            frame: list[Any] = json.loads(self.text())
            if frame[0] != 2:
                return frame
            self.asked.append(frame)

    def question(self) -> list[Any]:
        """The next call of the server."""
        while not self.asked:
            frame = json.loads(self.text())
            assert frame[0] == 2, frame
            self.asked.append(frame)
        return self.asked.pop(0)

    def call(self, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """A call that has to succeed: what its result says."""
        kind, result = self.ask(action, payload)
        assert kind == 3, result
        found: dict[str, Any] = result[0]
        return found

    def ask(self, action: str, payload: object) -> tuple[int, list[Any]]:
        """A call, and what kind of answer it gets with what in it."""
        self._calls += 1
        name = f"call-{self._calls}"
        self.say([2, name, action, payload])
        answer = self.hear()
        assert answer[1] == name
        return answer[0], answer[2:]
