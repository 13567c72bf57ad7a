"""Which Locations a station comes to, and when each was updated."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.building import CCS, NOW, make_change, make_evse, make_station
from tests.conftest import SharedFile

from ladestrom.core.drafts import completed
from ladestrom.core.view import StationState
from ladestrom.formats.documents import Listed
from ladestrom.formats.ocpi_location import Version
from ladestrom.formats.wire import instant
from ladestrom.model import NEVER, Cause, Change, Evse, Outlet, Station, Status, StatusChanged
from ladestrom.outputs.ocpi.encoder import id_of, lister, part_of, wrapping
from ladestrom.ports.log import StationRow
from ladestrom.ports.registry import StationDraft
from ladestrom.registers import irve, nobil

RECORDED = NOW - 1_000


def place(*evses: Evse, **members: Any) -> Station:
    own = make_station("NOR_00001", evses or (make_evse(),), **members)
    made = completed(StationDraft(own), "nobil", "NOR_00001")[0]
    # The keys of these tests.
    return msgspec.structs.replace(made, evses=own.evses)


def made(
    station: Station, *changes: Change, version: Version = Version.V2_2_1, at: int = RECORDED
) -> tuple[list[Listed], dict[str, str]]:
    state = StationState(
        station.uuid, 9, {each.evse: StatusChanged(seq, each) for seq, each in enumerate(changes, 1)}
    )
    left_out: list[tuple[Evse, str]] = []
    found = list(lister(version)(StationRow(1, station, received_at=at), state, left_out))
    return found, {evse.name: reason for evse, reason in left_out}


def read(listed: Listed) -> Any:
    return json.loads(listed.body)


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize("status", Status)
def test_all_nine_statuses_are_told_as_they_are(status: Status, version: Version) -> None:
    (listed,), left_out = made(place(), make_change(status=status), version=version)
    (evse,) = read(listed)["evses"]
    assert (evse["status"], left_out, listed.evses) == (status.value, {}, ("NOABCE1",))


def test_a_location_was_updated_when_we_learned_of_it_and_an_evse_when_it_was_observed() -> None:
    late = make_change(changed_at=NOW, received_at=NOW + 90_000)
    (listed,), _ = made(place(), late)
    said = read(listed)
    assert said["last_updated"] == instant(listed.updated_at) == instant(NOW + 90_000)
    assert said["evses"][0]["last_updated"] == instant(NOW)
    assert said["evses"][0]["connectors"][0]["last_updated"] == instant(RECORDED)


def test_a_stamp_that_is_ahead_of_us_puts_no_location_ahead() -> None:
    ahead = make_change(changed_at=NOW + 240_000, received_at=NOW)
    (listed,), _ = made(place(), ahead)
    assert (listed.updated_at, read(listed)["evses"][0]["last_updated"]) == (NOW, instant(NOW))


def test_a_new_record_is_an_update() -> None:
    (listed,), _ = made(place(), make_change(), at=NOW + 5_000)
    said = read(listed)
    assert {said["last_updated"], said["evses"][0]["last_updated"]} == {instant(NOW + 5_000)}


def test_a_record_of_which_nobody_knows_when_it_came_is_as_old_as_its_evses_on_the_board() -> None:
    first, second = make_evse("NO*ABC*E1"), make_evse("NO*ABC*E2")
    (listed,), _ = made(
        place(first, second), make_change(first), make_change(second, changed_at=NOW + 50), at=NEVER
    )
    evses = read(listed)["evses"]
    assert [each["connectors"][0]["last_updated"] for each in evses] == [instant(NOW)] * 2


def test_an_evse_on_which_nobody_may_report_is_not_offered() -> None:
    here, elsewhere = make_evse("NO*ABC*E1"), make_evse("NO*ABC*E2")
    station = place(here, elsewhere)
    (listed,), left_out = made(station, make_change(here))
    assert (listed.evses, left_out) == (("NOABCE1",), {})
    assert made(station) == ([], {})


def test_a_station_of_two_parties_is_a_location_of_each_with_ids_of_its_own_in_2_1_1() -> None:
    evses = (make_evse("NO*ABC*E1"), make_evse("NO*DEF*E1", party="NODEF"))
    station = place(*evses)
    changes = [make_change(each) for each in evses]
    found, _ = made(station, *changes)
    assert [id_of(each.body) for each in found] == [("NOR_00001", "NOABC"), ("NOR_00001", "NODEF")]
    assert [each.evses for each in found] == [("NOABCE1",), ("NODEFE1",)]
    flat, _ = made(station, *changes, version=Version.V2_1_1)
    assert [id_of(each.body) for each in flat] == [("NOR_00001-NOABC", ""), ("NOR_00001-NODEF", "")]


def test_what_cannot_be_offered_is_told_with_the_reason() -> None:
    known, strange = make_evse("NO*ABC*E1"), make_evse("NO*ABC*E2")
    odd = msgspec.structs.replace(CCS, standard="UNKNOWN")
    station = place(known, strange, outlets=(Outlet(0, CCS), Outlet(1, odd)))
    (listed,), left_out = made(station, make_change(known), make_change(strange))
    assert (listed.evses, left_out) == (("NOABCE1",), {"NO*ABC*E2": "no_connector"})
    nobody = make_evse("E1", party=None, evse_id=None, key="NOR_00001_01")
    assert made(place(nobody), make_change(nobody)) == ([], {"NOR_00001_01": "no_party"})
    assert made(place(nobody), make_change(nobody, Status.PLANNED)) == ([], {}), "which no output shows"


def test_a_station_that_left_its_register_is_removed() -> None:
    gone = msgspec.structs.replace(place(), vanished_at=NOW)
    withdrawn = make_change(status=Status.UNKNOWN, cause=Cause.WITHDRAWN)
    (listed,), left_out = made(gone, withdrawn, at=NOW + 10)
    assert ([each["status"] for each in read(listed)["evses"]], left_out) == (["REMOVED"], {})
    assert listed.updated_at == NOW + 10


def test_parts_are_found_without_regard_to_case() -> None:
    (listed,), _ = made(place(make_evse(uid="a1")), make_change())
    evse = json.loads(part_of(listed.body, "A1") or b"")
    assert evse == read(listed)["evses"][0]
    assert json.loads(part_of(listed.body, "a1", "1") or b"") == evse["connectors"][0]
    assert part_of(listed.body, "a2") is part_of(listed.body, "a1", "2") is None


def test_a_message_is_an_envelope() -> None:
    before, behind = wrapping(NOW)
    assert json.loads(before + b"[]" + behind) == {
        "data": [],
        "status_code": 1000,
        "status_message": "Success",
        "timestamp": instant(NOW),
    }


def test_only_2_3_0_says_what_was_derived() -> None:
    for version in Version:
        (listed,), _ = made(place(), make_change(), version=version)
        said = read(listed)
        told = said.get("derived"), said["evses"][0]["connectors"][0].get("derived")
        assert told == (
            (["time_zone"], ["format", "max_amperage", "max_voltage", "power_type"])
            if version is Version.V2_3_0
            else (None, None)
        )


def registered(shared_file: SharedFile, register: str) -> Iterator[Station]:
    """The stations of a real register."""
    if register == "irve":
        content = gzip.decompress(shared_file("data/france/irve-statique.json.gz").read_bytes())
        records = irve.parse([content])
    else:
        records = nobil.parse([shared_file("data/nobil/nobil-v3-sample.json").read_bytes()])
    for number, record in enumerate(records, 1):
        if isinstance(record, StationDraft):
            yield completed(record, register, record.station.uuid or f"FRA_{number:05d}")[0]


@pytest.mark.parametrize(
    ("register", "offered", "omitted"),
    [
        # The sample is older than the attribute with the EVSE id, which names the party.
        ("nobil", (0, 0), {"no_party": 104}),
        ("irve", (5_544, 28_284), {"no_connector": 825}),
    ],
)
def test_what_of_a_real_register_is_offered(
    shared_file: SharedFile, register: str, offered: tuple[int, int], omitted: dict[str, int]
) -> None:
    locations = evses = 0
    reasons: Counter[str] = Counter()
    for station in registered(shared_file, register):
        found, left_out = made(station, *(make_change(each, Status.UNKNOWN) for each in station.evses))
        locations += len(found)
        evses += sum(len(each.evses) for each in found)
        reasons.update(left_out.values())
    assert ((locations, evses), dict(reasons)) == (offered, omitted)
