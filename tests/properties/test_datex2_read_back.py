"""What is published as DATEX II is read back by our own readers: of stations, and of statuses."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.building import NOW, make_change, make_evse, make_station
from tests.datex2 import DELTA, MAKING, status_publications, tables

from ladestrom.core.fields import Notes, clean, plain
from ladestrom.model import Change, Connector, Evse, Outlet, Station, Status
from ladestrom.outputs.datex2 import words
from ladestrom.ports.registry import StationDraft
from ladestrom.protocols import datex2 as protocol
from ladestrom.protocols.delivery import ParseLimits
from ladestrom.record import Details
from ladestrom.registers import datex2 as register

LIMITS = ParseLimits()
SETTLED = {Status.PLANNED, Status.REMOVED}
"""What is not there yet, or no more, has no error beside its status."""
COUNTRIES = st.sampled_from(["NOR", "SWE", "DAN", "FRA", "DEU", "CHE"])
EVSE_IDS = st.from_regex(r"(NO\*ABC\*E|NOABCE|SE-DEF-E)[A-Z0-9]{1,12}", fullmatch=True)
CONNECTORS = st.builds(
    Connector,
    st.sampled_from([*words.CONNECTORS, "UNKNOWN"]),
    st.integers(1_000, 400_000).map(lambda watts: watts / 1_000),
)


def texts(chars_max: int = 80) -> st.SearchStrategy[str]:
    """Such as a record has: they were cleaned when they were read."""

    def cleaned(text: str) -> str:
        return plain(clean(text, "name", chars_max, Notes(5)))

    return st.text(st.characters(codec="utf-8"), max_size=chars_max).map(cleaned)


@st.composite
def stations(draw: st.DrawFn) -> Station:
    country = draw(COUNTRIES)
    uuid = f"{country}_{draw(st.integers(1, 99_999)):05d}"
    written = draw(st.lists(EVSE_IDS, min_size=1, max_size=4, unique_by=lambda name: make_evse(name).key))
    evses: list[Evse] = []
    for number, name in enumerate(written, 1):
        is_held = draw(st.booleans())
        own = {} if is_held else {"key": f"{uuid}_{number:02d}", "evse_id": None}
        evses.append(make_evse(name, uuid, **({"party": None} | own)))
    outlets = [
        Outlet(index, plug)
        for index in range(len(evses))
        for plug in draw(st.lists(CONNECTORS, min_size=1, max_size=3))
    ]
    name = draw(texts())
    return make_station(
        uuid,
        evses,
        name=name or "Station",
        latitude=draw(st.integers(1_000_000, 80_000_000)) / 1e6,
        longitude=draw(st.integers(1_000_000, 170_000_000)) / 1e6,
        outlets=tuple(outlets),
        operator=draw(texts()) or None,
        address=draw(texts()) or None,
        city=draw(texts()) or None,
    )


@st.composite
def states(draw: st.DrawFn, station: Station) -> dict[str, Change]:
    return {
        evse.key: make_change(
            evse,
            status := draw(st.sampled_from(Status)),
            NOW,
            observed_at=draw(st.integers(1_000_000_000_000, NOW)),
            error=status is Status.OUTOFORDER or (status not in SETTLED and draw(st.booleans())),
            raw=draw(st.sampled_from(["Occupied", "1/0", "CHARGING"])),
        )
        for evse in station.evses
    }


@given(st.data(), st.sampled_from([MAKING, DELTA]))
def test_statuses_are_read_back_as_they_are(data: st.DataObject, making: Any) -> None:
    station = data.draw(stations())
    changes = data.draw(states(station))
    for body in status_publications([station], changes, making):
        delivery = protocol.receive(body, "us", LIMITS)
        assert delivery.refused == []
        assert delivery.unmapped == 0
        assert [
            (report.evse, report.status, report.error, report.observed_at) for report in delivery.reports
        ] == [
            (evse.name, changes[evse.key].status, changes[evse.key].error, changes[evse.key].observed_at)
            for evse in station.evses
        ]


@given(st.lists(stations(), max_size=4, unique_by=lambda station: station.uuid))
def test_only_a_snapshot_is_complete(found: list[Station]) -> None:
    changes = {evse.key: make_change(evse) for station in found for evse in station.evses}
    as_json, _ = status_publications(found, changes, MAKING)
    assert protocol.receive(as_json, "us", LIMITS).complete == (len(found) > 1)
    for body in status_publications(found, changes, DELTA):
        assert not protocol.receive(body, "us", LIMITS).complete


def _read(station: Station, body: bytes) -> Station:
    (draft,) = register.parse([body])
    assert isinstance(draft, StationDraft), (station, draft)
    return draft.station


@given(stations())
def test_stations_are_read_back_as_they_are(station: Station) -> None:
    for body in tables([station]):
        read = _read(station, body)
        assert read.native_id == station.uuid
        assert [(evse.evse_id or evse.uid, evse.key) for evse in read.evses] == [
            (evse.name, evse.key if evse.evse_id else "") for evse in station.evses
        ]
        for member in ("name", "country", "latitude", "longitude", "operator", "address", "city"):
            assert getattr(read, member) == getattr(station, member), member
        assert [
            (outlet.evse, outlet.connector.standard, outlet.connector.max_kw) for outlet in read.outlets
        ] == [(outlet.evse, outlet.connector.standard, outlet.connector.max_kw) for outlet in station.outlets]


@given(stations(), st.sampled_from(["NOABC", "SEDEF"]))
def test_whose_its_evses_are_is_read_back(station: Station, party: str) -> None:
    evses = tuple(msgspec.structs.replace(evse, party=party) for evse in station.evses)
    owned = msgspec.structs.replace(station, operator="Fjord", evses=evses, details=Details())
    for body in tables([owned]):
        assert {evse.party for evse in _read(owned, body).evses} == {party}
