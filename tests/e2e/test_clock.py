"""The time of day may be set to anything while the server runs: what lasts lasts as long as before."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.e2e.serving import Serving, tick

E1 = "NO*ALF*E1333*1"
HOUR_MS = 3_600_000
SETTINGS = {
    "rules.stale_after_s": 3_600,
    "reports.idempotency_hours": 1,
    "keys.policy": "open",
    "keys.per_address_per_hour_max": 1,
    "page.visitors": "key",
}


class TimeOfDay:
    """Sets the clock of this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ns = time.time_ns
        self._by_ms = 0
        monkeypatch.setattr(time, "time_ns", lambda: self._ns() + self._by_ms * 1_000_000)

    def jump(self, ms: int) -> None:
        self._by_ms += ms


@pytest.mark.parametrize("hours", [3, -3])
def test_tickets_receipts_rates_and_sources_do_not_depend_on_the_time_of_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    clock = TimeOfDay(monkeypatch)
    with Serving(tmp_path, SETTINGS) as server:
        body = json.dumps([{"evse": E1, "status": "CHARGING", "observed_at": tick()}]).encode()
        once = {"Idempotency-Key": "one"}
        first = server.post(body, headers=once).json()
        ticket = server.request("POST", "/api/v2/tickets", headers=server.bearer()).json()["ticket"]
        assert server.request("POST", "/api/v2/keys", json={"name": "somebody"}).status_code == 201

        clock.jump(hours * HOUR_MS)

        assert server.post(body, headers=once).json() == first, "the receipt is kept for its hour"
        with server.stream(f"ticket={ticket}", key=None) as wire:
            assert wire.message()["type"] == "snapshot:init", "the ticket is good for its minute"
        refused = server.request("POST", "/api/v2/keys", json={"name": "somebody"})
        assert refused.status_code == 429, "an hour has not passed since the first one"
        assert 0 < int(refused.headers["retry-after"]) <= 3_600
        states = {each["source"]: each["state"] for each in sources(server)}
        assert states["alfa/plain"] == "fresh", "it was heard a moment ago"
        uptime_s = server.get("/api/v2/admin", key="admin").json()["uptime_s"]
        assert 0 <= uptime_s < 3_600


def sources(server: Serving) -> list[dict[str, str]]:
    found: list[dict[str, str]] = server.get("/api/v2/admin/sources", key="admin").json()["items"]
    return found
