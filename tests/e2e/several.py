"""A server of several processes for end-to-end tests, and a way to say which of them answers.

    with Several(tmp_path, readers=3) as server:
        with server.only("reader-2"):
            httpx2.get(f"{server.url}/livez")          # reader-2 has answered
        server.kill("writer")

All processes take connections from one socket, and nobody can choose. So `only` stops the others (SIGSTOP)
while connections are opened.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import httpx2
from tests.e2e.running import Running
from tests.e2e.serving import STATIONS, furnish
from tests.e2e.wire import Wire
from tests.patience import DEADLINE_S, until

from ladestrom.ports.registry import StationDraft

SERVES: Final = "a process serves"


class Several(Running):
    """One server, its keys and its processes."""

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, str] | None = None,
        *,
        readers: int = 2,
        stations: Sequence[StationDraft] = STATIONS,
    ) -> None:
        given = {"server.processes": str(readers + 1), "registry.poll_ms": "50", **(settings or {})}
        super().__init__(directory, given)
        made = furnish(self.data, stations)
        self.keys = {name: text for name, (text, _) in made.items()}
        self.key_ids = {name: key_id for name, (_, key_id) in made.items()}
        self.readers = [f"reader-{number}" for number in range(1, readers + 1)]

    def __enter__(self) -> Self:
        self.start()
        return self

    @property
    def pids(self) -> dict[str, int]:
        """Process id of each process that serves or has served, by its name: of the newest."""
        told = (json.loads(line) for line in list(self.output) if line.startswith("{"))
        return {each["process"]: each["pid"] for each in told if each["event"] == SERVES}

    def starts_of(self, name: str) -> int:
        """How often a process has been started."""
        return sum(SERVES in line and f'"{name}"' in line for line in list(self.output))

    def send(self, name: str, number: signal.Signals) -> None:
        """Sends a process a signal."""
        os.kill(self.pids[name], number)

    def kill(self, name: str) -> None:
        """Ends a process as a crash would, and waits until another one serves in its place."""
        starts = self.starts_of(name)
        self.send(name, signal.SIGKILL)
        self.started_again(name, starts)

    def started_again(self, name: str, starts: int) -> None:
        """Returns once a process has been started more often."""
        until(lambda: self.starts_of(name) > starts, f"{name} serves again")

    @contextlib.contextmanager
    def only(self, name: str) -> Iterator[None]:
        """Connections that are opened meanwhile are taken by this process."""
        others = [each for each in self.readers if each != name]
        for other in others:
            self.send(other, signal.SIGSTOP)
        try:
            yield
        finally:
            for other in others:
                self.send(other, signal.SIGCONT)

    def bearer(self, key: str = "stream") -> dict[str, str]:
        """Headers with one of the keys."""
        return {"Authorization": f"Bearer {self.keys[key]}"}

    def post(self, body: object, *, key: str = "alfa", **headers: str) -> httpx2.Response:
        """A delivery of reports over a connection of its own."""
        content = json.dumps(body).encode()
        return httpx2.post(
            f"{self.url}/api/v2/reports",
            content=content,
            headers={**self.bearer(key), **headers},
            timeout=DEADLINE_S,
        )

    def report(self, *items: Mapping[str, object]) -> dict[str, Any]:
        """A delivery that has to be taken: its receipt."""
        answer = self.post(list(items))
        assert answer.status_code == 200, answer.text
        receipt: dict[str, Any] = answer.json()
        return receipt

    def wire(self, target: str, headers: Mapping[str, str]) -> Wire:
        """A WebSocket, after its handshake."""
        wire = Wire(self.port)
        try:
            return wire.open(target, headers)
        except BaseException:
            wire.close()
            raise

    def metrics(self) -> str:
        """Those of all processes."""
        answer = httpx2.get(f"{self.url}/metrics", headers=self.bearer("admin"), timeout=DEADLINE_S)
        assert answer.status_code == 200, answer.text
        return answer.text

    def values(self, metric: str) -> dict[str, float]:
        """Of a metric without labels of its own, by process."""
        found = {}
        for line in self.metrics().splitlines():
            name, brace, rest = line.partition("{")
            if brace and name == metric:
                label, _, value = rest.partition("} ")
                process = label.split('process="')[1].partition('"')[0]
                found[process] = float(value)
        return found

    def in_step(self, seq: int) -> None:
        """Returns when all processes have served everything up to a sequence."""
        until(
            lambda: (
                set(self.values("ladestrom_stream_seq").values()) == {float(seq)}
                and len(self.values("ladestrom_stream_seq")) == len(self.readers) + 1
            ),
            f"all processes are at {seq}",
        )
