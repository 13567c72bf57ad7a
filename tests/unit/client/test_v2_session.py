"""What a consumer of version 2 makes of messages: one fold, and a name for everything that no server may say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest
from tests.digests import digest

from ladestrom.client import v2_session
from ladestrom.client.v2_events import (
    Changed,
    Confirmed,
    Ended,
    EvseState,
    Fault,
    FaultKind,
    Greeted,
    Leaving,
    Noted,
    Refused,
    Reset,
    Selected,
    Synced,
)
from ladestrom.client.v2_session import SELECTS_MAX, Mode, V2Session
from ladestrom.errors import BadRequest, TooManyRequests
from ladestrom.model import Position

AT: Final = "2026-11-22T10:00:00.000Z"
LATER: Final = "2026-11-22T10:00:01.000Z"


def row(evse: str, status: str = "AVAILABLE", at: str | None = AT, error: int = 0) -> dict[str, object]:
    return {"station": "NOR_00001", "evse": evse, "status": status, "error": error, "changed_at": at}


def part(seq: int, number: int, of: int, *rows: Mapping[str, object], epoch: str = "e1") -> dict[str, Any]:
    return {"type": "snapshot", "epoch": epoch, "seq": seq, "part": number, "parts": of, "evses": rows}


def snapshot(seq: int, *rows: Mapping[str, object], epoch: str = "e1") -> dict[str, Any]:
    return part(seq, 1, 1, *rows, epoch=epoch)


def changes(prev: int, seq: int, *rows: Mapping[str, object], epoch: str = "e1") -> dict[str, Any]:
    return {"type": "changes", "epoch": epoch, "prev": prev, "seq": seq, "changes": rows}


def heartbeat(prev: int, seq: int, *rows: Mapping[str, Any]) -> dict[str, Any]:
    said = digest((each["evse"], each["status"], each["error"], each["changed_at"]) for each in rows)
    return {
        "type": "heartbeat",
        "epoch": "e1",
        "prev": prev,
        "seq": seq,
        "count": len(rows),
        "digest": said,
    }


def tell(session: V2Session, *messages: Mapping[str, Any]) -> Any:
    """Tells it all of these; what the last one meant."""
    event: Any = None
    for message in messages:
        event = session.receive(json.dumps(message).encode())
    return event


def opened(mode: Mode = Mode.LATEST, **selection: str) -> V2Session:
    session = V2Session(selection, mode=mode)
    session.open()
    return session


def statuses(session: V2Session) -> dict[str, str]:
    return {each.evse: each.status for each in session.board.values()}


E1: Final = row("NO*A*E1")
E2: Final = row("NO*A*E2")
BUSY: Final = row("NO*A*E1", "CHARGING", LATER)


# -- the fold ------------------------------------------------------------------------------------------------


def test_a_snapshot_is_taken_when_its_last_part_came() -> None:
    session = opened()
    assert tell(session, part(7, 1, 2, E1)) == Noted("snapshot")
    assert (session.board, session.since) == ({}, None)
    assert tell(session, part(7, 2, 2, E2)) == Synced(Position("e1", 7), [], [])
    assert list(session.board) == ["NO*A*E1", "NO*A*E2"]
    assert session.since == "e1-7"


def test_an_empty_snapshot_is_one() -> None:
    session = opened()
    assert isinstance(tell(session, snapshot(0)), Synced)
    assert isinstance(tell(session, heartbeat(0, 0)), Confirmed)


def test_half_a_snapshot_is_void_on_the_next_connection() -> None:
    session = opened()
    tell(session, part(7, 1, 2, E1))
    session.lose(0.0)
    session.open()
    assert tell(session, part(7, 2, 2, E2)).kind is FaultKind.GAP


def test_of_half_a_snapshot_that_was_given_up_the_rest_is_no_snapshot() -> None:
    session = opened()
    tell(session, part(7, 1, 2, E1))
    session.forget()
    assert tell(session, part(7, 2, 2, E2)).kind is FaultKind.GAP


def test_the_last_part_of_a_snapshot_costs_no_more_than_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened()
    tell(session, snapshot(1, *(row(f"NO*A*E{number}") for number in range(200))))
    hashed = 0
    term = v2_session._term

    def counted(each: EvseState) -> int:
        nonlocal hashed
        hashed += 1
        return term(each)

    monkeypatch.setattr(v2_session, "_term", counted)
    counts = []
    for number in range(1, 11):
        before = hashed
        rows = (row(f"NO*A*E{10 * number + place}", "CHARGING") for place in range(10))
        event = tell(session, part(9, number, 10, *rows))
        counts.append(hashed - before)
    assert counts == [10] * 10
    assert (len(event.missed), len(event.gone)) == (100, 100)


def test_an_evse_that_stands_in_a_snapshot_twice_counts_once() -> None:
    session = opened()
    tell(session, part(7, 1, 2, E1, E2), part(7, 2, 2, BUSY))
    assert isinstance(tell(session, heartbeat(7, 7, BUSY, E2)), Confirmed)


def test_a_later_snapshot_says_what_was_missed_and_what_has_gone() -> None:
    session = opened()
    tell(session, snapshot(1, E1, E2))
    event = tell(session, {"type": "reset", "reason": "epoch"}, snapshot(1, BUSY, row("NO*A*E3"), epoch="e2"))
    assert [each.evse for each in event.missed] == ["NO*A*E1", "NO*A*E3"]
    assert [each.evse for each in event.gone] == ["NO*A*E2"]
    assert statuses(session) == {"NO*A*E1": "CHARGING", "NO*A*E3": "AVAILABLE"}


def test_a_change_replaces_what_was_known_under_any_form_of_the_id() -> None:
    session = opened()
    event = tell(session, snapshot(1, E1), changes(1, 4, row("noae1", "BLOCKED")))
    assert isinstance(event, Changed)
    assert event.position == Position("e1", 4)
    assert statuses(session) == {"noae1": "BLOCKED"}
    assert isinstance(tell(session, heartbeat(4, 4, row("noae1", "BLOCKED"))), Confirmed)


@pytest.mark.parametrize("status", ["REMOVED", "PLANNED"])
def test_what_is_not_part_of_the_state_leaves_the_board(status: str) -> None:
    session = opened()
    tell(session, snapshot(1, E1, E2), changes(1, 2, row("NO*A*E1", status), row("NO*A*E9", status)))
    assert statuses(session) == {"NO*A*E2": "AVAILABLE"}
    assert isinstance(tell(session, heartbeat(2, 2, E2)), Confirmed)


def test_with_a_filter_on_status_a_change_may_lead_out_and_back() -> None:
    session = opened(status="available, Blocked")
    tell(session, snapshot(1, E1), changes(1, 2, BUSY))
    assert session.board == {}
    tell(session, changes(2, 3, row("NO*A*E1", "BLOCKED")))
    assert statuses(session) == {"NO*A*E1": "BLOCKED"}


def test_a_heartbeat_confirms_the_board_and_moves_the_position() -> None:
    session = opened()
    never = row("NO*A*E3", "UNKNOWN", None, error=1)
    assert tell(session, snapshot(1, E1, never), heartbeat(1, 9, E1, never)) == Confirmed(Position("e1", 9))
    assert (session.since, session.confirmed) == ("e1-9", 1)


# -- batches in several messages -----------------------------------------------------------------------------


def test_who_wants_the_newest_state_takes_each_part_of_a_batch_and_moves_with_the_last() -> None:
    session = opened()
    event = tell(session, snapshot(1, E1, E2), changes(1, 1, BUSY))
    assert event == Changed(Position("e1", 1), event.rows)
    assert statuses(session)["NO*A*E1"] == "CHARGING"
    tell(session, changes(1, 5, row("NO*A*E2", "BLOCKED")))
    assert session.since == "e1-5"


def test_who_wants_every_change_is_told_a_batch_as_a_whole() -> None:
    session = opened(Mode.EVERY)
    assert tell(session, snapshot(1, E1, E2), changes(1, 1, BUSY)) == Noted("changes")
    assert statuses(session)["NO*A*E1"] == "AVAILABLE"
    event = tell(session, changes(1, 5, row("NO*A*E2", "BLOCKED")))
    assert [each.status for each in event.rows] == ["CHARGING", "BLOCKED"]
    assert event.position == Position("e1", 5)


def test_half_a_batch_is_told_again_and_only_once() -> None:
    session = opened(Mode.EVERY)
    tell(session, snapshot(1, E1, E2), changes(1, 1, BUSY))
    session.lose(0.0)
    assert session.since == "e1-1"
    session.open()
    event = tell(session, changes(1, 1, BUSY), changes(1, 5, row("NO*A*E2", "BLOCKED")))
    assert len(event.rows) == 2


def test_a_heartbeat_ends_a_batch_that_has_no_position_of_its_own() -> None:
    session = opened(Mode.EVERY)
    event = tell(session, snapshot(1, E1), changes(1, 1, BUSY), heartbeat(1, 1, BUSY))
    assert [each.status for each in event.rows] == ["CHARGING"]
    assert event.position == Position("e1", 1)
    assert session.confirmed == 1


def test_a_heartbeat_that_says_otherwise_of_the_batch_before_it_is_a_fault() -> None:
    session = opened(Mode.EVERY)
    event = tell(session, snapshot(1, E1), changes(1, 1, BUSY), heartbeat(1, 1, E1))
    assert event.kind is FaultKind.DIGEST


# -- faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (changes(6, 8), FaultKind.GAP),
        (changes(8, 9), FaultKind.GAP),
        (changes(7, 6), FaultKind.BACKWARDS),
        (changes(7, 8, epoch="e2"), FaultKind.OTHER_EPOCH),
        (changes(-1, 8), FaultKind.MALFORMED),
        (changes(7, -1), FaultKind.MALFORMED),
        (changes(7, 8, epoch=""), FaultKind.MALFORMED),
        (heartbeat(6, 8, E1), FaultKind.GAP),
        (heartbeat(7, 7), FaultKind.DIGEST),
        ({**heartbeat(7, 7, E1), "digest": ""}, FaultKind.DIGEST),
        ({**heartbeat(7, 7, E1), "count": 2}, FaultKind.DIGEST),
        (snapshot(6, E1), FaultKind.BACKWARDS),
        (snapshot(8, E1, epoch="e2"), FaultKind.OTHER_EPOCH),
        (part(8, 2, 2, E1), FaultKind.GAP),
        (part(8, 0, 2, E1), FaultKind.MALFORMED),
        (part(8, 3, 2, E1), FaultKind.MALFORMED),
        ({"type": "changes", "changes": 5}, FaultKind.MALFORMED),
        ({"type": "close", "code": "four"}, FaultKind.MALFORMED),
        ({"seq": 8}, FaultKind.MALFORMED),
    ],
)
def test_what_no_server_may_say_is_a_fault_after_which_a_snapshot_is_asked_for(
    message: Mapping[str, Any], kind: FaultKind
) -> None:
    session = opened()
    event = tell(session, snapshot(7, E1), message)
    assert isinstance(event, Fault)
    assert event.kind is kind
    assert session.since is None


@pytest.mark.parametrize("message", [changes(0, 1, E1), heartbeat(0, 0)])
def test_what_comes_before_any_state_is_a_fault(message: Mapping[str, Any]) -> None:
    assert tell(opened(), message).kind is FaultKind.CHANGES_BEFORE_STATE


@pytest.mark.parametrize("message", [b"", b"{", b"[]", b"\xff", b'{"type":"\xff"}', b"[" * 100_000])
def test_what_is_no_message_is_a_fault_and_nothing_raises(message: bytes) -> None:
    event = opened().receive(message)
    assert isinstance(event, Fault)
    assert event.kind is FaultKind.MALFORMED


def test_snapshots_and_batches_are_held_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2_session, "HELD_ROWS_MAX", 2)
    session = opened(Mode.EVERY)
    assert tell(session, part(7, 1, 2, E1, E2), part(7, 2, 2, E1)).kind is FaultKind.TOO_LARGE
    session.open()
    event = tell(session, snapshot(7), changes(7, 7, E1, E2), changes(7, 7, E1))
    assert event.kind is FaultKind.TOO_LARGE


# -- everything else that is said ------------------------------------------------------------------------------


def test_the_server_introduces_itself_and_says_how_often_it_will_be_heard() -> None:
    session = opened()
    hello = {
        "type": "hello",
        "server": "s/1",
        "licence": "l",
        "attribution": "a",
        "limits": {"heartbeat_s": 5},
    }
    assert tell(session, hello) == Greeted("s/1", "l", "a")
    assert session.heartbeat_s == 5
    tell(session, {**hello, "limits": {"heartbeat_s": 0}})
    assert session.heartbeat_s == 5


def test_members_and_types_that_a_later_server_adds_do_no_harm() -> None:
    session = opened()
    tell(session, {**snapshot(7, {**E1, "colour": "green"}), "more": []})
    assert tell(session, {"type": "weather", "seq": 99}) == Noted("weather")
    assert session.since == "e1-7"


def test_a_reset_makes_the_next_snapshot_the_truth() -> None:
    session = opened()
    reset = {"type": "reset", "epoch": "e2", "reason": "epoch"}
    assert tell(session, snapshot(7, E1), reset) == Reset("epoch")
    assert session.since is None
    assert isinstance(tell(session, snapshot(2, E2, epoch="e2")), Synced)


def test_an_end_is_told_with_its_code() -> None:
    end = {"type": "close", "code": 4108, "reason": "too slow"}
    assert tell(opened(), end) == Ended(4108, "too slow")


# -- selections ------------------------------------------------------------------------------------------------


def test_a_selection_holds_from_the_answer_on() -> None:
    session = opened(country="NOR")
    tell(session, snapshot(7, E1))
    assert json.loads(session.select({"country": "SWE", "station": " "})) == {
        "type": "select",
        "country": "SWE",
    }
    assert session.selection == {"country": "NOR"}
    assert isinstance(tell(session, changes(7, 8, BUSY)), Changed)
    assert tell(session, {"type": "selected"}) == Selected({"country": "SWE"})
    assert session.since is None
    assert isinstance(tell(session, snapshot(8, E2)), Synced)
    assert session.ask() == {"country": "SWE", "mode": "latest"}


def test_a_selection_that_is_refused_leaves_what_holds() -> None:
    session = opened(country="NOR")
    tell(session, snapshot(7, E1))
    session.select({"country": "Atlantis"})
    session.select({"country": "SWE"})
    refused = {"type": "error", "code": "invalid_filter", "detail": "no such country"}
    assert tell(session, refused) == Refused("invalid_filter", "no such country")
    assert session.selection == {"country": "NOR"}
    assert tell(session, {"type": "selected"}) == Selected({"country": "SWE"})


def test_a_selection_that_was_not_answered_is_asked_for_by_the_next_connection() -> None:
    session = opened(country="NOR")
    tell(session, snapshot(7, E1))
    session.select({"country": "SWE"})
    session.select({"country": "DAN"})
    session.lose(0.0)
    assert session.since is None
    assert session.ask() == {"country": "DAN", "mode": "latest"}
    assert session.selection == {"country": "DAN"}
    session.open()
    assert tell(session, {"type": "selected"}) == Selected({"country": "DAN"})


def test_only_so_many_selections_wait() -> None:
    session = opened()
    for _ in range(SELECTS_MAX):
        session.select({})
    with pytest.raises(TooManyRequests):
        session.select({})


def test_a_filter_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BadRequest, match='"colour" is no filter'):
        V2Session({"colour": "red"})


# -- staying away ----------------------------------------------------------------------------------------------


def test_who_was_in_step_is_back_soon_and_who_never_was_stays_away_longer_each_time() -> None:
    session = opened()
    waits = [session.lose(0.5) for _ in range(8)]
    assert waits == sorted(waits)
    assert waits[-1] == 15.0
    session.open()
    tell(session, snapshot(7, E1))
    assert session.lose(0.5) == 0.25


def test_who_heard_nothing_for_long_was_in_step_all_the_same() -> None:
    session = opened()
    assert session.lose(0.5) == 0.5
    session.open()
    assert session.lose(0.5, lasted_s=30.0) == 0.25


def test_a_fault_counts_as_a_failure_however_long_it_went_well() -> None:
    session = opened()
    tell(session, snapshot(7, E1), changes(9, 10))
    assert session.lose(0.5, lasted_s=3_600.0) == 0.5


def test_what_the_server_asks_for_is_granted_up_to_a_limit_and_once() -> None:
    session = opened()
    assert tell(session, snapshot(7, E1), {"type": "drain", "retry_after_ms": 2_500}) == Leaving(2_500)
    assert session.lose(0.0, retry_after_s=1.0) == 2.5
    session.open()
    assert session.lose(0.0) == 0.0
    assert session.lose(0.0, retry_after_s=3_600.0) == 30.0
    tell(session, {"type": "drain", "retry_after_ms": -5})
    assert session.lose(0.0) == 0.0
