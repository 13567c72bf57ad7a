from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import zip_longest
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.core import electrical
from ladestrom.core.drafts import completed, doubled_key, fault, fingerprint, joined, supersedes
from ladestrom.model import Connector, Evse, Outlet, Reading, Station, Status, evse_key
from ladestrom.ports.registry import StationDraft
from ladestrom.record import Access, Contact, Details, Format, Hours, Id, Opening, Span, Terms, Vehicle

CCS = Connector("IEC_62196_T2_COMBO", 150.0)
SPAN = Span("2025-12-24T12:00:00Z", "2025-12-27T00:00:00Z")


def draft(**changes: Any) -> StationDraft:
    """A station without uuid: EVSEs 0 and 1 with ids, EVSE 2 without; connectors of 1, 0, 2, 2."""
    station = Station(
        uuid="",
        name="Town hall",
        country="FRA",
        latitude=48.8,
        longitude=2.3,
        evses=(Evse("FRABCE1", ""), Evse("fr*abc-e2", ""), Evse("", "")),
        outlets=tuple(Outlet(index, CCS) for index in (1, 0, 2, 2)),
        native_id="FRABCP1",
    )
    readings = changes.pop("readings", ())
    updated_at = changes.pop("updated_at", -1)
    return StationDraft(msgspec.structs.replace(station, **changes), readings, updated_at=updated_at)


def reading(status: Status = Status.AVAILABLE, observed_at: int = 1000, raw: str = "0") -> Reading:
    return Reading("", status, error=False, observed_at=observed_at, raw=raw)


def test_a_draft_in_order_has_no_fault() -> None:
    assert fault(draft(readings=((0, reading()),))) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"native_id": ""}, "it has no id"),
        ({"uuid": "NOR_1"}, '"NOR_1" is no uuid'),
        ({"uuid": "nor_01333"}, "is no uuid"),
        ({"uuid": "NOR_1234567890"}, "is no uuid"),
        ({"uuid": "NOR_01333\n"}, "is no uuid"),
        ({"country": "FR"}, '"FR" is no country'),
        ({"country": "fra"}, "is no country"),
        ({"latitude": math.nan}, "not on the globe"),
        ({"longitude": math.inf}, "not on the globe"),
        ({"latitude": 90.1}, "not on the globe"),
        ({"longitude": -180.1}, "not on the globe"),
        ({"evses": tuple(Evse(f"FRS63E{n}", "") for n in range(2_001)), "outlets": ()}, "at most 2000"),
        ({"outlets": (Outlet(0, CCS),) * 8_001}, "at most 8000"),
        ({"name": "x" * 10_001}, "at most 10000"),
        ({"evses": (Evse("FRS63E1", "", uid="x" * 1_000_000),), "outlets": ()}, "1000000 characters"),
        ({"name": "Town\0hall"}, "cannot be kept"),
        ({"city": "\ud83d"}, "cannot be kept"),
        ({"evses": (Evse("FR\0", ""),), "outlets": ()}, "cannot be kept"),
        ({"details": Details(brand="Lade\0")}, "cannot be kept"),
        ({"details": Details(opening=Opening(text="\ud83d"))}, "cannot be kept"),
        ({"details": Details(ids=(Id("datex", "x" * 10_001),))}, "at most 10000"),
        (
            {"evses": (Evse("FRABCE1", "", terms=Terms(tariff_text="\udc00")),), "outlets": ()},
            "cannot be kept",
        ),
        ({"evses": (Evse("FRABCE1", "", label="A\0"),), "outlets": ()}, "cannot be kept"),
        ({"outlets": (Outlet(3, CCS),)}, "connector 1 belongs to an EVSE that is not there"),
        ({"outlets": (Outlet(2, CCS), Outlet(-1, CCS))}, "connector 2 belongs"),
        ({"outlets": (Outlet(2, Connector("X", math.nan)),)}, "connector 1 has a power"),
        ({"outlets": (Outlet(0, CCS),)}, "EVSE 3 has neither an id nor a connector"),
        ({"readings": ((3, reading()),)}, "status of EVSE 4, which is not there"),
        ({"readings": ((-1, reading()),)}, "which is not there"),
        ({"readings": ((0, reading(observed_at=-2)),)}, "impossible time"),
        ({"readings": ((0, reading(observed_at=2**53)),)}, "impossible time"),
        ({"readings": ((0, reading(raw="\udc00")),)}, "cannot be kept"),
        ({"details": Details(ids=(Id("irve", "1"),) * 101)}, "it has 101 ids; at most 100 are taken"),
        ({"details": Details(images=("https://example.org/1",) * 101)}, "101 images"),
        ({"details": Details(derived=("time_zone",) * 101)}, "101 derived"),
        ({"details": Details(vehicles=(Vehicle.CAR,) * 21)}, "21 vehicles"),
        ({"details": Details(opening=Opening(hours=(Hours(1, "08:00", "09:00"),) * 201))}, "201 hours"),
        ({"details": Details(opening=Opening(openings=(SPAN,) * 1_001))}, "1001 openings"),
        ({"details": Details(opening=Opening(closings=(SPAN,) * 1_001))}, "1001 closings"),
        ({"evses": (Evse("FRS63E1", "", capabilities=("X",) * 101),), "outlets": ()}, "101 capabilities"),
        (
            {"evses": (Evse("FRS63E1", "", terms=Terms(vehicles=(Vehicle.CAR,) * 21)),), "outlets": ()},
            "21 vehicles",
        ),
        ({"outlets": (Outlet(2, Connector("X", derived=("max_v",) * 101)),)}, "101 derived"),
        ({"details": Details(directions="x" * 10_001)}, "at most 10000"),
        (
            {"evses": (Evse("FRS63E1", "", terms=Terms(tariff_text="x" * 9_000)),) * 112, "outlets": ()},
            "its texts have 1008800 characters; at most 1000000 are taken",
        ),
        ({"details": Details(max_height_m=math.nan)}, "its greatest height is no number"),
        (
            {"evses": (Evse("FRS63E1", "", terms=Terms(max_height_m=math.inf)),), "outlets": ()},
            "its greatest height is no number",
        ),
        (
            {"evses": (Evse("FRS63E1", "", max_kw=math.inf),), "outlets": ()},
            "EVSE 1 has a power that is no number",
        ),
        (
            {"outlets": (Outlet(2, Connector("X", max_v=math.nan)),)},
            "voltage or current that is no number",
        ),
        (
            {"outlets": (Outlet(2, Connector("X", max_a=math.inf)),)},
            "voltage or current that is no number",
        ),
        ({"details": Details(time_limit_min=-1)}, "its time limit is impossible"),
        ({"details": Details(time_limit_min=2**53)}, "its time limit is impossible"),
        ({"updated_at": 2**53}, "it was updated at an impossible time"),
        ({"updated_at": -2}, "it was updated at an impossible time"),
    ],
)
def test_what_no_database_should_get_is_a_fault_that_says_what_it_is(
    changes: dict[str, Any], words: str
) -> None:
    told = fault(draft(**changes))
    assert told is not None
    assert words in told


def with_each_text(value: Any, by: str) -> Iterator[tuple[str, Any]]:
    """The value with each of its texts replaced, one at a time, and where that text was."""
    if isinstance(value, str) and not isinstance(value, Enum):
        yield "", by
    elif isinstance(value, tuple):
        for index, part in enumerate(value):
            for where, other in with_each_text(part, by):
                yield f"[{index}]{where}", (*value[:index], other, *value[index + 1 :])
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            for where, other in with_each_text(getattr(value, name), by):
                yield f".{name}{where}", msgspec.structs.replace(value, **{name: other})


TEXTS_OF_TERMS: dict[str, Any] = {"access_text": "x", "tariff_text": "x"}
FULL = draft(
    operator="x",
    address="x",
    city="x",
    evses=(
        Evse(
            "FRABCE1",
            "",
            evse_id="FRABCE1",
            uid="x",
            party="FRABC",
            label="x",
            floor="x",
            capabilities=("x",),
            terms=Terms(**TEXTS_OF_TERMS),
        ),
    ),
    outlets=(Outlet(0, Connector("x", derived=("x",))),),
    details=Details(
        **TEXTS_OF_TERMS,
        ids=(Id("x", "x"),),
        brand="x",
        owner="x",
        contact=Contact(phone="x", email="x", web="x"),
        postal_code="x",
        municipality="x",
        municipality_code="x",
        region="x",
        time_zone="x",
        opening=Opening(hours=(Hours(1, "x", "x"),), openings=(SPAN,), closings=(SPAN,), text="x"),
        images=("x",),
        directions="x",
        licence="x",
        attribution="x",
        derived=("x",),
    ),
)
REPLACED_BY_THE_STORE = {".register", ".evses[0].station"}


@pytest.mark.parametrize("text", ["\0", "\ud83d", "x" * 10_001], ids=["NUL", "surrogate", "long"])
def test_no_text_of_a_record_may_be_long_or_have_what_cannot_be_kept(text: str) -> None:
    assert fault(FULL) is None
    changed = dict(with_each_text(FULL.station, text))
    assert len(changed) > 40
    passed = {
        where
        for where, station in changed.items()
        if fault(msgspec.structs.replace(FULL, station=station)) is None
    }
    assert passed == REPLACED_BY_THE_STORE


def optional_texts(kind: type[msgspec.Struct]) -> set[str]:
    """The members of a part of a record that are texts, alone or in lists."""
    return {
        field.encode_name
        for field in msgspec.structs.fields(kind)
        if field.type in {str | None, tuple[str, ...]}
    }


def test_the_record_above_has_every_text_that_there_is() -> None:
    details = FULL.station.details
    for part in (details, FULL.station.evses[0], FULL.station.outlets[0].connector, details.contact):
        assert part is not None
        assert {name for name in optional_texts(type(part)) if not getattr(part, name)} == set()


def test_a_station_without_evses_can_be_kept() -> None:
    assert fault(draft(evses=(), outlets=())) is None


def test_an_evse_without_id_gets_the_id_of_its_first_connector() -> None:
    station, _ = completed(draft(), "irve", "FRA_00007")
    assert [evse.key for evse in station.evses] == ["FRABCE1", "FRABCE2", "FRA_00007_03"]
    assert {evse.station for evse in station.evses} == {"FRA_00007"}


def local(*uids: str | None, ids: Sequence[str | None] = ()) -> StationDraft:
    """A station whose EVSEs have these uids and EVSE ids, and one connector each."""
    pairs = zip_longest(uids, ids)
    evses = tuple(
        Evse(evse_key(evse_id or ""), "", evse_id=evse_id, uid=uid, party="FRABC") for uid, evse_id in pairs
    )
    return draft(evses=evses, outlets=tuple(Outlet(index, CCS) for index in range(len(evses))))


def keys(given_draft: StationDraft, before: Station | None = None) -> list[str]:
    return [evse.key for evse in completed(given_draft, "ocpi:abc", "FRA_00007", before)[0].evses]


def numbers(given_draft: StationDraft, before: Station | None = None) -> list[int]:
    return [int(key.removeprefix("FRA_00007_")) for key in keys(given_draft, before)]


class TestRegistryKeys:
    BEFORE, _ = completed(local("a", "b", "c"), "ocpi:abc", "FRA_00007")

    def test_an_evse_keeps_its_key_where_its_uid_stands_elsewhere(self) -> None:
        assert numbers(local("c", "A", "b"), self.BEFORE) == [3, 1, 2]
        assert numbers(local("c"), self.BEFORE) == [3]

    def test_a_new_evse_gets_no_key_that_another_had(self) -> None:
        assert numbers(local("new", "a", "c"), self.BEFORE) == [4, 1, 3]
        assert numbers(local("new", "newer"), self.BEFORE) == [4, 5]

    def test_an_evse_without_uid_is_known_by_its_place(self) -> None:
        before, _ = completed(local(None, None), "nobil", "FRA_00007")
        assert numbers(local("a", "b", None), before) == [1, 2, 3]
        assert numbers(local(None, None), self.BEFORE) == [1, 2]

    def test_an_evse_that_gets_an_evse_id_is_held_by_it(self) -> None:
        assert keys(local("a", "b", ids=("FR*ABC*E1", None)), self.BEFORE) == ["FRABCE1", "FRA_00007_02"]

    def test_the_same_uid_twice_is_two_evses(self) -> None:
        assert numbers(local("a", "a", "b"), self.BEFORE) == [1, 4, 2]

    @pytest.mark.parametrize("evse_id", ["FR*XYZ*E1", "frxyze1"])
    def test_an_id_of_another_party_than_the_records_does_not_hold_an_evse(self, evse_id: str) -> None:
        station, _ = completed(local("a", ids=(evse_id,)), "datex", "FRA_00007")
        assert [(evse.key, evse.name) for evse in station.evses] == [("FRA_00007_01", "FRA_00007_01")]
        again, _ = completed(local("x", None, ids=(None, evse_id)), "datex", "FRA_00007", station)
        assert [evse.key for evse in again.evses] == ["FRA_00007_03", "FRA_00007_01"]

    @pytest.mark.parametrize("evse_id", ["+49*810*000*438", "49*810*000*438"])
    def test_an_id_in_digits_names_no_party(self, evse_id: str) -> None:
        assert keys(local("a", ids=(evse_id,))) == ["49810000438"]


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=5), min_size=2, max_size=4
    )
)
def test_a_registry_key_never_passes_to_an_evse_with_another_uid(imports: list[list[str | None]]) -> None:
    before: Station | None = None
    for uids in imports:
        station, _ = completed(local(*uids), "ocpi:abc", "FRA_00007", before)
        assert len({evse.key for evse in station.evses}) == len(uids)
        had = {} if before is None else {evse.key: evse.uid for evse in before.evses}
        for evse in station.evses:
            other = had.get(evse.key)
            assert other is None or evse.uid is None or other == evse.uid
        before = station


class TestFingerprint:
    def test_it_says_whether_the_record_says_the_same(self) -> None:
        one = fingerprint(draft().station)
        assert one == fingerprint(draft(uuid="FRA_00007", register="irve", vanished_at=5, told=7).station)
        assert 0 < one < 2**63
        others = [
            draft(name="Another"),
            draft(outlets=draft().station.outlets[:-1]),
            draft(evses=(*draft().station.evses[:2], Evse("", "", uid="1"))),
        ]
        assert len({one, *(fingerprint(each.station) for each in others)}) == 4

    def test_keys_that_the_registry_gave_do_not_count(self) -> None:
        given_draft = local("a", "b", ids=("FR*ABC*E1", None))
        station, _ = completed(given_draft, "ocpi:abc", "FRA_00007")
        assert station.told == fingerprint(given_draft.station) == fingerprint(station)

    def test_what_was_derived_does_not_count_and_what_was_said_does(self) -> None:
        given_draft = draft(evses=(Evse("FRABCE1", ""),), outlets=(Outlet(0, CCS),))
        station, _ = completed(given_draft, "ocpi:abc", "FRA_00007")
        assert station.evses[0].max_kw == 150.0
        assert station.outlets != given_draft.station.outlets
        assert station.told == fingerprint(given_draft.station) == fingerprint(station)
        said = (Evse("FRABCE1", "", max_kw=100.0),)
        assert fingerprint(msgspec.structs.replace(station, evses=said)) != station.told
        cable = Outlet(0, msgspec.structs.replace(CCS, format=Format.CABLE))
        assert fingerprint(msgspec.structs.replace(station, outlets=(cable,))) != station.told


def test_a_completed_station_has_uuid_and_register_and_has_not_vanished() -> None:
    station, _ = completed(draft(register="other", vanished_at=5), "irve", "FRA_00007")
    assert (station.uuid, station.register, station.vanished_at) == ("FRA_00007", "irve", None)
    assert [(each.evse, each.connector.standard) for each in station.outlets] == [
        (each.evse, each.connector.standard) for each in draft().station.outlets
    ]


def test_what_no_register_said_of_connectors_is_derived_once_and_is_one_object() -> None:
    station, _ = completed(draft(), "irve", "FRA_00007")
    connectors = [each.connector for each in station.outlets]
    assert connectors[0] == electrical.completed(CCS)
    assert connectors[0].derived == ("format", "max_a", "max_v", "power_type")
    assert all(each is connectors[0] for each in connectors)
    again, _ = completed(StationDraft(station), "irve", "FRA_00007")
    assert again.outlets == station.outlets


def test_an_evse_has_the_power_of_its_strongest_connector_unless_its_register_says_another() -> None:
    evses = (Evse("FRABCE1", "", max_kw=100.0), Evse("FRABCE2", ""), Evse("", ""))
    connectors = ((0, CCS), (1, Connector("IEC_62196_T2", 22.0)), (1, CCS), (2, Connector("UNKNOWN")))
    outlets = tuple(Outlet(*each) for each in connectors)
    station, _ = completed(draft(evses=evses, outlets=outlets), "irve", "FRA_00007")
    assert [each.max_kw for each in station.evses] == [100.0, 150.0, None]


def test_readings_get_their_evse_and_the_newest_of_each_counts() -> None:
    old, new = reading(Status.CHARGING, 1000), reading(Status.AVAILABLE, 2000)
    for order in (((1, old), (1, new)), ((1, new), (1, old))):
        _, readings = completed(draft(readings=(*order, (2, old))), "irve", "FRA_00007")
        assert [(each.evse, each.observed_at) for each in readings] == [
            ("FRABCE2", 2000),
            ("FRA_00007_03", 1000),
        ]


def test_an_evse_key_that_stands_twice_is_found_in_every_written_form() -> None:
    station, _ = completed(draft(evses=(Evse("fr*abc*e1", ""), Evse("FRABCE1", ""))), "irve", "FRA_00007")
    assert doubled_key(station) == "FRABCE1"
    assert doubled_key(completed(draft(), "irve", "FRA_00007")[0]) is None


@pytest.mark.parametrize(
    ("observed_at", "status", "replaces"),
    [
        (1001, Status.AVAILABLE, True),
        (1001, Status.CHARGING, True),
        (1000, Status.CHARGING, True),
        (1000, Status.AVAILABLE, False),
        (999, Status.CHARGING, False),
    ],
)
def test_a_reading_replaces_an_older_one_or_one_as_old_that_says_otherwise(
    observed_at: int, status: Status, replaces: bool
) -> None:
    assert supersedes(reading(status, observed_at), reading()) is replaces
    assert supersedes(reading(status, observed_at), None)


anything = st.one_of(st.just(""), st.text(max_size=4), st.sampled_from(["NOR_01333", "FRA", "FRABCE1"]))


@given(
    uuid=anything,
    country=anything,
    key=anything,
    latitude=st.floats(),
    power_kw=st.none() | st.floats(),
    outlet=st.integers(-2, 2),
    observed_at=st.integers(),
    at=st.integers(-2, 2),
)
def test_what_has_no_fault_can_be_completed(  # noqa: PLR0917 - one argument for each part of a draft
    uuid: str,
    country: str,
    key: str,
    latitude: float,
    power_kw: float | None,
    outlet: int,
    observed_at: int,
    at: int,
) -> None:
    given_draft = draft(
        uuid=uuid,
        country=country,
        latitude=latitude,
        evses=(Evse(key, ""),),
        outlets=(Outlet(outlet, Connector("X", power_kw)),),
        readings=((at, reading(observed_at=observed_at)),),
    )
    if fault(given_draft) is None:
        station, readings = completed(given_draft, "irve", uuid or "FRA_00001")
        assert all(evse.key for evse in station.evses)
        assert [each.evse for each in readings] == [station.evses[0].key]


class TestJoined:
    KNOWN, _ = completed(draft(), "oicp:abc", "FRA_00001")

    def part(self, *evses: str, readings: tuple[tuple[int, Reading], ...] = ()) -> StationDraft:
        """A draft of these EVSEs, each with two connectors of another kind."""
        outlets = tuple(
            Outlet(index, Connector("CHADEMO", 50.0)) for index in range(len(evses)) for _ in range(2)
        )
        made = tuple(Evse(each, "") for each in evses)
        return draft(evses=made, outlets=outlets, name="Another name", readings=readings)

    def kinds(self, station: Station) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {evse.key: [] for evse in station.evses}
        for outlet in station.outlets:
            found[station.evses[outlet.evse].key].append(outlet.connector.standard)
        return found

    def test_evses_that_the_draft_lacks_stay_as_they_are(self) -> None:
        own = joined(self.KNOWN, self.part("FRABCE2")).station
        assert own.name == "Another name"
        assert self.kinds(own) == {
            "FRABCE1": ["IEC_62196_T2_COMBO"],
            "FRABCE2": ["CHADEMO", "CHADEMO"],
            "FRA_00001_03": ["IEC_62196_T2_COMBO", "IEC_62196_T2_COMBO"],
        }

    def test_new_ones_come_last(self) -> None:
        own = joined(self.KNOWN, self.part("FRABCE9", "FRABCE1")).station
        assert list(self.kinds(own)) == ["FRABCE1", "FRABCE2", "FRA_00001_03", "FRABCE9"]
        assert self.kinds(own)["FRABCE9"] == ["CHADEMO", "CHADEMO"]

    def test_readings_stay_with_their_evses(self) -> None:
        whole = joined(self.KNOWN, self.part("FRABCE9", "FRABCE2", readings=((0, reading()), (1, reading()))))
        assert [whole.station.evses[index].key for index, _ in whole.readings] == ["FRABCE9", "FRABCE2"]
        assert fault(whole) is None

    def test_each_evse_keeps_its_terms_where_the_draft_has_others(self) -> None:
        public, restricted = Terms(access=Access.PUBLIC), Terms(access=Access.RESTRICTED)
        known = msgspec.structs.replace(self.KNOWN, details=Details(access=Access.PUBLIC, brand="Abc"))
        part = self.part("FRABCE2").station
        part = msgspec.structs.replace(part, details=Details(access=Access.RESTRICTED, brand="Def"))
        own = joined(known, StationDraft(part)).station
        assert own.details == Details(brand="Def")
        assert [evse.terms for evse in own.evses] == [public, restricted, public]
        again = joined(own, StationDraft(part)).station
        assert (again.details, [evse.terms for evse in again.evses]) == (
            own.details,
            [public, restricted, public],
        )

    def test_a_draft_of_all_of_them_is_as_it_is(self) -> None:
        whole = draft(evses=self.KNOWN.evses)
        assert completed(joined(self.KNOWN, whole), "oicp:abc", "FRA_00001")[0].evses == self.KNOWN.evses


def test_a_time_zone_that_no_register_says_follows_from_country_and_position() -> None:
    own = draft()
    station, _ = completed(own, "irve", "FRA_00001")
    assert station.details == Details(time_zone="Europe/Paris", derived=("time_zone",))
    assert station.told == fingerprint(own.station), "what the register says has not changed"
    overseas, _ = completed(draft(latitude=-20.9, longitude=55.5), "irve", "FRA_00001")
    assert overseas.details.time_zone == "Indian/Reunion"
    nowhere, _ = completed(draft(latitude=0.0, longitude=-140.0), "irve", "FRA_00001")
    assert nowhere.details == Details()


def test_a_time_zone_that_a_register_says_stays() -> None:
    own = draft(details=Details(time_zone="Europe/Andorra"))
    assert completed(own, "irve", "FRA_00001")[0].details == Details(time_zone="Europe/Andorra")


def test_stations_of_which_nothing_else_is_known_share_their_details() -> None:
    first, second = (completed(draft(), "irve", uuid)[0] for uuid in ("FRA_00001", "FRA_00002"))
    assert first.details is second.details
