"""Registers as nobody should write them: ids that change places, stations and texts without measure, imports that
are killed or run at once.

Three consumers are connected all the time: version 1, version 2, and version 2 with records of stations. After
each they have what REST lists, and no digest was wrong.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

import msgspec
import pytest
from tests.e2e.following import Follower, listed, status_entries
from tests.e2e.running import LADESTROM, environment
from tests.e2e.serving import Fold, Serving, now, tick
from tests.patience import DEADLINE_S
from tests.programs import PIPE, STDOUT, begin, kill

from ladestrom.ports.registry import ImportReport, RecordRefusal, StationDraft
from ladestrom.registers import REGISTERS
from ladestrom.registers.stations_columns import NAMES

Rows = Sequence[Mapping[str, str]]
EVSE: Final = "NO*ALF*E77*{}"
MANY: Final = 10_000
LONG: Final = "Ladeplass " * 110_000
"""A megabyte."""
REASON_CHARACTERS_MAX: Final = 1_000


def row(station: str, evse: str, **cells: str) -> dict[str, str]:
    return {
        "station_id": station,
        "name": f"Station {station}",
        "country": "NO",
        "latitude": "59.9",
        "longitude": "10.7",
        "evse_id": EVSE.format(evse),
        "connector1_standard": "CCS",
        **cells,
    }


def places(**stations: str) -> list[dict[str, str]]:
    """Stations by id, and the numbers of their EVSEs."""
    return [row(station, evse) for station, evses in stations.items() for evse in evses.split()]


def as_csv(rows: Rows) -> bytes:
    written = io.StringIO()
    writer = csv.DictWriter(written, list(dict.fromkeys(itertools.chain.from_iterable(rows))))
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue().encode()


def alike(listed: Any, told: Any) -> bool:
    """Whether both say the same of what both have: REST has statuses, records of the stream have parties."""
    if isinstance(listed, dict) and isinstance(told, dict):
        return all(alike(listed[name], told[name]) for name in listed.keys() & told.keys())
    if isinstance(listed, list) and isinstance(told, list):
        return len(listed) == len(told) and all(map(alike, listed, told))
    return bool(listed == told)


class World:
    """A server and three consumers, who never connect anew."""

    def __init__(self, server: Serving, stack: ExitStack) -> None:
        self.server = server
        self._fold = Fold()
        self._first = stack.enter_context(server.stream("types=snapshot,update"))
        self._second = stack.enter_context(Follower(server)).synced()
        self._third = stack.enter_context(Follower(server, include_stations=True)).synced()
        self._rounds = 0

    def bring(self, register: str, content: bytes, *, complete: bool = True) -> ImportReport:
        """Imports a file, and compares."""
        records = list(REGISTERS[register]([content]))
        report = self.server.write(
            lambda store: store.import_stations(register, records, now(), complete=complete)
        )
        self.in_step()
        return report

    def report(self, evse: str, status: str) -> None:
        self.server.report({"evse": evse, "status": status, "observed_at": tick()})

    def in_step(self) -> None:
        """All consumers have what REST lists."""
        server = self.server
        server.in_step()
        # The last entry is a status, of which version 1 is told.
        self._rounds += 1
        self.report("NO*ALF*E1342", ("CHARGING", "AVAILABLE")[self._rounds % 2])
        for follower in (self._second, self._third):
            follower.confirmed(server)
            assert follower.board == listed(server)
        told, stations = self._third.session.stations, self.stations()
        assert told.keys() == stations.keys()
        assert [uuid for uuid in told if not alike(stations[uuid], told[uuid])] == []
        board, _ = server.settled()
        self._fold.follow(self._first, status_entries(server)[-1].seq)
        assert self._fold.board == board

    def stations(self) -> dict[str, Any]:
        """What REST lists of stations on which somebody reports."""
        return {
            each["uuid"]: each
            for each in self.server.get("/api/v2/stations?limit=1000").json()["items"]
            if each["vanished_at"] is None
        }

    def stands(self) -> dict[str, tuple[str, str]]:
        """Of each EVSE of this file its station's name, and its status."""
        names = {uuid: each["name"] for uuid, each in self.stations().items()}
        return {
            evse.rpartition("*")[2]: (names[state[0]].removeprefix("Station "), state[1])
            for evse, state in listed(self.server).items()
            if evse.startswith(EVSE.format(""))
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Serving(tmp_path_factory.mktemp("bad")) as server, ExitStack() as stack:
        yield World(server, stack)


# -- ids that change places ----------------------------------------------------------------------------------

BEFORE: Final = {"a": "1 2", "b": "3", "c": "4 5 6"}
MOVES: Final[Mapping[str, Sequence[Mapping[str, str]]]] = {
    "two swap their ids": [{"a": "3", "b": "1 2", "c": "4 5 6"}],
    "two swap their ids and back": [{"a": "3", "b": "1 2", "c": "4 5 6"}, BEFORE],
    "two swap an EVSE each": [{"a": "3 2", "b": "1", "c": "4 5 6"}],
    "three rotate": [{"a": "4 5 6", "b": "1 2", "c": "3"}, {"a": "3", "b": "4 5 6", "c": "1 2"}, BEFORE],
    "an EVSE moves and back": [{"a": "1", "b": "3 2", "c": "4 5 6"}, BEFORE],
    "rotated in the other order of the file": [{"c": "3", "b": "1 2", "a": "4 5 6"}],
}


@pytest.mark.parametrize("story", MOVES, ids=lambda story: story.replace(" ", "_"))
def test_evses_are_where_the_newest_edition_says_and_keep_their_statuses(world: World, story: str) -> None:
    words = dict(zip("123456", itertools.cycle(("AVAILABLE", "CHARGING", "OUTOFORDER"))))
    world.bring("stations", as_csv(places(**BEFORE)))
    for evse, word in words.items():
        world.report(EVSE.format(evse), word)
    uuids = {each["name"]: uuid for uuid, each in world.stations().items()}
    for edition in MOVES[story]:
        report = world.bring("stations", as_csv(places(**edition)))
        assert (report.refused, report.notes, report.vanished) == ((), (), ())
        assert world.stands() == {
            evse: (station, words[evse]) for station, evses in edition.items() for evse in evses.split()
        }
        assert {each["name"]: uuid for uuid, each in world.stations().items()} == uuids


# -- without measure -----------------------------------------------------------------------------------------


def of_many(register: str, count: int) -> bytes:
    """One station with so many EVSEs, a connector each."""
    ids = [f"{7_000_000 + number}" for number in range(count)]
    if register == "stations":
        return as_csv([row("large", evse) for evse in ids])
    if register == "geojson":
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [10.7, 59.9]},
                "properties": each,
            }
            for each in (row("large", evse) for evse in ids)
        ]
        return json.dumps({"type": "FeatureCollection", "features": features}).encode()
    if register == "irve":
        rows = [
            {
                "id_station_itinerance": "FRALFPlarge",
                "nom_station": "Large",
                "coordonneesXY": "[2.3, 48.8]",
                "id_pdc_itinerance": f"FRALFE{evse}",
                "puissance_nominale": "22",
                "prise_type_2": "true",
                "date_maj": "2026-01-01",
            }
            for evse in ids
        ]
        return "\n".join(map(json.dumps, rows)).encode()
    if register == "nobil":
        attributes = {
            number: {"4": {"attrvalid": "32"}, "28": {"attrval": EVSE.format(evse)}}
            for number, evse in enumerate(ids, 1)
        }
        own = {"id": 17, "name": "Large", "Position": "(59.9,10.7)", "Land_code": "NOR"}
        record = {"csmd": own | {"International_id": "NOR_00017"}, "attr": {"st": {}, "conn": attributes}}
        return json.dumps({"Provider": "NOBIL.no", "apiver": "3", "chargerstations": [record]}).encode()
    plug = {"id": "1", "standard": "IEC_62196_T2", "format": "SOCKET", "power_type": "AC_3_PHASE"}
    location = {
        "country_code": "NO",
        "party_id": "ALF",
        "id": "large",
        "country": "NOR",
        "coordinates": {"latitude": "59.9", "longitude": "10.7"},
        "evses": [
            {"uid": evse, "evse_id": EVSE.format(evse), "status": "AVAILABLE", "connectors": [plug]}
            for evse in ids
        ],
    }
    return json.dumps([location]).encode()


@pytest.mark.parametrize("register", ["stations", "geojson", "irve", "nobil", "ocpi"])
def test_a_station_with_ten_thousand_evses_is_refused_with_what_to_do(register: str) -> None:
    parse = REGISTERS["stations" if register == "geojson" else register]
    for count, what in ((MANY, ("connectors", "bytes")), (1_001, ("more than 1000 connectors",))):
        (found,) = parse([of_many(register, count)])
        assert isinstance(found, RecordRefusal)
        assert any(each in found.reason for each in what), found.reason
        assert found.reason.endswith("split it into several stations"), found.reason
    (found,) = parse([of_many(register, 1_000)])
    assert isinstance(found, StationDraft), found


def test_a_station_that_grows_beyond_measure_stays_as_it_was(world: World) -> None:
    world.bring("stations", as_csv([*places(**BEFORE), *(row("large", f"{each}0") for each in range(1_000))]))
    before = world.stands()
    assert len(before) == 1_006
    grown = [*places(**BEFORE), *(row("large", f"{each}0", operator="Other") for each in range(1_001))]
    report = world.bring("stations", as_csv(grown))
    assert [(each.record, "split it" in each.reason) for each in report.refused] == [("large", True)]
    assert report.vanished == ()
    assert world.stands() == before
    world.bring("stations", as_csv(places(**BEFORE)))
    assert len(world.stands()) == 6


def test_texts_of_a_megabyte_are_cut_with_a_note_or_refused(world: World) -> None:
    rows = [
        {**row(f"t{number}", f"8{number}"), name: LONG}
        for number, name in enumerate(NAMES)
        if name != "station_id"
    ]
    report = world.bring(
        "stations", as_csv([*places(**BEFORE), *rows, {**row("s", "9"), "station_id": LONG}])
    )
    told = {each.record for each in report.refused} | {each.record for each in report.notes}
    missing = {each["station_id"] for each in rows} - told
    assert not missing, [list(NAMES)[int(each[1:])] for each in missing]
    assert report.refused_count + len(report.added) == len(rows) + 1
    assert max(len(each.reason) for each in report.refused) <= REASON_CHARACTERS_MAX
    assert max(len(each.note) for each in report.notes) <= REASON_CHARACTERS_MAX
    assert max(len(json.dumps(each)) for each in world.stations().values()) <= 10_000
    world.bring("stations", as_csv(places(**BEFORE)))


@pytest.mark.parametrize("register", ["irve", "nobil", "ocpi"])
def test_texts_of_a_megabyte_in_other_registers(world: World, register: str) -> None:
    record: Any = msgspec.json.decode(of_many(register, 1))
    own = record["chargerstations"][0]["csmd"] if register == "nobil" else record
    members = {
        "irve": ("nom_station", "nom_operateur", "adresse_station", "horaires", "tarification"),
        "nobil": ("name", "Owned_by", "Street", "City", "Description_of_location"),
        "ocpi": ("name", "address", "city", "postal_code", "operator"),
    }[register]
    for number, member in enumerate(members):
        target = own[0] if isinstance(own, list) else own
        had = dict(target)
        target[member] = {"name": LONG} if member == "operator" else LONG
        report = world.bring(register, msgspec.json.encode(record), complete=False)
        assert report.refused or any("cut" in each.note or member in each.note for each in report.notes), (
            member,
            report.notes,
        )
        assert all(len(each.note) <= REASON_CHARACTERS_MAX for each in report.notes)
        target.clear()
        target.update(had)
        assert number < len(members)


# -- killed, and at once -------------------------------------------------------------------------------------


def importing(world: World, register: str, **streams: Any) -> Any:
    command = [*LADESTROM, "import", register, "-", "--data", str(world.server.data)]
    return begin(command, stdin=PIPE, stdout=PIPE, stderr=STDOUT, env=environment({}), **streams)


def test_imports_that_are_killed_half_way_or_run_at_once(world: World) -> None:
    world.bring("stations", as_csv(places(**BEFORE)))
    before = world.stands()
    editions = [
        as_csv(
            [row(f"s{number}", f"{number}0", operator=f"Edition {edition}") for number in range(300)]
        ).decode()
        for edition in (1, 2)
    ]
    killed = importing(world, "stations")
    assert killed.stdin is not None
    assert killed.stdout is not None
    killed.stdin.write(editions[0][: len(editions[0]) // 2])
    killed.stdin.flush()
    kill(killed)
    killed.stdin.close()
    killed.stdout.close()
    world.in_step()
    assert world.stands() == before
    other = of_many("ocpi", 3).decode()
    programs = [importing(world, *each) for each in (("stations",), ("stations",), ("ocpi",))]
    for program, content in zip(programs, (*editions, other), strict=True):
        assert program.stdin is not None
        program.stdin.write(content)
        program.stdin.close()
    for program in programs:
        assert program.stdout is not None
        said = program.stdout.read()
        assert program.wait(DEADLINE_S) == 0, said
        program.stdout.close()
    world.in_step()
    found = [each for each in world.stations().values() if each["register"] == "stations"]
    assert len(found) == 300
    assert len({each["operator"] for each in found}) == 1, "one edition, whole"
    assert len(world.stands()) == 303
