"""Files of all stations and EVSEs: that each is of its form, and that nothing of what it tells is lost in it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import CCS, NOW, TYPE_2, make_change, make_evse, make_station

from ladestrom.formats.documents import Encoder, Seen
from ladestrom.formats.wire import instant
from ladestrom.model import NEVER, Operator, Outlet, Position, Station, Status, StatusChanged
from ladestrom.outputs.bulk.columns import EVSE_COLUMNS, STATION_COLUMNS, Evses, Stations, row
from ladestrom.outputs.bulk.encoder import COUNTED, Features, Lines
from ladestrom.protocols.delivery import ParseLimits
from ladestrom.protocols.interfaces import Request
from ladestrom.protocols.plain import Plain
from ladestrom.record import Access, Contact, Details, Hours, Opening, Payment, Terms, Vehicle

POSITION: Final = Position("abc", 481)
DETAILS: Final = Details(
    access=Access.RESTRICTED,
    access_text="Gäste; sonst niemand",
    contact=Contact(phone="+47 22 33 44 55", email="info@example.org"),
    opening=Opening(hours=(Hours(1, "08:00", "18:00"), Hours(7, "10:00", "24:00"))),
    payment=Payment(free=False, card=True, ad_hoc=True),
    vehicles=(Vehicle.CAR, Vehicle.TRUCK),
    parking_fee=True,
    postal_code="0001",
    licence="CC-BY-4.0",
)
EVSES: Final = tuple(make_evse(f"NO*ABC*E1*{number}") for number in range(1, len(COUNTED) + 1))


def seen(
    station: Station, statuses: Sequence[Status] = COUNTED, *, at: int = NOW, chosen: int | None = None
) -> Seen:
    told = [
        (evse, StatusChanged(number, make_change(evse, status, at)))
        for number, (evse, status) in enumerate(zip(station.evses, statuses, strict=False), 1)
    ]
    return Seen(station, 480, told, told[:chosen], lambda _, change: change.observed_at)


STATION: Final = make_station(
    "NOR_00001",
    EVSES,
    outlets=(Outlet(0, TYPE_2), Outlet(0, CCS), *(Outlet(number, CCS) for number in range(1, len(EVSES)))),
    operator="Fjord, Lading",
    address='Storgata "1"',
    city="Moss",
    register="nobil",
    native_id="17",
    details=DETAILS,
)
BARE: Final = make_station("NOR_00002", (make_evse("NO*ABC*E2", "NOR_00002"),), longitude=-5.5)


def made(encoder: Encoder[bytes], *stations: Seen) -> str:
    parts = [part for part in map(encoder.part, stations) if part is not None]
    return (encoder.head(POSITION) + b"".join(encoder.pieces(parts))).decode()


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


class TestGeoJson:
    def test_it_is_a_collection_of_features_with_its_position(self) -> None:
        told = json.loads(made(Features(), seen(STATION), seen(BARE)))
        assert (told["type"], told["epoch"], told["seq"]) == ("FeatureCollection", "abc", 481)
        assert told["bbox"] == [-5.5, 59.9, 10.7, 59.9]
        first, second = told["features"]
        assert (first["type"], first["id"]) == ("Feature", "NOR_00001")
        assert first["geometry"] == {"type": "Point", "coordinates": [10.7, 59.9]}
        assert second["geometry"]["coordinates"] == [-5.5, 59.9]

    def test_a_feature_has_the_record_and_numbers_by_status(self) -> None:
        statuses = [Status.AVAILABLE, Status.AVAILABLE, Status.CHARGING]
        (feature,) = json.loads(made(Features(), seen(STATION, statuses, chosen=1)))["features"]
        told = feature["properties"]
        assert (told["uuid"], told["revision"], told["name"]) == ("NOR_00001", 480, "Station NOR_00001")
        assert told["payment"] == {"free": False, "card": True, "ad_hoc": True}
        assert told["vehicles"] == ["car", "truck"]
        assert (told["max_kw"], told["connectors"]) == (150.0, ["IEC_62196_T2", "IEC_62196_T2_COMBO"])
        assert (told["evses"], told["available"], told["charging"], told["unknown"]) == (3, 2, 1, 0)
        assert "position" not in told

    def test_what_a_register_does_not_say_is_absent(self) -> None:
        (feature,) = json.loads(made(Features(), seen(BARE)))["features"]
        assert not {"payment", "vehicles", "opening", "access", "updated_at"} & set(feature["properties"])

    def test_without_stations_it_is_a_collection_all_the_same(self) -> None:
        assert json.loads(made(Features())) == {
            "type": "FeatureCollection",
            "epoch": "abc",
            "seq": 481,
            "features": [],
        }

    def test_the_position_is_told_before_the_features_only(self) -> None:
        """Where nothing but the position differs, documents are taken for the same."""
        encoder = Features()
        part = encoder.part(seen(STATION))
        assert b"abc" not in b"".join(encoder.pieces([part]))


class TestLines:
    def test_each_line_is_an_evse_that_our_own_interface_reads_back(self) -> None:
        text = made(Lines(), seen(STATION), seen(BARE, [Status.UNKNOWN], at=NEVER))
        lines = [json.loads(line) for line in text.splitlines()]
        assert text.endswith("\n")
        assert [line["evse"] for line in lines[:-1]] == [evse.name for evse in EVSES]
        body = msgspec.json.encode(
            [
                {name: line[name] for name in ("evse", "status", "error", "observed_at")}
                for line in lines
                if line["observed_at"]
            ]
        )
        request = Request("POST", "", {}, {}, body)
        words = Plain().receive(request, Operator("abc"), ParseLimits()).reports
        assert [(word.evse, word.status, word.observed_at) for word in words] == [
            (evse.name, status, NOW) for evse, status in zip(EVSES, COUNTED, strict=True)
        ]

    def test_only_selected_ones_are_told(self) -> None:
        assert len(made(Lines(), seen(STATION, chosen=2)).splitlines()) == 2


class TestCsv:
    def test_a_station_is_a_row(self) -> None:
        first, second = table(made(Stations(), seen(STATION), seen(BARE)))
        assert tuple(first) == STATION_COLUMNS
        assert (first["operator"], first["address"]) == ("Fjord, Lading", 'Storgata "1"')
        assert (first["opening"], first["access"]) == ("Mo 08:00-18:00;Su 10:00-24:00", "restricted")
        assert (first["free"], first["payment"], first["parking_fee"]) == ("false", "card;ad_hoc", "true")
        assert (first["vehicles"], first["phone"]) == ("car;truck", "+47 22 33 44 55")
        assert (first["evses"], first["available"], first["max_kw"]) == (str(len(COUNTED)), "1", "150")
        assert (second["longitude"], second["latitude"]) == ("-5.5", "59.9")
        assert {second[name] for name in ("opening", "free", "payment", "parking_fee", "updated_at")} == {""}

    def test_an_evse_is_a_row_and_its_status_is_read_back(self) -> None:
        rows = table(made(Evses(), seen(STATION)))
        assert tuple(rows[0]) == EVSE_COLUMNS
        assert [(each["evse"], each["status"]) for each in rows] == [
            (evse.name, status.value) for evse, status in zip(EVSES, COUNTED, strict=True)
        ]
        assert rows[0]["connectors"] == "IEC_62196_T2 22;IEC_62196_T2_COMBO 150"
        assert {each["observed_at"] for each in rows} == {instant(NOW)}
        assert {each["station_name"] for each in rows} == {"Station NOR_00001"}
        assert {each["access"] for each in rows} == {"restricted"}

    def test_an_evse_with_terms_of_its_own_has_these(self) -> None:
        own = make_evse(
            "NO*ABC*E2", "NOR_00002", terms=Terms(access=Access.PUBLIC, payment=Payment(free=True))
        )
        (told,) = table(made(Evses(), seen(make_station("NOR_00002", (own,), details=DETAILS))))
        assert (told["access"], told["free"], told["payment"]) == ("public", "true", "")

    @pytest.mark.parametrize(
        ("told", "written"),
        [
            (Opening(always=True), "24/7"),
            (Opening(text="Lundi, mardi"), "Lundi, mardi"),
            (Opening(always=False, text="nachts zu"), "nachts zu"),
        ],
    )
    def test_hours_are_told_in_short(self, told: Opening, written: str) -> None:
        place = make_station(
            "NOR_00002", (make_evse("NO*ABC*E2", "NOR_00002"),), details=Details(opening=told)
        )
        assert table(made(Stations(), seen(place)))[0]["opening"] == written

    @pytest.mark.parametrize(
        "text",
        [
            '=HYPERLINK("http://evil.example","x")',
            "+cmd|' /C calc'!A0",
            "-2+3+cmd|' /C calc'!A0",
            "@SUM(1+1)*cmd|' /C calc'!A0",
            "\t=1+1",
            "\r=1+1",
            "+A1",
            "\uff1d1+1",
        ],
    )
    def test_no_text_of_others_is_a_formula(self, text: str) -> None:
        (told,) = table(made(Stations(), seen(make_station("NOR_00002", BARE.evses, operator=text))))
        assert told["operator"] == f"'{text}"

    @pytest.mark.parametrize("text", ["+47 22 33 44 55", "+33-1-23", "-5", "47", "Torget = 1", "a@b.example"])
    def test_what_is_no_formula_stays_as_it_is(self, text: str) -> None:
        assert row([text]) == f"{text}\r\n"

    @given(st.lists(st.one_of(st.none(), st.text(), st.floats(allow_nan=False), st.booleans()), min_size=2))
    def test_every_row_is_read_as_as_many_cells(self, cells: list[Any]) -> None:
        written = row(cells)
        (read,) = list(csv.reader(io.StringIO(written, newline=""), strict=True))
        assert len(read) == len(cells)
        for told, cell in zip(read, cells, strict=True):
            if isinstance(cell, str):
                assert told.removeprefix("'") == cell.removeprefix("'")
                assert not told.startswith(("=", "@", "\t", "\r"))
