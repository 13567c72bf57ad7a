"""Sources that are followed: another ladestrom by both versions of its stream, and NOBIL Real-time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.answering import Answering, redirecting
from tests.e2e.realtime import Realtime
from tests.e2e.serving import UID, Serving, now
from tests.patience import DEADLINE_S, until

from ladestrom.core.access import operator_from
from ladestrom.errors import LogFailure, MalformedBody
from ladestrom.model import Change, Entry
from ladestrom.ports.sources import SourceRecord
from ladestrom.protocols.delivery import Delivery

E1, E2, SWEDISH = "NO*ALF*E1333*1", "NO*ALF*E1333*2", "SE*BET*E7*1"
OLD = 1_700_000_000_000

BOTH = pytest.mark.parametrize("protocol", ["ladestrom", "nobil-stream"])


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path / "upstream", {"stream.heartbeat_s": 1}) as server:
        server.report(
            {"evse": E1, "status": "AVAILABLE", "observed_at": OLD},
            {"evse": E2, "status": "CHARGING", "observed_at": OLD},
        )
        server.report({"evse": SWEDISH, "status": "OUTOFORDER", "observed_at": OLD}, key="beta")
        yield server


@pytest.fixture
def lost_after_s() -> int:
    """Long: a busy machine alone makes nobody lost."""
    return 3_600


SOON_LOST = pytest.mark.parametrize("lost_after_s", [1])
"""For tests of those who stay away."""


@pytest.fixture
def hub(tmp_path: Path, lost_after_s: int) -> Iterator[Serving]:
    with Serving(tmp_path / "hub", {"sources.lost_after_s": lost_after_s, "sources.rest_s": 1}) as server:
        server.write(lambda store: store.put_operator(operator_from("upstream", all_evses=True), now()))
        yield server


def follow(hub: Serving, protocol: str, address: str, secret: str | None, **options: str) -> None:
    source = SourceRecord(
        name="above",
        operator="upstream",
        protocol=protocol,
        address=address,
        options=options,
        secret=secret,
        added_at=now(),
        changed_at=now(),
    )
    hub.write(lambda store: store.put_source(source))


def follows(hub: Serving, upstream: Serving, protocol: str, **options: str) -> None:
    follow(hub, protocol, upstream.url, upstream.keys["stream"], **options)


def evse(server: Serving, written: str = E1) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/api/v2/evses/{written}").json()
    return found


def becomes(server: Serving, status: str, written: str = E1) -> dict[str, Any]:
    until(lambda: evse(server, written)["status"] == status, f"{written} is {status}")
    return evse(server, written)


def health(hub: Serving) -> dict[str, Any]:
    operators = hub.get("/api/v2/operators").json()
    found = [each for operator in operators for each in operator["sources"] if each["source"] == "above"]
    return found[0] if found else {}


def is_in(hub: Serving, state: str) -> None:
    until(lambda: health(hub).get("state") == state, f"it is {state}")


def sign_off(server: Serving, operator: str) -> None:
    """The operator is lost there."""
    work = server.app.ingest.intake.sign_off(server.app.context.operators[operator], f"{operator}/plain")
    asyncio.run_coroutine_threadsafe(work, server._loop).result(DEADLINE_S)


@BOTH
def test_what_the_other_server_knows_is_known_here_and_so_is_what_changes(
    hub: Serving, upstream: Serving, protocol: str
) -> None:
    follows(hub, upstream, protocol)
    becomes(hub, "AVAILABLE")
    becomes(hub, "CHARGING", E2)
    found = becomes(hub, "OUTOFORDER", SWEDISH)
    assert (found["source"], found["error"]) == ("upstream", 1)
    upstream.report({"evse": E1, "status": "CHARGING"})
    changed = becomes(hub, "CHARGING")
    assert changed["changed_at"] == evse(upstream)["changed_at"]
    assert health(hub)["state"] == "fresh"


@BOTH
def test_only_what_was_selected_is_followed(hub: Serving, upstream: Serving, protocol: str) -> None:
    follows(hub, upstream, protocol, country="SWE")
    becomes(hub, "OUTOFORDER", SWEDISH)
    assert evse(hub)["status"] == "UNKNOWN"


@SOON_LOST
@BOTH
def test_a_source_that_is_lost_for_long_takes_all_it_told_with_it_and_brings_it_back(
    hub: Serving, upstream: Serving, protocol: str
) -> None:
    follows(hub, upstream, protocol)
    becomes(hub, "AVAILABLE")
    hub.report({"evse": "NO*ALF*E1342", "status": "RESERVED"})
    upstream.stop()
    assert becomes(hub, "UNKNOWN")["cause"] == "disconnected"
    becomes(hub, "UNKNOWN", E2)
    assert evse(hub, "NO*ALF*E1342")["status"] == "RESERVED", "another source's is not touched"
    is_in(hub, "lost")
    upstream.start()
    assert becomes(hub, "AVAILABLE")["observed_at"].startswith("2023"), "as old as it is, it holds"
    becomes(hub, "CHARGING", E2)
    is_in(hub, "fresh")


@BOTH
def test_a_short_absence_costs_nothing_and_what_was_missed_is_told(
    hub: Serving, upstream: Serving, protocol: str
) -> None:
    follows(hub, upstream, protocol)
    becomes(hub, "AVAILABLE")
    seq = hub.settled()[1]
    hub.stop()
    upstream.report({"evse": E2, "status": "BLOCKED"})
    hub.start()
    becomes(hub, "BLOCKED" if protocol == "ladestrom" else "CHARGING", E2)
    until(lambda: hub.settled()[1] >= seq, "it goes on")
    is_in(hub, "fresh")
    if protocol == "ladestrom":
        assert health(hub)["reports"] == 1, "it went on where it was, and was not told all again"


@BOTH
def test_what_the_other_server_lost_is_lost_here_and_comes_back_however_old(
    hub: Serving, upstream: Serving, protocol: str
) -> None:
    follows(hub, upstream, protocol)
    becomes(hub, "AVAILABLE")
    sign_off(upstream, "alfa")
    becomes(hub, "UNKNOWN")
    upstream.report({"evse": E1, "status": "AVAILABLE", "observed_at": OLD})
    becomes(hub, "AVAILABLE")


@BOTH
def test_a_source_that_is_paused_tells_of_nothing_and_of_everything_when_it_goes_on(
    hub: Serving, upstream: Serving, protocol: str
) -> None:
    follows(hub, upstream, protocol)
    becomes(hub, "OUTOFORDER", SWEDISH)
    hub.write(lambda store: store.pause_source("above", now(), now()))
    assert becomes(hub, "UNKNOWN", SWEDISH)["cause"] == "disconnected"
    hub.write(lambda store: store.pause_source("above", None, now()))
    becomes(hub, "OUTOFORDER", SWEDISH)


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_source_that_leaves_while_we_are_down_has_left_when_we_start(
    hub: Serving, upstream: Serving, is_removed: bool
) -> None:
    follows(hub, upstream, "ladestrom")
    becomes(hub, "OUTOFORDER", SWEDISH)
    hub.report({"evse": E2, "status": "RESERVED"})
    hub.stop()
    if is_removed:
        hub.write(lambda store: store.remove_source("above"))
    else:
        hub.write(lambda store: store.pause_source("above", now(), now()))
    hub.start()
    assert evse(hub, SWEDISH)["status"] == "UNKNOWN"
    assert evse(hub, SWEDISH)["cause"] == "disconnected"
    assert evse(hub, E2)["status"] == "RESERVED"


@BOTH
def test_a_source_that_gets_another_key_goes_on_where_it_was(
    hub: Serving, upstream: Serving, protocol: str
) -> None:
    follows(hub, upstream, protocol)
    becomes(hub, "OUTOFORDER", SWEDISH)
    seq = hub.settled()[1]
    follow(hub, protocol, upstream.url, upstream.keys["both"])
    upstream.report({"evse": E1, "status": "RESERVED"})
    becomes(hub, "RESERVED" if protocol == "ladestrom" else "CHARGING")
    assert hub.settled()[1] == seq + 1, "nothing was given up meanwhile"


@BOTH
def test_a_key_that_is_not_admitted_is_not_tried_again_and_again(
    hub: Serving, upstream: Serving, protocol: str
) -> None:
    follow(hub, protocol, upstream.url, "lst_wrong")
    is_in(hub, "resting")
    found = health(hub)
    assert found["error"] == "unauthenticated"
    follow(hub, protocol, upstream.url, upstream.keys["stream"])
    becomes(hub, "AVAILABLE")


def test_a_source_in_step_confirms_what_it_told(hub: Serving, upstream: Serving) -> None:
    follows(hub, upstream, "ladestrom")
    becomes(hub, "AVAILABLE")
    before = hub.call(lambda: hub.app.writer.board.cells["NOALFE13331"].heard_at)
    operator = hub.app.context.operators["upstream"]
    work = hub.app.ingest.intake.confirm(operator, "upstream/above")
    assert asyncio.run_coroutine_threadsafe(work, hub._loop).result(DEADLINE_S) == 3
    assert hub.call(lambda: hub.app.writer.board.cells["NOALFE13331"].heard_at) > before
    assert evse(hub)["observed_at"].startswith("2023"), "it was not observed again"


class TestTaking:
    """A position stands for what was taken, and our own failures are not the source's."""

    @BOTH
    def test_what_could_not_be_logged_before_the_end_is_asked_for_again(
        self, hub: Serving, upstream: Serving, protocol: str
    ) -> None:
        follows(hub, upstream, protocol)
        becomes(hub, "AVAILABLE")
        becomes(hub, "CHARGING", E2)
        with full(hub, upstream) as refused:
            changed(upstream, E2, "OUTOFORDER")
            until(lambda: bool(refused), "the change arrived, and could not be logged")
            hub.stop()
        hub.start()
        becomes(hub, "OUTOFORDER", E2)

    @BOTH
    def test_while_our_log_is_full_nothing_is_charged_to_the_source_and_then_it_goes_on(
        self, hub: Serving, upstream: Serving, protocol: str
    ) -> None:
        follows(hub, upstream, protocol)
        becomes(hub, "CHARGING", E2)
        shell = follower(hub)
        with full(hub, upstream) as refused:
            changed(upstream, E2, "OUTOFORDER")
            until(lambda: len(refused) > 1, "it is tried again")
            confirming = asyncio.run_coroutine_threadsafe(shell._confirm(), hub._loop)
            hub.call(lambda: None)
            assert not confirming.done(), "what it told before does not hold any more"
        becomes(hub, "OUTOFORDER", E2)
        confirming.result(DEADLINE_S)
        found = health(hub)
        assert (found["state"], found["breaker"], found["failures"]) == ("fresh", "closed", {})
        assert follower(hub) is shell

    @BOTH
    def test_a_message_that_cannot_be_read_is_followed_by_a_snapshot(
        self, hub: Serving, upstream: Serving, protocol: str
    ) -> None:
        follows(hub, upstream, protocol)
        becomes(hub, "CHARGING", E2)
        shell = follower(hub)
        read = shell._stream

        def unreadable(frame: bytes, *arguments: Any) -> Delivery:
            if b"status:raw" in frame:
                return read(frame, *arguments)  # type: ignore[no-any-return]
            shell._stream = read
            raise MalformedBody("no parser of ours reads that")

        shell._stream = unreadable
        changed(upstream, E2, "OUTOFORDER")
        becomes(hub, "OUTOFORDER", E2)
        assert health(hub)["unreadable"] == 1

    def test_with_another_log_than_the_position_was_noted_for_everything_is_asked_for(
        self, hub: Serving, upstream: Serving
    ) -> None:
        follows(hub, upstream, "ladestrom")
        becomes(hub, "AVAILABLE")
        hub.stop()
        for file in hub.data.glob("log.db*"):
            file.unlink()
        hub.start()
        becomes(hub, "AVAILABLE")
        becomes(hub, "CHARGING", E2)


@contextlib.contextmanager
def full(hub: Serving, upstream: Serving) -> Iterator[list[int]]:
    """The hub's log cannot be written; gives the sizes of the appends that were refused."""
    refused: list[int] = []
    log = hub.app.log
    append = log.append
    # Both are in this process, and each sees what the other logs.
    hub.expects("append failed", "not ready")
    upstream.expects("append failed", "not ready")

    async def fails(changes: Sequence[Change]) -> Sequence[Entry]:
        refused.append(len(changes))
        raise LogFailure("no space left on the device")

    hub.call(lambda: setattr(log, "append", fails))
    try:
        yield refused
    finally:
        log.append = append  # type: ignore[method-assign]


def follower(hub: Serving) -> Any:
    """What follows the source."""
    return hub.app.ingest.sources._running["above"].shell


def changed(server: Serving, written: str, status: str) -> None:
    """Changes an EVSE there."""
    server.report({"evse": written, "status": status})


@BOTH
def test_a_redirect_of_a_followed_server_is_not_followed(
    hub: Serving, upstream: Serving, protocol: str
) -> None:
    """It could lead inside, with the key that is for the server that redirects."""
    with Answering() as outside:
        outside.respond = redirecting(f"{upstream.url}/api/v1/stream")
        follow(hub, protocol, outside.url, upstream.keys["stream"], anywhere="yes")
        until(lambda: len(outside.requests) > 1, "it is asked again")
        assert upstream.app.reader.broadcast.consumers == 0
        assert evse(hub)["status"] == "UNKNOWN"


class TestNobilRealtime:
    @pytest.fixture
    def service(self, hub: Serving) -> Iterator[Realtime]:
        with Realtime() as made:
            follow(hub, "nobil-realtime", f"{made.ends.url}/Realtime", "enova-key", anywhere="yes")
            until(lambda: bool(made.open), "it connects")
            yield made

    def test_each_message_is_a_change(self, hub: Serving, service: Realtime) -> None:
        asked = service.ends.requests[0]
        assert (asked.method, asked.headers["x-api-key"], asked.body) == ("POST", "enova-key", b"")
        service.tell(nobilId="NOR_01342", evseUId=UID, status="CHARGING")
        found = becomes(hub, "CHARGING", "NO*ALF*E1342")
        assert (found["source"], found["raw"]) == ("upstream", "CHARGING")
        service.tell(nobilId="NOR_01342", evseUid=UID, status="available")
        becomes(hub, "AVAILABLE", "NO*ALF*E1342")
        is_in(hub, "fresh")

    def test_an_address_inside_that_it_names_is_not_called_unless_an_administrator_allowed_it(
        self, hub: Serving
    ) -> None:
        with Realtime() as inside:
            follow(hub, "nobil-realtime", f"{inside.ends.url}/Realtime", "enova-key")
            # The address that an administrator named is asked; the one that it answers with is not called.
            until(lambda: len(inside.ends.requests) > 1 or bool(inside.paths), "it is asked again")
            assert inside.paths == []
            follow(hub, "nobil-realtime", f"{inside.ends.url}/Realtime", "enova-key", anywhere="yes")
            until(lambda: bool(inside.open), "it connects")

    def test_a_lost_connection_is_asked_for_anew_and_a_short_one_costs_nothing(
        self, hub: Serving, service: Realtime
    ) -> None:
        service.tell(nobilId="NOR_01342", evseUId=UID, status="CHARGING")
        becomes(hub, "CHARGING", "NO*ALF*E1342")
        service.drop()
        until(lambda: len(service.paths) == 2 and bool(service.open), "it connects again")
        assert service.paths[0] != service.paths[1]
        assert evse(hub, "NO*ALF*E1342")["status"] == "CHARGING"

    @SOON_LOST
    def test_away_for_long_everything_is_unknown_until_it_is_told_again(
        self, hub: Serving, service: Realtime
    ) -> None:
        service.tell(nobilId="NOR_01342", evseUId=UID, status="CHARGING")
        becomes(hub, "CHARGING", "NO*ALF*E1342")
        service.refuse(503)
        service.drop()
        becomes(hub, "UNKNOWN", "NO*ALF*E1342")
        service.admit()
        until(lambda: bool(service.open), "it connects again")
        assert evse(hub, "NO*ALF*E1342")["status"] == "UNKNOWN"
        service.tell(nobilId="NOR_01342", evseUId=UID, status="CHARGING")
        becomes(hub, "CHARGING", "NO*ALF*E1342")

    def test_what_it_cannot_mean_is_kept_and_costs_nothing_else(
        self, hub: Serving, service: Realtime
    ) -> None:
        service.tell_text("nonsense")
        service.tell_text("[" * 10_000)
        service.tell(nobilId="NOR_01342", evseUId=UID, status="CHARGING")
        becomes(hub, "CHARGING", "NO*ALF*E1342")
        until(lambda: health(hub)["unreadable"] == 2, "they are counted")
        assert len(service.paths) == 1

    def test_the_address_that_was_given_is_never_shown(self, hub: Serving, service: Realtime) -> None:
        service.refuse(401)
        service.drop()
        is_in(hub, "resting")
        until(lambda: health(hub)["error"] == "unauthenticated", "why is told")
        shown = [
            str(hub._log.entries),
            *(each.last_error for each in hub.app.ingest.supervision.sources.values()),
        ]
        assert not [text for text in shown if "s3cret" in text or "enova-key" in text]
