from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft4Validator
from tests.building import make_operator
from tests.conftest import SharedFile

from ladestrom.core.oicp import ADDITIONAL_CHARACTERS_MAX, PLUGS
from ladestrom.errors import (
    LadestromError,
    LogFailure,
    MalformedBody,
    NotAllowed,
    NotFound,
    Overloaded,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
)
from ladestrom.model import Operator, Position, Reason, Receipt, Refusal, Status
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import Answer, Request
from ladestrom.protocols.oicp import STATUSES, Oicp
from ladestrom.protocols.oicp_data import party_of

STATUS_PATH = "evsepush/v21/operators/NO*ABC/status-records"
DATA_PATH = "evsepush/v23/operators/NO*ABC/data-records"
POSITION = Position("epoch", 7)


def request(body: object, path: str = STATUS_PATH) -> Request:
    return Request("POST", path, {}, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def message(action: str, *records: object, operator_id: str | None = "NO*ABC") -> dict[str, Any]:
    group: dict[str, Any] = {"EvseStatusRecord": list(records)}
    if operator_id is not None:
        group["OperatorID"] = operator_id
    return {"ActionType": action, "OperatorEvseStatus": group}


def record(evse: str = "NO*ABC*E1", status: str = "Available") -> dict[str, str]:
    return {"EvseID": evse, "EvseStatus": status}


def receive(
    body: object, path: str = STATUS_PATH, operator: Operator | None = None, limits: ParseLimits | None = None
) -> Delivery:
    who = operator or make_operator(may_register=True)
    return Oicp().receive(request(body, path), who, limits or ParseLimits())


def described(*records: object, action: str = "insert", operator: Operator | None = None) -> Delivery:
    body = {"ActionType": action, "OperatorEvseData": {"OperatorID": "NO*ABC", "EvseDataRecord": records}}
    return receive(body, DATA_PATH, operator)


def drafts(*records: object, operator: Operator | None = None) -> list[Any]:
    return described(*records, operator=operator).stations


def drafts_of(text: str) -> list[Any]:
    """Of a message whose question mark is a byte that is no UTF-8."""
    body = text.replace("{", '{"ActionType": "insert", ', 1).encode().replace(b"?", b"\xff")
    return receive(body, DATA_PATH).stations


def data(evse: str = "NO*ABC*E1", **members: object) -> dict[str, object]:
    return {
        "EvseID": evse,
        "Address": {"Country": "NOR"},
        "GeoCoordinates": {"Google": {"Coordinates": "59.9 10.7"}},
        **members,
    }


class TestPaths:
    @pytest.mark.parametrize("version", ["v21", "v22", "v23"])
    @pytest.mark.parametrize("written", ["NO*ABC", "NO-ABC", "noabc"])
    def test_an_operator_pushes_under_its_id_in_any_form(self, version: str, written: str) -> None:
        body = message("update", record(), operator_id=written)
        path = f"evsepush/{version}/operators/{written}/status-records"
        assert len(receive(body, path).reports) == 1

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "evsepush",
            "evsepush/v21/operators//status-records",
            "evsepush/v21/operators/NO*ABC/status-records/more",
            "evsepush/v11/operators/NO*ABC/status-records",
            "evsepull/v21/providers/NO-ABC/status-records",
        ],
    )
    def test_nothing_is_anywhere_else(self, path: str) -> None:
        with pytest.raises(NotFound):
            receive(message("update"), path)


class TestWhoSpeaks:
    @pytest.mark.parametrize(
        "operator",
        [
            make_operator(parties=("SEXYZ", "NOABC")),
            make_operator(parties=(), prefixes=("NOABCE1",)),
            make_operator(parties=(), prefixes=("NO",)),
            make_operator(parties=(), all=True),
        ],
    )
    def test_an_operator_may_speak_as_its_parties(self, operator: Operator) -> None:
        assert receive(message("update", record()), operator=operator).reports

    @pytest.mark.parametrize(
        "operator", [make_operator(parties=("SEXYZ",)), make_operator(parties=(), prefixes=("NOX",))]
    )
    def test_and_as_no_other(self, operator: Operator) -> None:
        with pytest.raises(NotAllowed, match="NO\\*ABC"):
            receive(message("update", record()), operator=operator)

    def test_a_german_number_is_a_prefix_without_its_sign(self) -> None:
        path = "evsepush/v21/operators/+49*810/status-records"
        body = message("update", record("+49*810*000*438"), operator_id="+49*810")
        operator = make_operator(parties=(), prefixes=("49810",))
        assert len(receive(body, path, operator).reports) == 1

    def test_the_messages_operator_has_to_be_its_own_too(self) -> None:
        with pytest.raises(NotAllowed, match="SE\\*XYZ"):
            receive(message("update", record(), operator_id="SE*XYZ"))
        both = make_operator(parties=("NOABC", "SEXYZ"))
        assert receive(message("update", record(), operator_id="SE*XYZ"), operator=both).reports

    def test_a_message_may_leave_it_out(self) -> None:
        assert receive(message("update", record(), operator_id=None)).reports


class TestActions:
    @pytest.mark.parametrize("action", ["update", "insert", "Update", "INSERT"])
    def test_what_is_updated_or_inserted_is_reported(self, action: str) -> None:
        delivery = receive(message(action, *[record(status=word) for word in ("Available", "Occupied")]))
        assert [report.status for report in delivery.reports] == [Status.AVAILABLE, Status.CHARGING]
        assert not delivery.complete

    def test_what_is_deleted_is_unknown(self) -> None:
        (report,) = receive(message("delete", record())).reports
        assert (report.evse, report.status, report.raw) == ("NO*ABC*E1", Status.UNKNOWN, "delete")

    def test_a_deleted_record_needs_no_status_but_its_id(self) -> None:
        delivery = receive(message("delete", {"EvseID": "NO*ABC*E1"}, {"EvseStatus": "Available"}, 17))
        assert [report.evse for report in delivery.reports] == ["NO*ABC*E1"]
        assert [(each.index, each.reason) for each in delivery.refused] == [
            (1, Reason.INVALID_ITEM),
            (2, Reason.INVALID_ITEM),
        ]

    def test_a_full_load_is_complete(self) -> None:
        delivery = receive(message("fullLoad", record()))
        assert (delivery.complete, delivery.within) == (True, ())

    def test_of_an_operator_with_more_parties_it_is_complete_of_those_that_it_names(self) -> None:
        hub = make_operator(parties=("NOABC", "NOSUB", "NOTHE"))
        delivery = receive(message("fullLoad", record(), record("NO*SUB*E1"), record("?")), operator=hub)
        assert (delivery.complete, delivery.within) == (True, ("NOABC", "NOSUB"))

    @pytest.mark.parametrize("odd", [7, None, {"EvseID": None, "EvseStatus": "Available"}, {}, {"EvseID": 5}])
    def test_a_full_load_with_a_record_that_names_no_evse_takes_nothing_back(self, odd: object) -> None:
        delivery = receive(message("fullLoad", record(), odd))
        assert (len(delivery.reports), len(delivery.refused), delivery.complete) == (1, 1, False)
        assert receive(message("fullLoad", record(), {"EvseID": "NO*ABC*E2"})).complete

    @pytest.mark.parametrize("path", [STATUS_PATH, STATUS_PATH.replace("status-records", "data-records")])
    @pytest.mark.parametrize("members", [{}, {"Other": []}, {"EvseRecord": [record()]}])
    def test_a_message_without_its_list_of_records_is_refused(
        self, members: dict[str, object], path: str
    ) -> None:
        member = "OperatorEvseStatus" if path == STATUS_PATH else "OperatorEvseData"
        body = {"ActionType": "fullLoad", member: {"OperatorID": "NO*ABC", **members}}
        with pytest.raises(MalformedBody, match="send an empty list where there are none"):
            receive(body, path)

    def test_an_empty_full_load_says_that_nothing_is_known(self) -> None:
        delivery = receive(message("fullLoad"))
        assert (delivery.reports, delivery.complete) == ([], True)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b"{}",
            b"{",
            {"ActionType": "replace", "OperatorEvseStatus": {}},
            {"ActionType": "update"},
            {"ActionType": "update", "OperatorEvseData": {"EvseDataRecord": []}},
            {"ActionType": 1, "OperatorEvseStatus": {}},
            {"ActionType": "update", "OperatorEvseStatus": {"EvseStatusRecord": 17}},
            {"ActionType": "update", "OperatorEvseStatus": {"EvseStatusRecord": "records"}},
        ],
    )
    def test_what_is_no_message_is_refused(self, body: object) -> None:
        with pytest.raises(MalformedBody):
            receive(body)

    @pytest.mark.parametrize("records", [None, []])
    def test_no_records_are_none(self, records: object) -> None:
        body = {"ActionType": "update", "OperatorEvseStatus": {"EvseStatusRecord": records}}
        assert receive(body).reports == []
        body = {"ActionType": "update", "OperatorEvseData": {"EvseDataRecord": records}}
        assert receive(body, DATA_PATH).stations == []

    @pytest.mark.parametrize("records", [17, "x", [1, 2, "x"]])
    def test_data_that_is_no_list_is_refused_and_what_is_no_record_in_one_too(self, records: object) -> None:
        body = {"ActionType": "update", "OperatorEvseData": {"EvseDataRecord": records}}
        if isinstance(records, list):
            refusals = receive(body, DATA_PATH).stations
            assert [isinstance(one, RecordRefusal) and one.reason for one in refusals] == [
                "022 it is no object"
            ] * 3
        else:
            with pytest.raises(MalformedBody):
                receive(body, DATA_PATH)

    def test_text_that_is_no_utf_8_is_no_message(self) -> None:
        body = json.dumps(message("update", record("NO*ABC*E?"))).encode()
        with pytest.raises(MalformedBody):
            receive(body.replace(b"?", b"\xff"))
        (refusal,) = drafts_of(json.dumps({"OperatorEvseData": {"EvseDataRecord": [{"EvseID": "?"}]}}))
        assert refusal.reason.startswith("022 it is no JSON")

    def test_records_are_limited(self) -> None:
        limits = ParseLimits(items_max=2)
        assert len(receive(message("update", record(), record()), limits=limits).reports) == 2
        with pytest.raises(TooLarge, match="3 records; at most 2"):
            receive(message("update", record(), record(), record()), limits=limits)
        body = {"ActionType": "insert", "OperatorEvseData": {"EvseDataRecord": [{}, {}, {}]}}
        with pytest.raises(TooLarge):
            receive(body, DATA_PATH, limits=limits)

    def test_the_table_has_every_word_of_the_mapping(self, shared_file: SharedFile) -> None:
        mapping = json.loads(shared_file("spec/status-mapping.json").read_text())["oicp23"]
        assert {word: STATUSES.find(word) for word in mapping} == {
            word: row[0] for word, row in mapping.items()
        }

    @pytest.mark.parametrize("word", ["Maintenance", "", "Out of Order"])
    def test_a_word_that_is_none_makes_the_evse_unknown_and_is_counted(self, word: str) -> None:
        delivery = receive(message("update", record(status=word)))
        (report,) = delivery.reports
        assert (report.status, report.raw, report.error) == (Status.UNKNOWN, word, False)
        assert (delivery.unmapped, delivery.refused) == (1, [])

    @pytest.mark.parametrize("word", ["out of service", "OUT_OF_SERVICE", " OutOfService "])
    def test_words_compare_without_case_accents_spaces_and_underscores(self, word: str) -> None:
        (report,) = receive(message("update", record(status=word))).reports
        assert report.status is Status.OUTOFORDER


class TestData:
    def test_evses_of_one_station_are_one(self) -> None:
        (draft,) = drafts(data(ChargingStationID="A"), data("NO*ABC*E2", ChargingStationId="A"))
        assert [evse.key for evse in draft.station.evses] == ["NOABCE1", "NOABCE2"]
        assert draft.station.native_id == "NOABC:A"

    def test_a_full_load_describes_all_stations_and_the_rest_parts_of_some(self) -> None:
        full = described(data(), action="fullLoad")
        assert (full.all_stations, full.partial_stations) == (True, False)
        for action in ("update", "insert"):
            part = described(data(), action=action)
            assert (part.all_stations, part.partial_stations) == (False, True)
        hub = make_operator(parties=("NOABC", "NOSUB"), may_register=True)
        assert not described(data(), action="fullLoad", operator=hub).all_stations

    def test_what_is_deleted_is_removed(self) -> None:
        body = {"ActionType": "delete", "OperatorEvseData": {"EvseDataRecord": [{"EvseID": "NO*ABC*E1"}]}}
        (report,) = receive(body, DATA_PATH).reports
        assert (report.evse, report.status) == ("NO*ABC*E1", Status.REMOVED)

    def test_of_others_nothing_is_taken(self) -> None:
        (refusal,) = drafts(data("SE*XYZ*E1"))
        assert refusal.record == "SE*XYZ*E1"
        assert refusal.reason.startswith("018")
        assert isinstance(
            drafts(data("SE*XYZ*E1"), operator=make_operator(all=True, may_register=True))[0], StationDraft
        )

    @pytest.mark.parametrize(
        "coordinates",
        [
            {"Google": {"Coordinates": "59.913900 10.752200"}},
            {"Google": {"Coordinates": "59.913900,10.752200"}},
            {"Google": "59.913900 10.752200"},
            {"DecimalDegree": {"Latitude": "59.913900", "Longitude": "10.752200"}},
            {"DecimalDegree": {"Latitude": 59.9139, "Longitude": 10.7522}},
            {"DegreeMinuteSeconds": {"Latitude": "59°54'50.04''", "Longitude": "10° 45' 07.92''"}},
        ],
    )
    def test_a_position_is_read_in_its_three_notations(self, coordinates: object) -> None:
        (draft,) = drafts(data(GeoCoordinates=coordinates))
        assert draft.station.latitude == pytest.approx(59.9139)
        assert draft.station.longitude == pytest.approx(10.7522)

    def test_south_and_west_are_negative(self) -> None:
        degrees = {"Latitude": "-21°34'23.16''", "Longitude": "-9°21'39.32''"}
        (draft,) = drafts(data(GeoCoordinates={"DegreeMinuteSeconds": degrees}))
        assert draft.station.latitude == pytest.approx(-21.5731)
        assert draft.station.longitude == pytest.approx(-9.360922)

    @pytest.mark.parametrize(
        "members",
        [
            {"GeoCoordinates": None},
            {"GeoCoordinates": {"Google": {"Coordinates": "here"}}},
            {"GeoCoordinates": {"DecimalDegree": {"Latitude": "591", "Longitude": "10"}}},
        ],
    )
    def test_a_record_without_position_is_refused(self, members: dict[str, Any]) -> None:
        (refusal,) = drafts(data(**members))
        assert "position" in refusal.reason

    def test_the_country_is_that_of_the_address_else_of_the_id(self) -> None:
        assert drafts(data(Address={"Country": "SWE"}))[0].station.country == "SWE"
        assert drafts(data(Address={}))[0].station.country == "NOR"
        german = make_operator(all=True, may_register=True)
        (refusal,) = drafts(data("+49*810*000*438", Address={"Country": "Lummerland"}), operator=german)
        assert '"Lummerland"' in refusal.reason

    def test_the_name_is_the_first_that_is_one(self) -> None:
        names = [{"lang": "nb"}, {"lang": "en", "value": "Square"}]
        assert drafts(data(ChargingStationNames=names))[0].station.name == "Square"
        assert drafts(data(ChargingStationNames="Torget"))[0].station.name == "Torget"
        assert drafts(data(ChargingStationNames=[{}], ChargingStationName="Old"))[0].station.name == "Old"
        assert drafts(data(EnChargingStationName="Old"))[0].station.name == "Old"
        assert drafts(data(Address={"Street": "Torget", "HouseNum": "1"}))[0].station.name == "Torget 1"

    def test_powers_belong_to_plugs_one_by_one_where_there_are_as_many(self) -> None:
        plugs = ["CHAdeMO", "Type 2 Outlet"]
        facilities = [{"Power": 50}, {"Power": "22,5"}]
        (draft,) = drafts(data(Plugs=plugs, ChargingFacilities=facilities))
        assert [outlet.connector.max_kw for outlet in draft.station.outlets] == [50, 22.5]
        (draft,) = drafts(data(Plugs=[*plugs, "Tesla Connector"], ChargingFacilities=[*facilities[:1], {}]))
        assert [outlet.connector.max_kw for outlet in draft.station.outlets] == [50, 50, 50]

    def test_every_plug_of_the_specification_has_a_standard(self, shared_file: SharedFile) -> None:
        document = json.loads(shared_file("reference/oicp/evse-api-docs-2.2.json").read_text())
        plugs = document["definitions"]["EvseDataRecord"]["properties"]["Plugs"]["items"]["enum"]
        assert set(plugs) == set(PLUGS)

    @pytest.mark.parametrize(
        ("written", "party"),
        [("DE*ABC*E1", "DEABC"), ("deabce1", "DEABC"), ("+49*810*000*438", "49810"), ("?", ""), ("", "")],
    )
    def test_an_id_begins_with_its_party(self, written: str, party: str) -> None:
        assert party_of(written) == party


def refusal(reason: Reason, index: int = 0) -> Refusal:
    return Refusal(index, reason, "because")


def told(receipt: Receipt, delivery: Delivery | None = None) -> dict[str, Any]:
    answer = Oicp().answer(request({}), delivery or Delivery(reports=[]), receipt)
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


class TestAcknowledgements:
    def test_a_success_counts(self) -> None:
        assert told(Receipt(2, 3, (), POSITION)) == {
            "Result": True,
            "StatusCode": {
                "Code": "000",
                "Description": "Success.",
                "AdditionalInfo": "2 changed, 3 unchanged, 0 refused",
            },
        }

    def test_what_is_refused_beside_others_is_named_in_a_success(self) -> None:
        found = told(Receipt(1, 0, (refusal(Reason.UNKNOWN_EVSE, 4),), POSITION))
        assert found["Result"] is True
        assert found["StatusCode"]["AdditionalInfo"].endswith("1 refused; 603 record 4: because")

    @pytest.mark.parametrize(
        ("reason", "code"),
        [
            (Reason.NOT_ALLOWED, "018"),
            (Reason.UNKNOWN_EVSE, "603"),
            (Reason.INVALID_STATUS, "022"),
            (Reason.INVALID_ITEM, "022"),
        ],
    )
    def test_where_all_was_refused_the_first_says_why(self, reason: Reason, code: str) -> None:
        found = told(Receipt(0, 0, (refusal(reason), refusal(Reason.INVALID_TIME, 1)), POSITION))
        assert (found["Result"], found["StatusCode"]["Code"]) == (False, code)

    def test_stations_are_counted_and_records_of_others_named(self) -> None:
        receipt = Receipt(0, 0, (), POSITION)
        found = told(receipt, described(data(), data("SE*XYZ*E1"), {}))
        assert found["Result"] is True
        assert found["StatusCode"]["AdditionalInfo"].startswith(
            "1 stations described, 2 records refused; 018 SE*XYZ*E1: it is not among the EVSEs"
        )
        found = told(receipt, described(data("SE*XYZ*E1")))
        assert (found["Result"], found["StatusCode"]["Code"]) == (False, "018")
        found = told(receipt, described({}))
        assert (found["Result"], found["StatusCode"]["Code"]) == (False, "022")

    def test_one_record_may_stand_without_its_list(self) -> None:
        body = {"ActionType": "insert", "OperatorEvseData": {"EvseDataRecord": data()}}
        assert len(receive(body, DATA_PATH).stations) == 1

    def test_who_may_not_register_stations_is_told_so(self) -> None:
        delivery = described(data(), operator=make_operator())
        assert delivery.stations == []
        found = told(Receipt(0, 0, (), POSITION), delivery)
        assert found["Result"] is False
        assert found["StatusCode"]["Code"] == "017"
        assert "not used" in found["StatusCode"]["AdditionalInfo"]

    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (Unauthenticated("who?"), 401, "017"),
            (NotAllowed("not you"), 403, "017"),
            (MalformedBody("what?"), 400, "022"),
            (NotFound("where?"), 404, "022"),
            (TooLarge("so much"), 413, "022"),
            (TooManyRequests("later"), 429, "021"),
            (Overloaded("later"), 503, "021"),
            (LogFailure("later"), 503, "021"),
        ],
    )
    def test_errors_have_its_codes(self, error: LadestromError, status: int, code: str) -> None:
        answer = Oicp().refuse(request(b""), error)
        found = json.loads(answer.body)
        assert (answer.status, found["Result"], found["StatusCode"]["Code"]) == (status, False, code)
        assert found["message"] == str(error)

    def test_every_answer_is_one_by_the_specifications_schema(self, shared_file: SharedFile) -> None:
        document = json.loads(shared_file("reference/oicp/evse-api-docs-2.2.json").read_text())
        many = tuple(Refusal(index, Reason.NOT_ALLOWED, "x" * 300) for index in range(50))
        answers: list[tuple[str, Answer]] = [
            ("ERoamingAcknowledgement", Oicp().answer(request({}), Delivery(reports=[]), receipt))
            for receipt in (
                Receipt(1, 0, (), POSITION),
                Receipt(0, 0, many, POSITION),
                *(Receipt(0, 0, (refusal(reason),), POSITION) for reason in Reason),
            )
        ]
        for error in (Unauthenticated("x"), MalformedBody("x" * 5_000), LogFailure("x")):
            answers += [
                ("ERoamingAcknowledgement", Oicp().refuse(request(b""), error)),
                ("OicpERoamingFault", Oicp().refuse(request(b""), error)),
            ]
        for name, answer in answers:
            schema = {"$ref": f"#/definitions/{name}", "definitions": document["definitions"]}
            found = json.loads(answer.body)
            assert list(Draft4Validator(schema).iter_errors(found)) == []
            assert len(found["StatusCode"]["AdditionalInfo"]) <= ADDITIONAL_CHARACTERS_MAX
