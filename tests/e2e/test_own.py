"""What an operator sees with its key: its own EVSEs, its rights, and what it was refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.serving import Serving, now, tick

from ladestrom.core.access import operator_from
from ladestrom.ingest.refusals import ITEMS_MAX, PER_OPERATOR_MAX, Refusals
from ladestrom.model import Position, Reason, Receipt, Refusal
from ladestrom.protocols.delivery import Delivery

E1 = "NO*ALF*E1333*1"
SWEDISH = "SE*BET*E7*1"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as running:
        yield running


def told(server: Serving, path: str, key: str) -> Any:
    answer = server.get(path, key=key)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def ids(server: Serving, key: str) -> set[str]:
    """EVSEs of all pages of the list."""
    found: set[str] = set()
    cursor = ""
    while True:
        page = server.get(f"/api/v2/evses?limit=1{cursor}", key=key).json()
        found |= {row["evse"] for row in page["items"]}
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def test_a_key_that_reports_lists_what_its_operator_may_report_on_and_nothing_else(server: Serving) -> None:
    everything = ids(server, "stream")
    alfa, beta = ids(server, "alfa"), ids(server, "beta")
    assert E1 in alfa
    assert SWEDISH in beta
    assert alfa.isdisjoint(beta)
    assert alfa | beta == everything
    assert ids(server, "both") == everything
    stations = told(server, "/api/v2/stations", "alfa")["items"]
    assert {evse["evse"] for row in stations for evse in row["evses"]} == alfa
    assert told(server, f"/api/v2/evses?evse={SWEDISH}", "alfa")["items"] == []


def test_rights_that_were_taken_away_are_not_seen_any_more(server: Serving) -> None:
    assert SWEDISH in ids(server, "beta")
    server.write(lambda store: store.put_operator(operator_from("beta", parties=["DK*BET"]), now()))
    server.in_step()
    assert SWEDISH not in ids(server, "beta")


def test_an_operator_sees_its_rights_and_what_they_cover(server: Serving) -> None:
    server.report(
        {"evse": E1, "status": "CHARGING", "observed_at": tick()}, {"evse": "x", "status": "CHARGING"}
    )
    found = told(server, "/api/v2/operators/self", "alfa")
    assert (found["operator"], found["parties"], found["prefixes"]) == ("alfa", ["NOALF"], ["NOR_01523"])
    assert found["evses"] == len(ids(server, "alfa"))
    assert found["stale_after_s"] == 86_400
    assert found["freshness"]["operator"] == "alfa"
    assert (found["freshness"]["reports"], found["freshness"]["refused"]) == (2, {"unknown_evse": 1})


def test_what_was_refused_can_be_looked_up_by_the_operator_and_by_the_administrator(server: Serving) -> None:
    path = "/api/v2/operators/self/refusals"
    assert told(server, path, "alfa") == {"items": []}
    server.report(
        {"evse": E1, "status": "no word"},
        {"evse": "NO*ALF*E404", "status": "CHARGING"},
        {"evse": E1, "status": "CHARGING", "observed_at": tick()},
        {"status": "CHARGING"},
        {"evse": SWEDISH, "status": "CHARGING"},
    )
    server.report({"evse": E1, "status": "CHARGING"}, key="beta")
    rows = told(server, path, "alfa")["items"]
    assert [(row["index"], row["item"], row["reason"]) for row in rows] == [
        (4, SWEDISH, "not_allowed"),
        (3, None, "invalid_item"),
        (1, "NO*ALF*E404", "unknown_evse"),
        (0, None, "invalid_status"),
    ]
    assert {(row["operator"], row["protocol"]) for row in rows} == {("alfa", "plain")}
    assert all(row["at"].endswith("Z") for row in rows)
    assert len(told(server, path, "beta")["items"]) == 1
    everyone = told(server, "/api/v2/admin/refusals", "admin")["items"]
    assert [row["operator"] for row in everyone] == ["beta", *["alfa"] * 4]
    assert len(told(server, "/api/v2/admin/refusals?operator=beta", "admin")["items"]) == 1
    assert server.get("/api/v2/admin/refusals", key="alfa").status_code == 403
    server.post([{"evse": "y", "status": "CHARGING"}], path="/api/v2/reports?dry_run=1")
    assert len(told(server, path, "alfa")["items"]) == 4


def refused(count: int) -> tuple[Delivery, Receipt]:
    refusals = [Refusal(index, Reason.INVALID_ITEM, "x" * 1_000) for index in range(count)]
    return Delivery(reports=[], refused=refusals), Receipt(0, 0, tuple(refusals), Position("e", 1))


def test_of_refusals_the_last_thousand_of_each_operator_are_kept_and_never_too_many_of_all() -> None:
    kept = Refusals(lambda: 1_000)
    kept.note("a", "plain", *refused(PER_OPERATOR_MAX + 500))
    found = list(kept.of("a"))
    assert len(found) == PER_OPERATOR_MAX
    assert (found[0].index, found[-1].index) == (PER_OPERATOR_MAX + 499, 500)
    assert len(found[0].detail) == 300
    for number in range(ITEMS_MAX // PER_OPERATOR_MAX + 5):
        kept.note(f"o{number}", "plain", *refused(PER_OPERATOR_MAX))
    assert sum(1 for _ in kept.every()) == ITEMS_MAX
    assert list(kept.of("a")) == []
