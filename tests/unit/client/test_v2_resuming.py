"""A session of version 2 that goes on where another one stood, or gives up what it was told."""

from __future__ import annotations

import json
from typing import Any

from ladestrom.client.session import Phase, Session
from ladestrom.client.v2_events import Changed, Confirmed, Fault, FaultKind, Synced
from ladestrom.client.v2_session import V2Session
from ladestrom.model import Position

AT = "2026-11-22T10:00:00.000Z"


def row(evse: str, status: str = "AVAILABLE") -> dict[str, Any]:
    return {"station": "NOR_00001", "evse": evse, "status": status, "error": 0, "changed_at": AT}


def message(kind: str, seq: int, **members: Any) -> str:
    return json.dumps({"type": kind, "epoch": "k3v9q2xa", "seq": seq, **members})


def resumed() -> V2Session:
    session = V2Session(since=Position("k3v9q2xa", 7))
    assert session.since == "k3v9q2xa-7"
    session.open()
    return session


def test_it_asks_for_what_came_after_and_takes_it() -> None:
    session = resumed()
    told = session.receive(message("changes", 8, prev=7, changes=[row("NO*ABC*E1")]))
    assert isinstance(told, Changed)
    assert session.since == "k3v9q2xa-8"


def test_a_digest_is_not_compared_with_a_part_of_the_board_but_the_chain_is_checked() -> None:
    session = resumed()
    assert isinstance(session.receive(message("heartbeat", 9, prev=7, digest="deadbeef")), Confirmed)
    assert session.confirmed == 0
    told = session.receive(message("heartbeat", 12, prev=11, digest="deadbeef"))
    assert isinstance(told, Fault)
    assert told.kind is FaultKind.GAP


def test_from_a_snapshot_on_digests_are_compared_again() -> None:
    session = resumed()
    assert isinstance(
        session.receive(message("snapshot", 7, part=1, parts=1, evses=[row("NO*ABC*E1")])), Synced
    )
    told = session.receive(message("heartbeat", 7, prev=7, count=1, digest="deadbeef"))
    assert isinstance(told, Fault)
    assert told.kind is FaultKind.DIGEST


def test_what_is_given_up_is_asked_for_anew() -> None:
    session = resumed()
    session.forget()
    assert session.since is None
    told = session.receive(message("changes", 8, prev=7, changes=[row("NO*ABC*E1")]))
    assert isinstance(told, Fault), "a connection that was asked for before is of no use"


def test_a_session_of_version_1_that_gives_up_wants_a_snapshot_whatever_comes() -> None:
    session = Session()
    session.position = Position("k3v9q2xa", 7)
    session.open()
    assert session.phase is Phase.RESUMING
    session.forget()
    assert session.since is None
    update = {"uuid": "NOR_00001", "connectors": [{"status": 0, "error": 0, "timestamp": 1}]}
    told = session.receive(message("status:update", 8, data=update))
    assert getattr(told, "kind", "") == "update_before_snapshot"
