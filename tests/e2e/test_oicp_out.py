"""Statuses and stations in the words of OICP from outside: the federal file's shape, what EMPs pull, and a server
of ours that pulls from one of ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
import jsonschema
import msgspec
import pytest
from tests.e2e.serving import STATIONS, Serving, now
from tests.patience import until

from ladestrom.core.access import operator_from
from ladestrom.edges import documents
from ladestrom.model import Connector, Operator, Outlet, Status
from ladestrom.outputs.oicp import crawls, records
from ladestrom.outputs.oicp.edge import PATH
from ladestrom.ports.registry import StationDraft
from ladestrom.ports.sources import SourceRecord
from ladestrom.protocols import oicp_data
from ladestrom.protocols.delivery import ParseLimits
from ladestrom.protocols.oicp_pull import read

SHARED: Final = Path(os.environ.get("LADESTROM_SHARED", Path(__file__).resolve().parents[3] / "shared"))
SWAGGER: Final = SHARED / "reference" / "oicp" / "evse-api-docs-2.2.json"
STATUSES: Final = "/api/oicp/evsepull/v21/providers/NO-XYZ/status-records"
DATA: Final = "/api/oicp/evsepull/v23/providers/NO-XYZ/data-records"
E1, E2, E3 = "NO*ALF*E1333*1", "NO*ALF*E1333*2", "NO*ALF*E1342"
NAMED: Final = {E1, E2, E3, "SE*BET*E7*1", "DK*BET*E11*1"}
AT: Final = 1_700_000_000_000
WANTED: Final = {"GeoCoordinatesResponseFormat": "Google"}
US: Final = Operator(name="us", all=True)


def placed(draft: StationDraft) -> StationDraft:
    """With the address that records have to have; but for one, whose EVSEs have no ids of OICP's either."""
    if draft.station.uuid == "NOR_01523":
        return draft
    return StationDraft(msgspec.structs.replace(draft.station, address="Storgata 1", city="Ås"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that most tests of this file share. Each request gets what is true now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "INTERVAL_S_MIN", 0.0)
        patch.setattr(documents, "MAKING_SHARE", 0.0)
        patch.setattr(crawls, "INTERVAL_S_MIN", 0.0)
        with Serving(tmp_path_factory.mktemp("oicp"), stations=[*map(placed, STATIONS)]) as running:
            running.report(
                {"evse": E1, "status": "CHARGING", "observed_at": AT},
                {"evse": E2, "status": "INOPERATIVE", "observed_at": AT},
                {"evse": E3, "status": "RESERVED", "observed_at": AT},
            )
            running.settled()
            yield running


def asked(server: Serving, path: str, **message: object) -> httpx2.Response:
    answer = server.post({"ProviderID": "NO-XYZ", **message}, key="stream", path=path)
    assert answer.status_code == 200, answer.text
    return answer


def code(answer: httpx2.Response) -> str:
    found: str = answer.json()["StatusCode"]["Code"]
    return found


def heard(answer: httpx2.Response) -> dict[str, str]:
    """The words of an answer, as our own reader finds them."""
    delivery = read(answer.content, "us", ParseLimits(), complete=True)
    assert delivery.refused == []
    return {report.evse: report.raw for report in delivery.reports}


def valid(name: str, content: object) -> None:
    """By Hubject's Swagger document, where it is at hand."""
    if SWAGGER.is_file():
        definitions = json.loads(SWAGGER.read_text(encoding="utf-8"))["definitions"]
        schema = {"$ref": f"#/definitions/{name}", "definitions": definitions}
        jsonschema.Draft4Validator(schema).validate(content)


def test_the_file_is_beside_what_is_pushed(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        pushed = server.post(
            {
                "ActionType": "update",
                "OperatorEvseStatus": {
                    "OperatorID": "NO*ALF",
                    "EvseStatusRecord": [{"EvseID": "NO*ALF*E1342", "EvseStatus": "Reserved"}],
                },
            },
            path="/api/oicp/evsepush/v21/operators/NO*ALF/status-records",
        )
        assert pushed.json()["Result"], pushed.text
        server.settled()
        answer = server.get(f"{PATH}?station=NOR_01342")
        assert answer.json() == {
            "EVSEStatuses": [
                {
                    "OperatorID": "NO*ALF",
                    "OperatorName": "NO*ALF",
                    "EVSEStatusRecord": [{"EvseID": "NO*ALF*E1342", "EVSEStatus": "Reserved"}],
                }
            ]
        }
        assert answer.headers["content-type"] == "application/json"
        again = server.get(f"{PATH}?station=NOR_01342", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
        server.get(PATH)
        metrics = server.get("/metrics", key="admin").text
        assert 'ladestrom_output_left_out{output="oicp",reason="no_oicp_id"} 2.0' in metrics
        assert server.get("/api/oicp/other.json").status_code in {401, 404, 405}


class TestStatuses:
    def test_all_that_oicp_can_name_are_told_by_operator(self, server: Serving) -> None:
        answer = asked(server, STATUSES)
        valid("ERoamingEvseStatus", answer.json())
        assert heard(answer) == {
            **dict.fromkeys(NAMED, "Unknown"),
            E1: "Occupied",
            E2: "OutOfService",
            E3: "Reserved",
        }
        told = answer.json()["EvseStatuses"]["OperatorEvseStatus"]
        assert [group["OperatorID"] for group in told] == ["DK*BET", "NO*ALF", "SE*BET"]
        assert answer.headers["ladestrom-position"] == str(server.app.reader.view.position)
        whole = server.app.reader.documents.tallies["oicp_pull"]
        assert whole.left_out.counts == {"no_oicp_id": 2}

    @pytest.mark.parametrize(
        ("message", "evses"),
        [
            ({"EvseStatus": "Occupied"}, {E1}),
            ({"EVSEStatus": "OutOfService"}, {E2}),
            ({"EvseStatus": "EvseNotFound"}, set()),
            ({"EvseStatus": None, "SearchCenter": None}, NAMED),
            ({"SearchCenter": {"GeoCoordinates": {"Google": {"Coordinates": "59.9 10.7"}}, "Radius": 5}}, {E1, E2}),
            (
                {
                    "SearchCenter": {
                        "GeoCoordinates": {
                            "DegreeMinuteSeconds": {"Latitude": "60°23'0.0''", "Longitude": "5°19'0.0''"}
                        },
                        "Radius": 3.5,
                    },
                    "EvseStatus": "Reserved",
                },
                {E3},
            ),
            (
                {
                    "SearchCenter": {
                        "GeoCoordinates": {"DecimalDegree": {"Latitude": "59.33", "Longitude": "18.07"}},
                        "Radius": 0.1,
                    }
                },
                {"SE*BET*E7*1"},
            ),
            (
                {"SearchCenter": {"GeoCoordinates": {"Google": {"Coordinates": "-40 170"}}, "Radius": 20_000}},
                NAMED,
            ),
        ],
    )  # fmt: skip
    def test_a_place_and_a_word_narrow(
        self, server: Serving, message: Mapping[str, object], evses: set[str]
    ) -> None:
        assert set(heard(asked(server, STATUSES, **message))) == evses

    def test_those_of_operators(self, server: Serving) -> None:
        path = f"{STATUSES}-by-operator-id"
        answer = asked(server, path, OperatorID=["NOALF", "XX*ABC"])
        valid("ERoamingEvseStatus", answer.json())
        assert set(heard(answer)) == {E1, E2, E3}
        assert set(heard(asked(server, path, OperatorID=["SE*BET", "DK*BET"]))) == NAMED - {E1, E2, E3}

    def test_those_of_some_evses_in_the_order_and_spelling_in_which_they_were_asked_for(
        self, server: Serving
    ) -> None:
        answer = asked(server, f"{STATUSES}-by-id", EvseID=["noalfE1342", E1, "NO*ALF*E9", E1])
        valid("ERoamingEvseStatusByID", answer.json())
        assert answer.json()["EVSEStatusRecords"]["EvseStatusRecord"] == [
            {"EvseID": "noalfE1342", "EvseStatus": "Reserved"},
            {"EvseID": E1, "EvseStatus": "Occupied"},
            {"EvseID": "NO*ALF*E9", "EvseStatus": "EvseNotFound"},
        ]

    @pytest.mark.parametrize(
        ("path", "message", "refusal"),
        [
            ("", {"EvseStatus": "Free"}, "022"),
            ("", {"ProviderID": "NO-ABC"}, "022"),
            ("", {"ProviderID": "nobody"}, "022"),
            ("", {"SearchCenter": {"GeoCoordinates": {}, "Radius": 5}}, "022"),
            ("", {"SearchCenter": {"GeoCoordinates": {"Google": {"Coordinates": "1 2"}}, "Radius": 0}}, "022"),
            ("", {"SearchCenter": {"GeoCoordinates": {"Google": {"Coordinates": "1 2"}}}}, "022"),
            ("-by-id", {}, "022"),
            ("-by-id", {"EvseID": []}, "022"),
            ("-by-id", {"EvseID": [f"NO*ALF*E{number}" for number in range(101)]}, "022"),
            ("-by-id", {"EvseID": [E1, "NOR_01333_01"]}, "018"),
            ("-by-operator-id", {"OperatorID": ["Alfa Lading"]}, "022"),
            ("-by-operator-id", {"OperatorID": []}, "022"),
        ],
    )  # fmt: skip
    def test_what_is_asked_wrongly_is_refused_in_an_answer_of_200_without_statuses(
        self, server: Serving, path: str, message: Mapping[str, object], refusal: str
    ) -> None:
        answer = asked(server, f"{STATUSES}{path}", **message)
        assert code(answer) == refusal
        assert answer.json()["StatusCode"]["AdditionalInfo"]
        assert 'NO*ALF*E1333*1",' not in answer.text.replace(" ", "")
        valid("ERoamingEvseStatusByID" if path == "-by-id" else "ERoamingEvseStatus", answer.json())

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"ProviderID": 7}', b"\xff\xfe", b"[" * 100_000])
    def test_so_is_a_body_that_is_none(self, server: Serving, body: bytes) -> None:
        answer = server.post(body[:60_000], key="stream", path=STATUSES)
        assert (answer.status_code, code(answer)) == (200, "022")

    def test_a_body_that_is_too_large_and_another_method_are_refused_as_everywhere(
        self, server: Serving
    ) -> None:
        assert server.post(b" " * 100_000, key="stream", path=STATUSES).status_code == 413
        assert server.get(STATUSES).status_code == 405
        assert server.post({}, key="stream", path="/api/oicp/evsepull/v21/other").status_code == 404


def crawled(server: Serving, size: int, **message: object) -> list[dict[str, Any]]:
    """All pages, one after the other."""
    found: list[dict[str, Any]] = []
    for number in range(1_000):
        page = asked(server, f"{DATA}?page={number}&size={size}", **WANTED, **message).json()
        assert page["StatusCode"]["Code"] == "000", page
        assert (page["number"], page["size"], page["first"]) == (number, size, number == 0)
        assert page["numberOfElements"] == len(page["content"])
        found += page["content"]
        if page["last"]:
            assert page["totalPages"] in {number + 1, 0}
            return found
    raise AssertionError("the pages have no end")


class TestData:
    @pytest.mark.parametrize("size", [1, 2, 3, 5, 2_000])
    def test_the_pages_have_each_evse_once(self, server: Serving, size: int) -> None:
        found = [each["EvseID"] for each in crawled(server, size)]
        assert len(found) == len(set(found))
        assert set(found) == NAMED
        tally = server.app.reader.documents.tallies["oicp_data"]
        assert (tally.evses, tally.left_out.counts) == (5, {"no_oicp_id": 2})

    def test_they_are_valid_and_read_back(self, server: Serving) -> None:
        for each in crawled(server, 20):
            names = [{"ChargingStationName": name["value"]} for name in each.pop("ChargingStationNames")]
            valid("EvseDataRecord", {**each, **names[0]})
        raws = [msgspec.Raw(json.dumps(each).encode()) for each in crawled(server, 20)]
        drafts = list(oicp_data.drafts(raws, None, "NOALF", US))
        assert all(isinstance(draft, StationDraft) for draft in drafts), drafts
        stations = [draft.station for draft in drafts if isinstance(draft, StationDraft)]
        assert {evse.evse_id for station in stations for evse in station.evses} == NAMED
        (alfa,) = (station for station in stations if station.native_id == "NOALF:NOR_01333")
        assert (alfa.name, alfa.address, alfa.city) == ("Station NOR_01333", "Storgata 1", "Ås")
        assert (alfa.latitude, alfa.longitude, len(alfa.outlets)) == (59.91, 10.75, 3)

    @pytest.mark.parametrize("notation", records.Notation)
    def test_places_are_written_as_asked_for(self, server: Serving, notation: records.Notation) -> None:
        page = asked(server, DATA, GeoCoordinatesResponseFormat=notation).json()
        for each in page["content"]:
            assert list(each["GeoCoordinates"]) == [notation]
            valid("GeoCoordinates", each["GeoCoordinates"])

    @pytest.mark.parametrize(
        ("message", "evses"),
        [
            ({"OperatorIds": ["NO*ALF"]}, {E1, E2, E3}),
            ({"OperatorIds": [], "CountryCodes": []}, NAMED),
            ({"CountryCodes": ["DNK", "SWE"]}, NAMED - {E1, E2, E3}),
            ({"Accessibility": ["Restricted access"]}, set()),
            ({"Accessibility": ["Unspecified", "Restricted access"]}, NAMED),
            ({"AuthenticationModes": ["REMOTE"]}, set()),
            ({"IsOpen24Hours": True}, set()),
            ({"IsOpen24Hours": False, "RenewableEnergy": False, "IsHubjectCompatible": False}, NAMED),
            ({"RenewableEnergy": True}, set()),
            ({"SearchCenter": {"GeoCoordinates": {"Google": {"Coordinates": "59.9 10.7"}}, "Radius": 5}}, {E1, E2}),
        ],
    )  # fmt: skip
    def test_what_is_wanted_narrows(
        self, server: Serving, message: Mapping[str, object], evses: set[str]
    ) -> None:
        assert {each["EvseID"] for each in crawled(server, 100, **message)} == evses

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("?page=-1", WANTED),
            ("?size=0", WANTED),
            ("?size=2001", WANTED),
            ("?sort=EvseID", WANTED),
            ("", {}),
            ("", {"GeoCoordinatesResponseFormat": "Degrees"}),
            ("", {**WANTED, "LastCall": "yesterday"}),
            ("", {**WANTED, "CountryCodes": ["Atlantis"]}),
            (
                "",
                {
                    **WANTED,
                    "LastCall": "2026-01-01T00:00:00Z",
                    "SearchCenter": {"GeoCoordinates": {"Google": {"Coordinates": "1 2"}}, "Radius": 5},
                },
            ),
        ],
    )
    def test_what_is_asked_wrongly_is_refused(
        self, server: Serving, query: str, message: Mapping[str, object]
    ) -> None:
        answer = asked(server, f"{DATA}{query}", **message)
        assert code(answer) == "022"
        assert "content" not in answer.json()


def test_who_goes_through_all_pages_gets_each_evse_once_while_stations_come_and_go(tmp_path: Path) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        Serving(tmp_path, stations=[*map(placed, STATIONS)]) as server,
    ):
        patch.setattr(crawls, "INTERVAL_S_MIN", 0.0)
        first = asked(server, f"{DATA}?page=0&size=2", **WANTED).json()
        since = asked(server, DATA, **WANTED).headers["date"]
        assert since
        server.report({"evse": E3, "status": "REMOVED"})
        new = StationDraft(
            msgspec.structs.replace(
                placed(STATIONS[0]).station,
                uuid="NOR_00001",
                native_id="NOR_00001",
                evses=tuple(
                    msgspec.structs.replace(each, key="NOALFE5", evse_id="NO*ALF*E5")
                    for each in STATIONS[0].station.evses[:1]
                ),
                outlets=(Outlet(0, Connector("IEC_62196_T2", 22.0)),),
            )
        )
        server.import_stations([*map(placed, STATIONS), new])
        server.in_step()
        found = [each["EvseID"] for each in first["content"]]
        for number in (1, 2):
            page = asked(server, f"{DATA}?page={number}&size=2", **WANTED).json()
            assert page["totalElements"] == 5
            found += [each["EvseID"] for each in page["content"]]
        assert sorted(found) == sorted(NAMED - {E3})
        assert {each["EvseID"] for each in crawled(server, 2)} == {*NAMED - {E3}, "NO*ALF*E5"}
        told = {
            each["EvseID"]: each["deltaType"]
            for each in crawled(server, 100, LastCall="2020-01-01T00:00:00Z")
        }
        assert told == {**dict.fromkeys(NAMED | {"NO*ALF*E5"}, "insert"), E3: "delete"}
        later = asked(server, DATA, **WANTED, LastCall="2999-01-01T00:00:00+01:00")
        assert (code(later), later.json()["content"]) == ("000", [])


def test_a_server_that_pulls_from_another_has_its_statuses(tmp_path: Path) -> None:
    """There and back by our own source: what OICP's words merge is merged, and nothing else is lost."""
    with Serving(tmp_path / "hub") as hub, Serving(tmp_path / "emp") as emp:
        words = {E1: "CHARGING", E2: "INOPERATIVE", E3: "AVAILABLE"}
        hub.report(*({"evse": evse, "status": word} for evse, word in words.items()))
        hub.settled()
        emp.write(lambda store: store.put_operator(operator_from("hub", all_evses=True), now()))
        emp.write(
            lambda store: store.put_source(
                SourceRecord(
                    name="hub",
                    operator="hub",
                    protocol="oicp",
                    address=hub.url,
                    options={"provider_id": "NO-XYZ"},
                    secret=hub.keys["stream"],
                    poll_s=1,
                    added_at=now(),
                    changed_at=now(),
                )
            )
        )

        def told() -> dict[str, Status | None]:
            view = emp.app.reader.view
            found = {evse: view.change_of(view.directory.find(evse)[0]) for evse in words}
            return {evse: None if held is None else held.change.status for evse, held in found.items()}

        expected = {E1: Status.CHARGING, E2: Status.OUTOFORDER, E3: Status.AVAILABLE}
        until(lambda: told() == expected, "the statuses came over")
        hub.report({"evse": E1, "status": "AVAILABLE"})
        until(lambda: told()[E1] is Status.AVAILABLE, "a change came over")
