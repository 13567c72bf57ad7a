"""The session: a consumer's fold, its position, and what it makes of servers that do wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.client.session import (
    DELAY_FIRST_S,
    DELAY_MAX_S,
    TRANSITIONS,
    Fault,
    FaultKind,
    Phase,
    Raw,
    Session,
    Skipped,
    Snapshot,
    Update,
    delay_s,
    refusal,
)
from ladestrom.errors import BadRequest, NotAllowed, NotFound, Unauthenticated


def station(uuid: str, *statuses: int) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "status": statuses[0] if statuses else -1,
        "connectors": [{"status": status, "error": 0, "timestamp": 1000 + status} for status in statuses],
    }


def snapshot(seq: int, *stations: dict[str, Any], epoch: str = "e1") -> bytes:
    return json.dumps({"type": "snapshot:init", "epoch": epoch, "seq": seq, "data": stations}).encode()


def update(seq: int, changed: dict[str, Any], epoch: str = "e1") -> bytes:
    return json.dumps({"type": "status:update", "epoch": epoch, "seq": seq, "data": changed}).encode()


RAW = (
    b'{"type":"status:raw","code":1,"data":'
    b'{"uuid":"NOR_00001","connector":0,"status":1,"error":0,"timestamp":5}}'
)


def live(*frames: bytes) -> Session:
    session = Session()
    session.open()
    for frame in frames:
        assert not isinstance(session.receive(frame), Fault)
    return session


def statuses(session: Session) -> dict[str, list[int]]:
    return {uuid: [each.status for each in known.connectors] for uuid, known in session.board.items()}


def test_a_snapshot_makes_the_board_and_updates_move_it() -> None:
    session = live(snapshot(7, station("NOR_00001", 0), station("NOR_00002", -1, -1)))
    event = session.receive(update(9, station("NOR_00001", 1)))
    assert isinstance(event, Update)
    assert event.before is not None
    assert event.before.connectors[0].status == 0
    assert statuses(session) == {"NOR_00001": [1], "NOR_00002": [-1, -1]}
    assert session.since == "e1-9"


def phases(session: Session, *frames: bytes) -> list[Phase]:
    """Opens a connection; the phase then, and after each frame."""
    session.open()
    seen = [session.phase]
    for frame in frames:
        session.receive(frame)
        seen.append(session.phase)
    return seen


def test_the_first_connection_asks_for_a_snapshot_and_the_next_for_what_was_missed() -> None:
    session = Session()
    assert phases(session, snapshot(7)) == [Phase.NEW, Phase.LIVE]
    session.lose(0.0)
    assert session.since == "e1-7"
    assert phases(session, update(8, station("NOR_00001", 1))) == [Phase.RESUMING, Phase.LIVE]
    assert session.since == "e1-8"


def test_a_station_that_is_in_no_snapshot_is_added_by_its_update() -> None:
    session = live(snapshot(1))
    event = session.receive(update(2, station("NOR_00009", 0)))
    assert isinstance(event, Update)
    assert event.before is None
    assert statuses(session) == {"NOR_00009": [0]}


def test_a_snapshot_instead_of_what_was_missed_tells_what_differs() -> None:
    session = live(snapshot(1, station("NOR_00001", 0), station("NOR_00002", 0)))
    session.lose(0.0)
    session.open()
    event = session.receive(snapshot(5, station("NOR_00001", 0), station("NOR_00002", 1), epoch="e2"))
    assert isinstance(event, Snapshot)
    assert [each.uuid for each in event.missed] == ["NOR_00002"]
    assert session.since == "e2-5"


def test_the_first_snapshot_has_missed_nothing() -> None:
    session = Session()
    session.open()
    event = session.receive(snapshot(1, station("NOR_00001", 0)))
    assert isinstance(event, Snapshot)
    assert event.missed == ()


def test_a_snapshot_drops_stations_that_it_does_not_list() -> None:
    session = live(snapshot(1, station("NOR_00001", 0)), snapshot(2, station("NOR_00002", 0)))
    assert statuses(session) == {"NOR_00002": [0]}


def test_the_published_snapshot_without_station_status_is_understood() -> None:
    session = live(b'{"type":"snapshot:init","data":[{"uuid":"NOR_00001","connectors":[]}]}')
    assert session.board["NOR_00001"].status is None
    assert session.since is None


def test_a_server_without_numbers_is_followed_and_never_resumed() -> None:
    session = live(b'{"type":"snapshot:init","data":[]}')
    event = session.receive(json.dumps({"type": "status:update", "data": station("NOR_00001", 1)}))
    assert isinstance(event, Update)
    assert session.since is None


@pytest.mark.parametrize(
    ("before", "frame", "kind"),
    [
        ((), update(8, station("NOR_00001", 1)), FaultKind.UPDATE_BEFORE_SNAPSHOT),
        ((snapshot(7),), update(7, station("NOR_00001", 1)), FaultKind.BACKWARDS),
        ((snapshot(7),), update(6, station("NOR_00001", 1)), FaultKind.BACKWARDS),
        ((snapshot(7),), snapshot(6), FaultKind.BACKWARDS),
        ((snapshot(7),), update(8, station("NOR_00001", 1), epoch="e2"), FaultKind.OTHER_EPOCH),
        ((snapshot(7),), b"{", FaultKind.MALFORMED),
        ((snapshot(7),), b"[]", FaultKind.MALFORMED),
        ((snapshot(7),), b'{"type":"status:update","data":[]}', FaultKind.MALFORMED),
        ((snapshot(7),), b'{"type":"status:raw","data":{}}', FaultKind.MALFORMED),
        (
            (snapshot(7),),
            b'{"type":"status:update","data":{"uuid":"\xff","connectors":[]}}',
            FaultKind.MALFORMED,
        ),
        ((snapshot(7),), b'{"type":"\xff","data":1}', FaultKind.MALFORMED),
    ],
)
def test_what_a_server_does_wrong_is_named_and_leaves_the_board(
    before: tuple[bytes, ...], frame: bytes, kind: FaultKind
) -> None:
    session = live(*before)
    board = dict(session.board)
    event = session.receive(frame)
    assert isinstance(event, Fault)
    assert event.kind is kind
    assert session.board == board


def test_after_a_fault_the_next_connection_asks_for_a_snapshot() -> None:
    session = live(snapshot(7))
    session.receive(b"{")
    session.lose(0.0)
    assert session.since is None
    session.open()
    assert session.phase is Phase.NEW


def test_a_snapshot_of_another_epoch_is_taken_whatever_its_number() -> None:
    session = live(snapshot(7))
    assert isinstance(session.receive(snapshot(1, epoch="e2")), Snapshot)
    assert session.since == "e2-1"


def test_raw_messages_are_passed_on_and_move_nothing() -> None:
    session = live(snapshot(7, station("NOR_00001", 0)))
    assert session.receive(RAW) == Raw("NOR_00001", 0, 1, 0, 5)
    assert statuses(session) == {"NOR_00001": [0]}
    assert session.since == "e1-7"


def test_a_message_of_a_later_version_is_skipped() -> None:
    session = live(snapshot(7))
    assert session.receive(b'{"type":"weather","data":{"sun":true}}') == Skipped("weather")
    assert session.phase is Phase.LIVE


def test_a_frame_without_a_connection_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(RuntimeError, match="open"):
        Session().receive(snapshot(1))


def test_every_open_phase_has_a_rule_for_every_message() -> None:
    kinds = {kind for _, kind in TRANSITIONS}
    assert set(TRANSITIONS) == {
        (phase, kind) for phase in Phase if phase is not Phase.CLOSED for kind in kinds
    }


@given(st.integers(0, 5000), st.floats(0, 1, exclude_max=True))
def test_delays_are_spread_from_nothing_to_a_limit(failures: int, chance: float) -> None:
    assert delay_s(failures, 0.0) == 0.0
    assert 0.0 <= delay_s(failures, chance) <= DELAY_MAX_S
    assert delay_s(failures, chance) <= delay_s(failures + 1, chance)


def test_delays_double_with_each_connection_that_came_to_nothing() -> None:
    session = Session()
    waits = []
    for _ in range(9):
        session.open()
        waits.append(session.lose(0.5))
    assert waits == [0.5, 1, 2, 4, 8, 15, 15, 15, 15]


def test_a_connection_that_was_in_step_ends_the_doubling() -> None:
    session = Session()
    for _ in range(5):
        session.lose(0.5)
    session.open()
    session.receive(snapshot(1))
    assert session.lose(0.5) == DELAY_FIRST_S / 2


def test_a_resumed_connection_that_had_nothing_to_hear_for_long_was_in_step() -> None:
    session = live(snapshot(1))
    session.lose(0.5)
    session.open()
    assert session.lose(0.5, lasted_s=3600) == DELAY_FIRST_S / 2
    session.open()
    assert session.lose(0.5, lasted_s=0.1) == DELAY_FIRST_S


def test_a_fault_counts_as_a_failure_though_the_snapshot_was_good() -> None:
    session = Session()
    for failures in range(1, 4):
        session.open()
        session.receive(snapshot(1))
        session.receive(b"{")
        assert session.lose(0.5) == DELAY_FIRST_S * 2**failures / 2


def test_the_server_may_ask_for_a_longer_stay_away_but_not_for_ever() -> None:
    session = live(snapshot(1))
    assert session.lose(0.0, retry_after_s=12) == 12
    assert session.lose(0.0, retry_after_s=86_400) == DELAY_MAX_S


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, BadRequest),
        (401, Unauthenticated),
        (403, NotAllowed),
        (404, NotFound),
        (418, BadRequest),
        (4401, Unauthenticated),
        (4403, NotAllowed),
        (4499, BadRequest),
        (408, None),
        (429, None),
        (500, None),
        (503, None),
        (1001, None),
        (1012, None),
        (4108, None),
        (4129, None),
    ],
)
def test_codes_tell_whether_coming_back_is_any_use(code: int, error: type | None) -> None:
    found = refusal(code, "said")
    assert (None if found is None else type(found)) is error


class Feed:
    """A server that keeps a log of station states and answers `since`, conflated by station."""

    def __init__(self) -> None:
        self.epoch = 1
        self.log: list[tuple[str, int]] = []
        self.first = 0
        """Changes before this one are not kept any more."""

    def state(self) -> dict[str, tuple[int, int]]:
        return {uuid: (seq, status) for seq, (uuid, status) in enumerate(self.log, 1)}

    def answer(self, since: str | None) -> list[bytes]:
        epoch, _, seq = (since or "-").partition("-")
        if epoch == f"e{self.epoch}" and int(seq) >= self.first:
            missed = sorted(
                (at, uuid, status) for uuid, (at, status) in self.state().items() if at > int(seq)
            )
            return [update(at, station(uuid, status), epoch) for at, uuid, status in missed]
        listed = [station(uuid, status) for uuid, (_, status) in self.state().items()]
        return [snapshot(len(self.log), *listed, epoch=f"e{self.epoch}")]

    def change(self, uuid: str, status: int) -> bytes:
        self.log.append((uuid, status))
        return update(len(self.log), station(uuid, status), f"e{self.epoch}")

    def restart(self) -> None:
        """A log that was made anew, with what is known as its beginning."""
        self.log = [(uuid, status) for uuid, (_, status) in self.state().items()]
        self.epoch += 1
        self.first = 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.integers(1, 4), st.sampled_from([-1, 0, 1])),
        st.tuples(st.just("cut"), st.just(0), st.just(0)),
        st.tuples(st.just("trim"), st.just(0), st.just(0)),
        st.tuples(st.just("anew"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_is_cut_trimmed_or_made_anew_the_boards_agree(steps: list[tuple[str, int, int]]) -> None:
    feed, session, connected = Feed(), Session(), False
    for step, number, status in [*steps, ("cut", 0, 0), ("change", 1, 1)]:
        if not connected:
            session.open()
            for frame in feed.answer(session.since):
                assert not isinstance(session.receive(frame), Fault)
            connected = True
        match step:
            case "change":
                frame = feed.change(f"NOR_{number:05d}", status)
                assert not isinstance(session.receive(frame), Fault)
            case "cut" | "anew" | "trim":
                session.lose(0.0)
                connected = False
                feed.change("NOR_00001", 0)
                feed.change("NOR_00001", 1)
                if step == "anew":
                    feed.restart()
                elif step == "trim":
                    feed.first = len(feed.log)
        if connected:
            told = {uuid: [status] for uuid, (_, status) in feed.state().items()}
            assert statuses(session) == told
            assert session.since == f"e{feed.epoch}-{len(feed.log)}"
