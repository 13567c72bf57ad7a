"""Who may be called what: no operator takes another's EVSE over, in nobody's mirror and in no answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from tests.e2e.following import TRANSPORTS, Follower, Transport, beat, digest, example, listed, settled
from tests.e2e.serving import STATIONS, Serving, evse, now, station
from tests.e2e.test_ocpi import call, fixed
from tests.patience import until

from ladestrom.backends.sql import SqlStore
from ladestrom.client.v2_session import Mode
from ladestrom.core.access import operator_from
from ladestrom.core.digests import wire_key

VICTIM: Final = "NO*ALF*E1333*1"
OWN: Final = "NOR_900001_01"
"""What the registry calls the first EVSE that an operator describes."""
OTHER: Final = "NOR_900001_02"
"""The second one."""
SPELLINGS: Final = (
    VICTIM,
    "noalfe13331",
    "no-alf-e1333-1",
    "NO ALF E1333 1",
    "NO*ALF*E1333*1\u00ad",
    "NO*ALF*E1333*\uff11",
    "NO*ALF*E1333*1\u200b",
)
"""Of the victim's id: some are that id, some only look so."""
over: Final = pytest.mark.parametrize("over", TRANSPORTS)

Point = Mapping[str, object]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as serving:
        serving.write(put_operators)
        for name in ("evil", "owner"):
            serving.make_key(name, ["report"], operator=name)
        yield serving


async def put_operators(store: SqlStore) -> None:
    await store.put_operator(operator_from("evil", parties=["NO*EVL"], may_register=True), now())
    await store.put_operator(operator_from("owner", parties=["NO*OWN"], may_register=True), now())


def point(uid: str, status: str = "CHARGING", **more: object) -> dict[str, object]:
    return {"uid": uid, "status": status, "last_updated": "2026-11-22T10:00:00Z", **more}


class Operator:
    """An operator that puts its Locations over OCPI."""

    def __init__(self, server: Serving, name: str, party: str) -> None:
        self._server = server
        self._name = name
        self._party = party
        self._token = fixed(server, name)
        self._puts = 0

    def put(self, *evses: Point, location: str = "L1", **more: object) -> dict[str, Any]:
        """Puts a Location, each time as a newer one: the answer."""
        self._puts += 1
        body = {
            "id": location,
            "country_code": "NO",
            "party_id": self._party,
            "publish": True,
            "name": f"Location {location}",
            "country": "NOR",
            "coordinates": {"latitude": "59.5", "longitude": "10.5"},
            "evses": list(evses),
            "last_updated": f"2026-11-22T10:{self._puts:02d}:00Z",
            **more,
        }
        path = f"2.2.1/locations/NO/{self._party}/{location}"
        answer = call(self._server, "PUT", path, self._token, body)
        assert answer.json()["status_code"] == 1000, answer.text
        settled(self._server)
        found: dict[str, Any] = answer.json()
        return found

    def report(self, name: str, status: str) -> dict[str, Any]:
        """Reports one status: the receipt."""
        found = self._server.report({"evse": name, "status": status}, key=self._name)
        settled(self._server)
        return found


@pytest.fixture
def evil(server: Serving) -> Operator:
    return Operator(server, "evil", "EVL")


@pytest.fixture
def owner(server: Serving) -> Operator:
    return Operator(server, "owner", "OWN")


class Guide:
    """The consumer of the guide, in its own words."""

    def __init__(self) -> None:
        names: dict[str, Any] = {}
        exec(compile(example("import zlib"), "consumers.md", "exec"), names)  # noqa: S102 - our own guide
        self.board = names["Board"]()

    def take(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
        """Takes messages; what it holds then. It raises where it is not in step."""
        for message in messages:
            self.board.take(message)
        return {row["evse"]: (row["station"], row["status"]) for row in self.board.rows.values()}


def rest(server: Serving, name: str) -> str:
    answer = server.get(f"/api/v2/evses/{name}")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["status"])


def statuses(board: Mapping[str, tuple[str, str, int, str | None]]) -> dict[str, str]:
    return {name: state[1] for name, state in board.items()}


def alike(server: Serving, follower: Follower) -> dict[str, str]:
    """What a follower that is in step holds, which is what the lists say; by name."""
    follower.confirmed(server)
    held, true = follower.board, listed(server)
    for board in (held, true):
        assert len({wire_key(name) for name in board}) == len(board)
    assert {wire_key(name): state for name, state in held.items()} == {
        wire_key(name): state for name, state in true.items()
    }
    return statuses(true)


# -- the attack ------------------------------------------------------------------------------------------------


@over
@pytest.mark.parametrize("written", SPELLINGS)
@pytest.mark.parametrize("member", ["uid", "evse_id"])
def test_an_evse_with_anothers_id_is_another_in_every_mirror(
    server: Serving, evil: Operator, member: str, written: str, over: Transport
) -> None:
    server.report({"evse": VICTIM, "status": "AVAILABLE"}, key="alfa")
    if member == "uid" and not written.isprintable():
        pytest.skip("what has a character that nobody sees is no uid")
    ids = {"uid": written} if member == "uid" else {"uid": "1", "evse_id": written}
    with Follower(server, over=over) as follower, Follower(server, {"evse": VICTIM}) as narrow:
        follower.synced()
        narrow.synced()
        evil.put({**point("", "OUTOFORDER"), **ids})
        assert evil.report(OWN, "CHARGING")["accepted"] + evil.report(OWN, "OUTOFORDER")["accepted"] >= 1
        found = alike(server, follower)
        assert (found[VICTIM], rest(server, VICTIM)) == ("AVAILABLE", "AVAILABLE")
        assert (found[OWN], rest(server, OWN)) == ("OUTOFORDER", "OUTOFORDER")
        narrow.confirmed(server)
        assert statuses(narrow.board) == {VICTIM: "AVAILABLE"}
        assert Guide().take(follower.told)[VICTIM] == ("NOR_01333", "AVAILABLE")
    history = server.get("/api/v2/stations/NOR_900001/history").json()
    assert [each["evse"] for each in history["evses"]] == [OWN]
    detail = server.get("/api/v2/stations/NOR_900001").json()["evses"]
    assert [(each["evse"], each["uid"]) for each in detail] == [(OWN, ids["uid"])]


@pytest.mark.parametrize("written", SPELLINGS)
def test_whoever_writes_anothers_id_reports_on_its_own_evse_or_on_none(
    server: Serving, evil: Operator, written: str
) -> None:
    server.report({"evse": VICTIM, "status": "AVAILABLE"}, key="alfa")
    evil.put(point(written, evse_id=written))
    evil.report(written, "OUTOFORDER")
    assert rest(server, VICTIM) == "AVAILABLE"


@over
def test_the_owner_comes_second_and_has_its_id_all_the_same(
    server: Serving, evil: Operator, over: Transport
) -> None:
    later = "NO*ALF*E2000*1"
    new = station("NOR_02000", "NOR", (10.7, 59.9), [evse(later, party="NOALF")])
    evil.put(point("1", "OUTOFORDER", evse_id=later), point(later, "OUTOFORDER"))
    with Follower(server, over=over) as follower:
        follower.synced()
        told = server.import_stations([*STATIONS, new])
        assert (told.refused_count, told.added) == (0, ("NOR_02000",))
        server.in_step()
        server.report({"evse": later, "status": "AVAILABLE"}, key="alfa")
        found = alike(server, follower)
        assert (found[later], rest(server, later)) == ("AVAILABLE", "AVAILABLE")
        # Of its two EVSEs one has the id for itself, and both are told by that.
        assert "OUTOFORDER" in {found[OWN], found[OTHER]}


def test_an_id_whose_station_left_its_register_is_taken_by_nobody_else(
    server: Serving, evil: Operator
) -> None:
    server.import_stations([each for each in STATIONS if each.station.uuid != "NOR_01333"])
    server.in_step()
    evil.put(point("1", "OUTOFORDER", evse_id=VICTIM))
    assert server.get(f"/api/v2/evses/{VICTIM}").status_code == 404
    told = server.import_stations(STATIONS)
    assert (told.refused_count, told.returned) == (0, ("NOR_01333",))
    server.in_step()
    server.report({"evse": VICTIM, "status": "AVAILABLE"}, key="alfa")
    assert rest(server, VICTIM) == "AVAILABLE"


def test_what_was_dropped_is_noted(server: Serving, evil: Operator) -> None:
    evil.put(point("1", evse_id=VICTIM))
    noted = [entry for entry in server._log.entries if entry["event"] == "stations were noted"]
    assert any(f'NO*EVL*L1: the EVSE id "{VICTIM}" was left out' in each for each in noted[0]["first"])


# -- operators that mean no harm -------------------------------------------------------------------------------


@over
@pytest.mark.parametrize("mode", Mode)
def test_two_operators_with_plain_uids_are_two_in_every_mirror_and_nobody_reconnects(
    server: Serving, evil: Operator, owner: Operator, over: Transport, mode: Mode
) -> None:
    with Follower(server, over=over, mode=mode) as follower:
        follower.synced()
        guide = Guide()
        guide.take(follower.told)
        evil.put(point("1"))
        owner.put(point("1", "AVAILABLE"))
        for status in ("OUTOFORDER", "AVAILABLE", "CHARGING"):
            for each in (evil, owner):
                each.report("1", status)
            taken = len(follower.told)
            found = alike(server, follower)
            assert (found[OWN], found["NOR_900002_01"]) == (status, status)
            shown = guide.take(follower.told[taken:])
            assert (shown[OWN][1], shown["NOR_900002_01"][1]) == (status, status)
    assert [row["uid"] for row in follower.changes] == ["1"] * len(follower.changes)
    answer = server.get("/api/v2/evses/1")
    assert answer.status_code == 409
    assert OWN in answer.text


def test_a_filter_on_evses_takes_a_registry_key(server: Serving, evil: Operator, owner: Operator) -> None:
    evil.put(point("1"))
    owner.put(point("1", "AVAILABLE"))
    with Follower(server, {"evse": "nor_900002_01"}) as follower:
        follower.synced()
        owner.report("1", "RESERVED")
        evil.report("1", "OUTOFORDER")
        follower.confirmed(server)
        assert statuses(follower.board) == {"NOR_900002_01": "RESERVED"}


# -- names that change while somebody looks ----------------------------------------------------------------------


def coming(server: Serving, owner: Operator) -> str:
    """An EVSE gets an EVSE id."""
    owner.put(point("1", "AVAILABLE", evse_id="NO*OWN*E1"), point("2"))
    return "NO*OWN*E1"


def spelled(server: Serving, owner: Operator) -> str:
    """An EVSE id is written otherwise."""
    owner.put(point("1", evse_id="no-own-e7"), point("2"))
    return "no-own-e7"


def going(server: Serving, owner: Operator) -> str:
    """An EVSE id is given up."""
    owner.put(point("1", "AVAILABLE"), point("2"))
    return OWN


def swapped(server: Serving, owner: Operator) -> str:
    """Two EVSEs change places; they are known by their uids."""
    owner.put(point("2", "RESERVED"), point("1", "BLOCKED"))
    return "NOR_900001_02"


def second(server: Serving, owner: Operator) -> str:
    """A public register lists the operator's EVSE, too: it stays where its operator has it."""
    owner.put(point("1", "AVAILABLE", evse_id="NO*OWN*E1"), point("2"))
    told = server.import_stations(
        [*STATIONS, station("NOR_03000", "NOR", (10.7, 59.9), [evse("NO*OWN*E1", party="NOOWN"), evse(None)])]
    )
    assert told.refused_count == 0
    server.in_step()
    return "NO*OWN*E1"


def first(server: Serving, owner: Operator) -> str:
    """An EVSE of a public register is described by its operator itself, and moves there."""
    server.import_stations(
        [*STATIONS, station("NOR_03000", "NOR", (10.7, 59.9), [evse("NO*OWN*E1", party="NOOWN"), evse(None)])]
    )
    server.in_step()
    owner.report("NO*OWN*E1", "RESERVED")
    owner.put(point("1", "AVAILABLE", evse_id="NO*OWN*E1"), point("2"))
    assert server.get("/api/v2/evses/NO*OWN*E1").json()["station"] == "NOR_900001"
    return "NO*OWN*E1"


BEFORE: Final = {
    spelled: {"evse_id": "NO*OWN*E7"},
    going: {"evse_id": "NO*OWN*E7"},
}
"""What the first EVSE has beside its uid."""


@over
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("change", [coming, spelled, going, swapped, second, first])
def test_a_name_that_changes_is_told_so_that_every_mirror_is_in_step(
    server: Serving, owner: Operator, over: Transport, mode: Mode, change: Any
) -> None:
    owner.put(point("1", **BEFORE.get(change, {})), point("2"))
    with Follower(server, over=over, mode=mode) as away:
        away.synced()
        alike(server, away)
        guide = Guide()
        guide.take(away.told)
        taken = len(away.told)
        with Follower(server, over=over, mode=mode) as live:
            live.synced()
            name = change(server, owner)
            until(lambda: settled(server) == server.app.log.last.seq, "readers are in step")
            assert name in alike(server, live)
        alike(server, away)
        # The guide's consumer came to the same, by the same messages.
        assert {wire_key(each) for each in guide.take(away.told[taken:])} == {
            wire_key(each) for each in away.board
        }
        session = away.session
    with Follower(server, over=over, session=session) as back:
        beat(server)
        assert alike(server, back) == statuses(listed(server))
        assert digest(back.board) == digest(listed(server))


@over
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("change", [coming, spelled, going, swapped, second, first])
def test_whoever_was_away_meanwhile_is_in_step_after_coming_back(
    server: Serving, owner: Operator, over: Transport, mode: Mode, change: Any
) -> None:
    owner.put(point("1", **BEFORE.get(change, {})), point("2"))
    with Follower(server, over=over, mode=mode) as away:
        away.synced()
        session = away.session
    name = change(server, owner)
    with Follower(server, over=over, session=session) as back:
        back.reach(settled(server))
        assert name in alike(server, back)
        assert "snapshot" not in {message["type"] for message in back.told}
    server.stop()
    server.start()
    with Follower(server, over=over, session=session) as again:
        assert name in alike(server, again)
        assert "snapshot" not in {message["type"] for message in again.told}


def test_an_evse_that_passes_to_an_operator_is_not_what_another_said_of_it(
    server: Serving, owner: Operator
) -> None:
    shared = station("NOR_03000", "NOR", (10.7, 59.9), [evse("NO*OWN*E1", party="NOOWN")])
    server.import_stations([*STATIONS, shared])
    server.write(lambda store: store.put_operator(operator_from("hub", prefixes=["NO*OWN"]), now()))
    server.make_key("hub", ["report"], operator="hub")
    server.in_step()
    server.report({"evse": "NO*OWN*E1", "status": "CHARGING"}, key="hub")
    server.write(lambda store: store.put_operator(operator_from("hub", prefixes=["NO*HUB"]), now()))
    server.in_step()
    owner.put({"uid": "1", "evse_id": "NO*OWN*E1", "status": "UNKNOWN"})
    assert rest(server, "NO*OWN*E1") == "UNKNOWN"
