"""The conversation with one charge point: frames in, answers, reports and questions out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from tests.building import NOW, make_station

from ladestrom.model import Reason, Station, Status, StatusReport
from ladestrom.protocols.ocpp import (
    AGAIN_MS,
    NOTHING,
    RESULT_MS_MAX,
    SETTLE_MS,
    Conversation,
    Outcome,
    agreed,
)
from ladestrom.protocols.ocpp2 import OCPP_21, OCPP_201
from ladestrom.protocols.ocpp16 import HINDERING, OCPP_16, STATUSES
from ladestrom.protocols.ocpp_frames import Dialect, instant, read
from ladestrom.protocols.ocpp_points import NOWHERE, Layout, Points, layout

VERSIONS = {dialect.subprotocol: dialect for dialect in (OCPP_16, OCPP_201, OCPP_21)}
PLACE = make_station("NOR_00001", evses=3)
FIRST, SECOND, THIRD = (evse.key for evse in PLACE.evses)


class Peer:
    """A charge point as a test speaks for it."""

    def __init__(
        self, dialect: Dialect = OCPP_16, place: Station | None = PLACE, points: Points | None = None
    ) -> None:
        self.points = points or Points("abc", layout(place, {}))
        self.now = NOW
        self.talk = Conversation(dialect, self.points, 60, NOW)
        self.version = dialect

    def say(self, *frame: Any) -> Outcome:
        return self.talk.receive(json.dumps(list(frame)), self.now)

    def call(self, action: str, payload: Any) -> Outcome:
        return self.say(2, "id", action, payload)

    def status(
        self, number: int, word: str, at: int | None = 0, connector: int = 1, **more: Any
    ) -> list[StatusReport]:
        """A status, observed `at` ms after the beginning; what is reported of it."""
        stamp: dict[str, Any] = {} if at is None else {"timestamp": written(NOW + at)}
        if self.version is OCPP_16:
            given = {"connectorId": number, "errorCode": "NoError", "status": word}
        else:
            given = {"evseId": number, "connectorId": connector, "connectorStatus": word}
        return reports(self.call("StatusNotification", given | stamp | more))

    def event(self, *events: dict[str, Any]) -> Outcome:
        return self.call("NotifyEvent", {"generatedAt": written(NOW), "seqNo": 0, "eventData": list(events)})


def written(at: int) -> str:
    seconds, milliseconds = divmod(at, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def event(component: str, variable: str, value: str, at: int = 0, **more: Any) -> dict[str, Any]:
    evse = {key: more.pop(key) for key in ("id", "connectorId") if key in more}
    what: dict[str, Any] = {"name": component}
    return {
        "eventId": 1,
        "timestamp": written(NOW + at),
        "trigger": "Delta",
        "eventNotificationType": "HardWiredNotification",
        "actualValue": value,
        "component": what | ({"evse": evse} if evse else {}),
        "variable": {"name": variable},
        **more,
    }


def reports(outcome: Outcome) -> list[StatusReport]:
    return [] if outcome.delivery is None else outcome.delivery.reports


def brief(found: list[StatusReport]) -> list[tuple[str, str, bool, int | None]]:
    """EVSE, status, error, and when, after the beginning; None where that is not said."""
    return [
        (
            each.evse,
            each.status.value,
            each.error,
            None if each.observed_at is None else each.observed_at - NOW,
        )
        for each in found
    ]


def answer(outcome: Outcome) -> list[Any]:
    assert outcome.answer is not None
    found: list[Any] = json.loads(outcome.answer)
    return found


def question(outcome: Outcome) -> dict[str, Any]:
    assert outcome.call is not None
    kind, _, action, payload = json.loads(outcome.call)
    assert (kind, action) == (2, "TriggerMessage")
    found: dict[str, Any] = payload
    return found


# -- frames ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("", ("FormationViolation", "RpcFrameworkError")),
        ("nonsense", ("FormationViolation", "RpcFrameworkError")),
        ("{}", ("FormationViolation", "RpcFrameworkError")),
        ("[]", ("FormationViolation", "RpcFrameworkError")),
        ('["two","a","Heartbeat",{}]', ("FormationViolation", "RpcFrameworkError")),
        ('[2,{},"Heartbeat",{}]', ("FormationViolation", "RpcFrameworkError")),
        ('[2,"a",1,{}]', ("FormationViolation", "RpcFrameworkError")),
        ('[2,"a","Heartbeat",{},{}]', ("FormationViolation", "RpcFrameworkError")),
        ('[2,"a"]', ("ProtocolError", "RpcFrameworkError")),
        ('[2,"a","Heartbeat",[1]]', ("FormationViolation", "FormatViolation")),
        ('[2,"a","Reset",{}]', ("NotSupported", "NotSupported")),
        ('[2,"a","Dance",{}]', ("NotImplemented", "NotImplemented")),
        (
            '[2,"a","StatusNotification",{}]',
            ("OccurenceConstraintViolation", "OccurrenceConstraintViolation"),
        ),
        (
            '[2,"a","StatusNotification",{"connectorId":[],"status":"Available","evseId":1,"connectorStatus":"Available"}]',
            ("TypeConstraintViolation", "TypeConstraintViolation"),
        ),
        (
            '[2,"a","StatusNotification",{"connectorId":-1,"status":"Available","evseId":1,"connectorStatus":"Available"}]',
            ("PropertyConstraintViolation", "PropertyConstraintViolation"),
        ),
    ],
)
def test_what_is_wrong_is_told_in_the_words_of_the_version(text: str, codes: tuple[str, str]) -> None:
    for dialect, code in ((OCPP_16, codes[0]), (OCPP_201, codes[1]), (OCPP_21, codes[1])):
        kind, name, told, detail, details = answer(Peer(dialect).talk.receive(text, NOW))
        assert (kind, told, details) == (4, code, {}), dialect.subprotocol
        assert name == ("a" if text.startswith('[2,"a"') else "-1")
        assert 0 < len(detail) <= 255


def test_a_payload_that_is_no_text_is_told_to_be_malformed() -> None:
    text = b'[2,"a","StatusNotification",{"connectorId":1,"status":"\xff"}]'
    assert answer(Peer().talk.receive(text, NOW))[2] == "FormationViolation"


def test_an_evse_of_which_the_registry_has_no_connector_has_one() -> None:
    points = Points("abc", Layout({1: FIRST, 2: SECOND}, {1: 0, 2: 2}))
    told = [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 1), (0, 0)]
    assert [where for where in told if points.has(where)] == [(1, 1), (2, 1), (2, 2), (0, 0)]


@pytest.mark.parametrize("kind", [3, 4])
def test_an_answer_has_no_action_whatever_stands_in_its_place(kind: int) -> None:
    frame = read(f'[{kind},"a","Accepted",{{"status":"Accepted"}}]')
    assert (frame.kind, frame.id, frame.action, bytes(frame.payload)) == (kind, "a", "", b'"Accepted"')


def test_an_id_that_is_a_number_is_answered_as_it_is() -> None:
    assert (
        Peer().talk.receive('[2,17,"StatusNotification",{"connectorId":0,"status":"Available"}]', NOW).answer
        == "[3,17,{}]"
    )


@pytest.mark.parametrize("kind", [3, 4])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_answer_that_nobody_asked_for_is_passed_over(version: str, kind: int) -> None:
    assert Peer(VERSIONS[version]).say(kind, "x", {"status": "Accepted"}) is NOTHING
    assert Peer(VERSIONS[version]).say(kind) is NOTHING


@pytest.mark.parametrize("kind", [5, 6, 7, -1])
def test_a_message_of_an_unknown_type_is_ignored_but_in_2_0_1(kind: int) -> None:
    assert Peer(OCPP_16).say(kind, "x", "NotifyPeriodicEventStream", {}) is NOTHING
    assert Peer(OCPP_21).say(kind, "x", "NotifyPeriodicEventStream", {}) is NOTHING
    assert answer(Peer(OCPP_201).say(kind, "x", "y", {}))[:3] == [4, "x", "MessageTypeNotSupported"]
    assert answer(Peer(OCPP_201).say(kind))[:3] == [4, "-1", "MessageTypeNotSupported"]


def test_the_first_version_that_is_offered_and_known_is_agreed() -> None:
    assert agreed(["ocpp9", "ocpp1.6", "ocpp2.1", "ocpp2.0.1"]) is OCPP_16
    assert agreed(["ocpp2.1", "ocpp1.6"]) is OCPP_21
    assert agreed(["ocpp1.6"]) is OCPP_16
    assert agreed(["ocpp1.5", "OCPP2.1"]) is None


# -- answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_boot_is_accepted_with_the_time_and_the_interval(version: str) -> None:
    assert answer(Peer(VERSIONS[version]).call("BootNotification", {})) == [
        3,
        "id",
        {"currentTime": written(NOW), "interval": 60, "status": "Accepted"},
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_heartbeat_is_told_the_time(version: str) -> None:
    outcome = Peer(VERSIONS[version]).call("Heartbeat", {})
    assert answer(outcome) == [3, "id", {"currentTime": written(NOW)}]
    assert outcome.delivery is None


def test_a_token_in_a_transaction_gives_no_right() -> None:
    for dialect in (OCPP_201, OCPP_21):
        peer = Peer(dialect)
        assert answer(peer.call("TransactionEvent", {"idToken": {"idToken": "x", "type": "ISO14443"}}))[
            2
        ] == {"idTokenInfo": {"status": "Invalid"}}
        assert answer(peer.call("TransactionEvent", {"eventType": "Updated", "idToken": None}))[2] == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_that_is_answered_ever_accepts_a_token(version: str) -> None:
    dialect = VERSIONS[version]
    for action in dialect.actions:
        outcome = Peer(dialect).call(
            action,
            {
                "idToken": {},
                "idTag": "x",
                "eventData": [],
                "connectorId": 1,
                "status": "Available",
                "evseId": 1,
                "connectorStatus": "Available",
            },
        )
        kind, _, payload = answer(outcome)
        assert kind == 3, action
        for word in ("idTagInfo", "idTokenInfo"):
            if word in payload:
                assert payload[word] == {"status": "Invalid"}
    for action in dialect.ours:
        assert answer(Peer(dialect).call(action, {}))[:3] == [4, "id", "NotSupported"]


# -- statuses of 1.6 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", STATUSES)
def test_each_status_of_1_6_has_its_own_of_ours(word: str) -> None:
    (report,) = Peer().status(1, word)
    assert report.status is STATUSES[word]
    assert report.raw == word
    assert (report.source, report.observed_at) == ("abc", NOW)
    assert report.error is (word == "Faulted")


@pytest.mark.parametrize("code", sorted(HINDERING))
def test_an_error_code_that_hinders_is_a_flag_beside_the_status(code: str) -> None:
    (report,) = Peer().status(1, "Available", errorCode=code)
    assert (report.status, report.error, report.raw) == (Status.AVAILABLE, True, f"Available/{code}")


@pytest.mark.parametrize(
    "code",
    ["EVCommunicationError", "LocalListConflict", "ResetFailure", "WeakSignal", "OtherError", "Invented"],
)
def test_an_error_code_that_hinders_nobody_is_kept_in_the_raw_word_only(code: str) -> None:
    (report,) = Peer().status(1, "Charging", errorCode=code)
    assert (report.status, report.error, report.raw) == (Status.CHARGING, False, f"Charging/{code}")


def test_a_sloppy_charge_point_is_understood() -> None:
    peer = Peer()
    for given in (
        {"connectorId": 1, "status": "Available"},
        {"connectorId": "1", "status": "Available", "errorCode": None},
        {
            "connectorId": 1,
            "status": "Available",
            "errorCode": "NoError",
            "info": "x" * 500,
            "vendorErrorCode": 7,
        },
        {"connectorId": 1, "status": "Available", "timestamp": "yesterday"},
        {"connectorId": 1, "status": "Available", "timestamp": 5, "more": {"a": []}},
        {"connectorId": 1, "status": "Available", "timestamp": "1970-01-01T00:00:00Z"},
        {"connectorId": 1, "status": "Available", "timestamp": "0001-01-01T00:00:00+23:59"},
    ):
        outcome = peer.call("StatusNotification", given)
        assert brief(reports(outcome)) == [(FIRST, "AVAILABLE", False, None)], given
        assert answer(outcome) == [3, "id", {}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T10:00:00Z", 1795341600000),
        ("2026-11-22T10:00:00", 1795341600000),
        ("2026-11-22T11:00:00.123456789+01:00", 1795341600123),
        ("2026-11-22 10:00:00.5", 1795341600500),
        ("", None),
        (None, None),
        ([], None),
    ],
)
def test_instants_are_read_in_any_form_of_iso_8601(text: Any, expected: int | None) -> None:
    assert instant(text) == expected


def test_a_number_that_the_station_has_not_is_refused_and_answered() -> None:
    for peer in (Peer(), Peer(OCPP_201)):
        given = {"connectorId": 9, "status": "Available", "evseId": 9, "connectorStatus": "Available"}
        outcome = peer.call("StatusNotification", given)
        assert answer(outcome) == [3, "id", {}]
        assert outcome.delivery is not None
        assert [each.reason for each in outcome.delivery.refused] == [Reason.UNKNOWN_EVSE]


def test_a_status_that_is_none_makes_the_evse_unknown_and_is_counted() -> None:
    for peer, word in ((Peer(), "Occupied"), (Peer(OCPP_201), "Charging")):
        peer.status(1, "Available", 0)
        given = {"connectorId": 1, "status": word, "evseId": 1, "connectorStatus": word}
        outcome = peer.call("StatusNotification", given)
        assert answer(outcome) == [3, "id", {}]
        assert [(each.status, each.raw) for each in reports(outcome)] == [(Status.UNKNOWN, word)]
        assert outcome.delivery is not None
        assert outcome.delivery.unmapped == 1


def test_a_status_that_is_none_of_an_evse_that_is_none_is_refused_and_not_counted() -> None:
    peer = Peer(OCPP_201)
    outcome = peer.call("StatusNotification", {"evseId": 7, "connectorId": 1, "connectorStatus": "Dreaming"})
    assert outcome.delivery is not None
    assert [each.reason for each in outcome.delivery.refused] == [Reason.UNKNOWN_EVSE]
    assert outcome.delivery.unmapped == 0


def test_a_connector_of_which_nothing_is_known_keeps_its_evse_from_being_told_as_free() -> None:
    peer = Peer(OCPP_201)
    peer.call("StatusNotification", {"evseId": 1, "connectorId": 1, "connectorStatus": "Available"})
    for word, status in (("Dreaming", Status.UNKNOWN), ("Occupied", Status.CHARGING)):
        outcome = peer.call("StatusNotification", {"evseId": 1, "connectorId": 2, "connectorStatus": word})
        assert [each.status for each in reports(outcome)] == [status]


@pytest.mark.parametrize("word", ["suspended EV", "SUSPENDEDEV", "Suspended_EV"])
def test_words_compare_without_case_spaces_and_underscores(word: str) -> None:
    outcome = Peer().call(
        "StatusNotification", {"connectorId": 1, "status": word, "errorCode": "GROUNDFAILURE"}
    )
    assert [(each.status, each.error) for each in reports(outcome)] == [(Status.CHARGING, True)]


def test_what_is_said_later_holds_whatever_its_time() -> None:
    peer = Peer()
    peer.status(1, "Finishing", 5_000)
    assert brief(peer.status(1, "Available", 5_000)) == [(FIRST, "AVAILABLE", False, 5_000)]
    assert brief(peer.status(1, "Preparing", 3_000)) == [(FIRST, "CHARGING", False, 3_000)]
    assert brief(peer.points.restated().reports) == [(FIRST, "CHARGING", False, 3_000)]


def test_what_is_said_without_a_time_is_said_again_as_of_then() -> None:
    peer = Peer()
    outcome = peer.call("StatusNotification", {"connectorId": 1, "status": "Available"})
    assert brief(reports(outcome)) == [(FIRST, "AVAILABLE", False, None)]
    assert brief(peer.points.restated().reports) == [(FIRST, "AVAILABLE", False, 0)]


# -- the whole over its parts ------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "status"), [("Faulted", "OUTOFORDER"), ("Unavailable", "INOPERATIVE")])
def test_a_whole_that_is_out_lies_over_all_until_it_is_lifted(word: str, status: str) -> None:
    peer = Peer()
    peer.status(1, "Charging", 1_000)
    error = word == "Faulted"
    assert brief(peer.status(0, word, 2_000)) == [
        (key, status, error, 2_000) for key in (FIRST, SECOND, THIRD)
    ]
    assert brief(peer.status(2, "Available", 3_000)) == [(SECOND, status, error, 3_000)]
    assert brief(peer.status(0, "Available", 4_000)) == [
        (FIRST, "CHARGING", False, 4_000),
        (SECOND, "AVAILABLE", False, 4_000),
        (THIRD, "UNKNOWN", False, 4_000),
    ]


def test_a_whole_that_was_never_out_says_nothing_of_its_parts() -> None:
    peer = Peer()
    assert peer.status(0, "Available", 1_000) == []
    peer.status(1, "Charging", 500)
    assert brief(peer.status(1, "Charging", 500)) == [(FIRST, "CHARGING", False, 500)]


def test_a_boot_lifts_what_lay_over_all() -> None:
    peer = Peer()
    peer.status(0, "Faulted", 1_000)
    peer.call("BootNotification", {})
    assert brief(peer.status(1, "Available", 2_000)) == [(FIRST, "AVAILABLE", False, 2_000)]


def test_what_was_said_before_a_boot_does_not_hold_after_it() -> None:
    peer = Peer()
    peer.status(1, "Charging", 1_000)
    peer.call("BootNotification", {})
    assert peer.points.restated().reports == []
    assert brief(peer.status(1, "Available", 1_000)) == [(FIRST, "AVAILABLE", False, 1_000)]


def test_a_later_word_of_the_whole_lifts_what_lies_over_all_whatever_its_time() -> None:
    peer = Peer()
    peer.status(1, "Available", 1_000)
    peer.status(0, "Faulted", 2_000)
    assert brief(peer.status(0, "Available", 500))[0] == (FIRST, "AVAILABLE", False, 500)


# -- statuses of 2.x ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "status", "error"),
    [
        ("Available", Status.AVAILABLE, False),
        ("Occupied", Status.CHARGING, False),
        ("Reserved", Status.RESERVED, False),
        ("Unavailable", Status.INOPERATIVE, False),
        ("Faulted", Status.OUTOFORDER, True),
    ],
)
def test_each_status_of_2_has_its_own_of_ours(word: str, status: Status, error: bool) -> None:
    for dialect in (OCPP_201, OCPP_21):
        (report,) = Peer(dialect).status(2, word)
        assert (report.evse, report.status, report.error, report.raw) == (SECOND, status, error, word)


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (("Available", "Available"), "AVAILABLE", False),
        (("Occupied", "Unavailable"), "CHARGING", False),
        (("Unavailable", "Occupied"), "CHARGING", False),
        (("Available", "Reserved"), "RESERVED", False),
        (("Available", "Unavailable"), "AVAILABLE", False),
        (("Available", "Faulted"), "AVAILABLE", True),
        (("Faulted", "Unavailable"), "OUTOFORDER", True),
        (("Unavailable", "Unavailable"), "INOPERATIVE", False),
    ],
)
def test_an_evse_is_what_its_connectors_leave(words: tuple[str, str], status: str, error: bool) -> None:
    peer = Peer(OCPP_201)
    peer.status(1, words[0], 0, 1)
    assert brief(peer.status(1, words[1], 1, 2)) == [(FIRST, status, error, 1)]


def test_availability_of_an_evse_lies_over_its_connectors_while_it_is_out() -> None:
    peer = Peer(OCPP_21)
    peer.status(1, "Available", 0)
    outcome = peer.event(event("EVSE", "AvailabilityState", "Unavailable", 1, id=1))
    assert brief(reports(outcome)) == [(FIRST, "INOPERATIVE", False, 1)]
    assert brief(peer.status(1, "Occupied", 2)) == [(FIRST, "INOPERATIVE", False, 2)]
    outcome = peer.event(event("evse", "availabilitystate", "Available", 3, id=1))
    assert brief(reports(outcome)) == [(FIRST, "AVAILABLE", False, 3)]
    assert brief(peer.status(1, "Occupied", 4)) == [(FIRST, "CHARGING", False, 4)]


def test_availability_of_the_station_lies_over_all() -> None:
    peer = Peer(OCPP_201)
    outcome = peer.event(event("ChargingStation", "AvailabilityState", "Faulted", 5))
    assert brief(reports(outcome)) == [(key, "OUTOFORDER", True, 5) for key in (FIRST, SECOND, THIRD)]
    outcome = peer.event(event("ChargingStation", "AvailabilityState", "Available", 6))
    assert [each.status for each in reports(outcome)] == [Status.UNKNOWN] * 3


@pytest.mark.parametrize(("is_there", "is_none"), [("true", "false"), (True, False), (1, 0), (True, None)])
def test_a_problem_is_a_flag_until_it_is_cleared(is_there: Any, is_none: Any) -> None:
    peer = Peer(OCPP_201)
    peer.status(1, "Available", 0)
    outcome = peer.event(event("Connector", "Problem", is_there, 1, id=1, connectorId=1))
    assert brief(reports(outcome)) == [(FIRST, "AVAILABLE", True, 1)]
    outcome = peer.event(event("Connector", "Problem", is_none, 2, id=1, connectorId=1))
    assert brief(reports(outcome)) == [(FIRST, "AVAILABLE", False, 2)]
    outcome = peer.event(event("ChargingStation", "Problem", "True", 3))
    assert brief(reports(outcome)) == [(FIRST, "AVAILABLE", True, 3)]
    outcome = peer.event(event("ChargingStation", "Problem", "true", 4, cleared=True))
    assert brief(reports(outcome)) == [(FIRST, "AVAILABLE", False, 4)]
    assert reports(peer.event(event("EVSE", "Problem", "true", 5, id=2))) == []


def test_a_problem_of_nobody_does_not_count_and_the_last_that_was_said_does() -> None:
    peer = Peer(OCPP_201)
    peer.status(1, "Available", 0)
    outcome = peer.event(event("EVSE", "Problem", "true", 1, id=9))
    assert outcome.delivery is not None
    assert [each.reason for each in outcome.delivery.refused] == [Reason.UNKNOWN_EVSE]
    peer.event(event("EVSE", "Problem", "false", 5, id=1))
    assert brief(reports(peer.event(event("EVSE", "Problem", "true", 4, id=1)))) == [
        (FIRST, "AVAILABLE", True, 4)
    ]
    assert peer.status(1, "Available", 6)[0].error is True


def test_problems_alone_make_no_status() -> None:
    peer = Peer(OCPP_201)
    for connector in (1, 2):
        outcome = peer.event(event("Connector", "Problem", "true", 1, id=1, connectorId=connector))
        assert reports(outcome) == []
    assert brief(peer.status(1, "Available", 2)) == [(FIRST, "AVAILABLE", True, 2)]


def test_other_events_say_nothing() -> None:
    peer = Peer(OCPP_21)
    outcome = peer.event(
        event("Connector", "Temperature", "40", id=1, connectorId=1),
        event("RCD", "Problem", "true", id=1),
        event("Connector", "AvailabilityState", "Available"),
        event("EVSE", "AvailabilityState", "Available", id=-1),
        event("Connector", "AvailabilityState", "Available", id=1, connectorId=-2),
    )
    assert outcome.delivery is None
    assert answer(outcome) == [3, "id", {}]


def test_an_event_that_cannot_be_read_costs_no_other() -> None:
    peer = Peer(OCPP_201)
    broken = event("Connector", "AvailabilityState", "Occupied", id=1, connectorId=1)
    del broken["component"]
    outcome = peer.event(
        broken,
        event("Connector", "AvailabilityState", "Dreaming", id=1, connectorId=1),
        event("Connector", "AvailabilityState", "Available", id=2, connectorId=1),
    )
    assert brief(reports(outcome)) == [(FIRST, "UNKNOWN", False, 0), (SECOND, "AVAILABLE", False, 0)]
    assert outcome.delivery is not None
    assert [each.reason for each in outcome.delivery.refused] == [Reason.INVALID_ITEM]
    assert outcome.delivery.unmapped == 1
    assert answer(outcome) == [3, "id", {}]


def test_events_without_a_list_are_refused() -> None:
    for given, code in (({}, "OccurrenceConstraintViolation"), ({"eventData": 1}, "TypeConstraintViolation")):
        assert answer(Peer(OCPP_201).call("NotifyEvent", given))[2] == code


def test_too_many_events_are_refused() -> None:
    one = event("Connector", "AvailabilityState", "Available", id=1, connectorId=1)
    assert answer(Peer(OCPP_201).event(*[one] * 2_001))[2] == "PropertyConstraintViolation"
    assert answer(Peer(OCPP_201).event(*[{}] * 2_001))[0] in {3, 4}


# -- asking ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [-18_000_000, 18_000_000])
def test_a_clock_that_is_set_neither_hastens_nor_delays_what_is_due(by: int) -> None:
    peer = Peer()
    peer.talk.clock_was_set(by)
    assert peer.talk.wake(NOW + by + SETTLE_MS - 1) is NOTHING
    asked = peer.talk.wake(NOW + by + SETTLE_MS)
    assert question(asked) == {"requestedMessage": "StatusNotification"}
    assert peer.talk.due_at == NOW + by + SETTLE_MS + RESULT_MS_MAX
    peer.talk.clock_was_set(-by)
    assert peer.talk.due_at == NOW + SETTLE_MS + RESULT_MS_MAX
    assert peer.talk.wake(NOW + SETTLE_MS + RESULT_MS_MAX - 1) is NOTHING


def test_those_who_told_nothing_are_asked_one_after_the_other() -> None:
    peer = Peer()
    assert peer.talk.due_at == NOW + SETTLE_MS
    assert peer.talk.wake(NOW + SETTLE_MS - 1) is NOTHING
    peer.status(2, "Available")
    peer.now = NOW + SETTLE_MS
    asked = peer.talk.wake(peer.now)
    assert question(asked) == {"requestedMessage": "StatusNotification"}
    assert peer.talk.due_at == peer.now + RESULT_MS_MAX
    asked = peer.say(3, json.loads(asked.call or "")[1], {"status": "Accepted"})
    assert question(asked) == {"requestedMessage": "StatusNotification", "connectorId": 1}
    peer.status(3, "Available")
    assert peer.say(3, json.loads(asked.call or "")[1], {"status": "Accepted"}) == NOTHING
    peer.status(0, "Available")
    peer.status(1, "Available")
    assert peer.talk.due_at == peer.now + RESULT_MS_MAX
    assert peer.talk.wake(peer.now + RESULT_MS_MAX) is NOTHING
    assert peer.talk.due_at is None


def test_in_2_each_connector_of_an_evse_is_asked() -> None:
    place = make_station("NOR_00001", evses=2, connectors=2)
    peer = Peer(OCPP_201, place)
    peer.status(1, "Available", connector=2)
    found = []
    outcome = peer.talk.wake(NOW + SETTLE_MS)
    while outcome.call is not None:
        found.append(question(outcome)["evse"])
        outcome = peer.say(3, json.loads(outcome.call)[1], {"status": "Accepted"})
    assert found == [{"id": 1, "connectorId": 1}, {"id": 2, "connectorId": 1}, {"id": 2, "connectorId": 2}]


def test_who_was_asked_is_given_time() -> None:
    peer = Peer()
    peer.talk.wake(NOW + SETTLE_MS)
    assert peer.talk.wake(NOW + SETTLE_MS + RESULT_MS_MAX - 1) is NOTHING
    assert peer.talk.due_at == NOW + SETTLE_MS + RESULT_MS_MAX


def test_who_does_not_answer_one_call_is_not_asked_again_and_what_it_said_before_holds() -> None:
    peer = Peer()
    for number in (1, 2):
        peer.status(number, "Charging")
    talk = Conversation(OCPP_16, peer.talk.points, 60, NOW)
    asked = talk.wake(NOW + SETTLE_MS)
    assert asked.call is not None
    given_up = talk.wake(NOW + SETTLE_MS + RESULT_MS_MAX)
    assert given_up.call is None
    assert given_up.delivery is not None
    assert [report.status for report in given_up.delivery.reports] == [Status.CHARGING] * 2
    assert talk.due_at is None
    assert SETTLE_MS + RESULT_MS_MAX <= 15_000


def test_who_tells_everything_is_not_asked() -> None:
    peer = Peer()
    for number in range(4):
        peer.status(number, "Available")
    assert peer.talk.wake(NOW + SETTLE_MS) is NOTHING
    assert peer.talk.due_at is None


def test_after_a_boot_it_gets_the_time_to_speak_by_itself() -> None:
    peer = Peer()
    peer.now = NOW + SETTLE_MS - 1
    peer.call("BootNotification", {})
    assert peer.talk.due_at == peer.now + SETTLE_MS


@pytest.mark.parametrize(
    "refusal",
    [
        lambda name: [3, name, {"status": "Rejected"}],
        lambda name: [3, name, {"status": "NotImplemented"}],
        lambda name: [3, name, "nonsense"],
        lambda name: [4, name, "NotSupported", "", {}],
        lambda name: [4, name],
        None,
    ],
)
def test_what_was_said_before_holds_for_those_who_cannot_be_asked(refusal: Any) -> None:
    before = Peer()
    before.status(1, "Charging", 100)
    before.status(2, "Available", 200)
    peer = Peer(points=before.points)
    peer.status(2, "Faulted", 300)
    outcome = peer.talk.wake(NOW + SETTLE_MS)
    peer.now = NOW + SETTLE_MS
    while outcome.call is not None:
        if refusal is None:
            peer.now += RESULT_MS_MAX
            outcome = peer.talk.wake(peer.now)
        else:
            outcome = peer.say(*refusal(json.loads(outcome.call or "")[1]))
    assert brief(reports(outcome)) == [(FIRST, "CHARGING", False, 100)]


def test_who_promises_to_tell_is_waited_for() -> None:
    before = Peer()
    before.status(1, "Charging", 100)
    peer = Peer(points=before.points)
    outcome = peer.talk.wake(NOW + SETTLE_MS)
    while outcome.call is not None:
        outcome = peer.say(3, json.loads(outcome.call)[1], {"status": "Accepted"})
    assert reports(outcome) == []
    outcome = peer.talk.wake(NOW + SETTLE_MS + RESULT_MS_MAX)
    assert outcome.call is None
    assert brief(reports(outcome)) == [(FIRST, "CHARGING", False, 100)]
    assert peer.talk.due_at is None


def test_in_2_1_a_result_without_a_status_is_told_to_be_wrong() -> None:
    peer = Peer(OCPP_21)
    asked = peer.talk.wake(NOW + SETTLE_MS)
    name = json.loads(asked.call or "")[1]
    outcome = peer.say(3, name, {})
    assert answer(outcome)[:3] == [5, name, "FormatViolation"]
    assert outcome.call is not None


def test_what_could_not_be_logged_is_asked_for_again() -> None:
    peer = Peer()
    for number in range(4):
        peer.status(number, "Available")
    outcome = peer.call("StatusNotification", {"connectorId": 1, "status": "Charging"})
    assert json.loads(outcome.instead or "")[:3] == [4, "id", "InternalError"]
    peer.talk.wake(NOW + SETTLE_MS)
    peer.talk.ask_again(NOW)
    assert peer.talk.due_at == NOW + AGAIN_MS
    assert peer.talk.wake(NOW + AGAIN_MS).call is not None


# -- numbers -----------------------------------------------------------------------------------------------


def test_numbers_are_evses_in_registry_order_or_as_chosen() -> None:
    place = make_station("NOR_00001", evses=2, connectors=2)
    first, second = (evse.key for evse in place.evses)
    assert layout(place, {}) == Layout(
        {1: first, 2: second}, {1: 2, 2: 2}, {1: first, 2: first, 3: second, 4: second}
    )
    assert layout(place, {7: second, 8: "GONE"}) == Layout({7: second}, {7: 2})
    assert layout(None, {}) == NOWHERE
    assert layout(make_station("NOR_00001", vanished_at=NOW), {}) == NOWHERE


def test_two_numbers_of_1_6_may_be_one_evse() -> None:
    points = Points("abc", layout(PLACE, {1: FIRST, 2: FIRST}))
    peer = Peer(points=points)
    peer.status(1, "Charging", 1)
    assert brief(peer.status(2, "Unavailable", 2)) == [(FIRST, "CHARGING", False, 2)]


def test_more_connectors_than_an_evse_can_have_are_refused() -> None:
    peer = Peer(OCPP_201)
    for connector in range(1, 65):
        assert peer.status(1, "Available", connector=connector)
    outcome = peer.call(
        "StatusNotification", {"evseId": 1, "connectorId": 65, "connectorStatus": "Available"}
    )
    assert outcome.delivery is not None
    assert [each.reason for each in outcome.delivery.refused] == [Reason.INVALID_ITEM]


def test_what_is_remembered_of_a_connection_is_bounded_by_the_registry() -> None:
    peer = Peer(OCPP_201)
    for number in range(200):
        peer.status(number, "Available", connector=1 + number % 2)
        peer.status(1, "Available", connector=number)
    events = [
        event("Connector", "AvailabilityState", "Available", id=number, connectorId=9)
        for number in range(900)
    ]
    peer.event(*events)
    assert len(peer.talk._heard) <= 4


def test_evses_of_another_layout_are_forgotten() -> None:
    peer = Peer()
    peer.status(1, "Available")
    peer.points.layout = layout(make_station("NOR_00002", evses=1), {})
    assert peer.points.restated().reports == []
    assert [each.evse for each in peer.status(0, "Faulted")] == ["NOABCE2001"]


# -- as devices really send it -------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", ["", ",{}", ",null", ",[]", ',""'])
def test_a_heartbeat_has_nothing_in_its_payload_that_could_be_wrong(payload: str) -> None:
    peer = Peer()
    answer = peer.talk.receive(f'[2,"a","Heartbeat"{payload}]', NOW).answer
    assert answer is not None
    assert "currentTime" in json.loads(answer)[2]


@pytest.mark.parametrize("before", ["\ufeff", "\r\n", "\ufeff \t"])
@pytest.mark.parametrize("behind", ["", "\0", "\r\n\0\0"])
def test_a_frame_may_have_marks_and_nuls_around_it(before: str, behind: str) -> None:
    frame = f'{before}["2","1","StatusNotification",{{"connectorId":1,"status":"Charging"}}]{behind}'
    for text in (frame, frame.encode()):
        outcome = Peer().talk.receive(text, NOW)
        assert outcome.answer == '[3,"1",{}]'
        assert outcome.delivery is not None
        assert [report.status for report in outcome.delivery.reports] == [Status.CHARGING]


@pytest.mark.parametrize("code", [None, 0, 7, {"a": 1}, [], True, "NoError", "None", ""])
def test_an_error_code_that_is_none_costs_no_status(code: object) -> None:
    (report,) = Peer().status(1, "Available", errorCode=code, info={"x": []}, vendorErrorCode=5)
    assert (report.status, report.error) == (Status.AVAILABLE, False)


@pytest.mark.parametrize("number", [1, 1.0, "1", " 1 ", "1\r"])
def test_the_number_of_a_connector_may_be_text(number: object) -> None:
    frame = [2, "1", "StatusNotification", {"connectorId": number, "status": "Charging"}]
    delivery = Peer().talk.receive(json.dumps(frame), NOW).delivery
    assert delivery is not None
    assert len(delivery.reports) == 1


@pytest.mark.parametrize("number", [None, "one", 1.5, True, [1], "", "-1", "\u0661"])
def test_a_number_that_is_none_is_refused(number: object) -> None:
    frame = [2, "1", "StatusNotification", {"connectorId": number, "status": "Charging"}]
    outcome = Peer().talk.receive(json.dumps(frame), NOW)
    assert outcome.delivery is None
    assert json.loads(outcome.answer or "")[0] == 4


@pytest.mark.parametrize(
    "written",
    [
        None,
        "",
        "now",
        7,
        "0001-01-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        {"at": 1},
        "9999-12-31T23:59:59+14:00",
    ],
)
def test_a_time_that_is_none_costs_no_status(written: object) -> None:
    for dialect in (OCPP_16, OCPP_201, OCPP_21):
        (report,) = Peer(dialect).status(1, "Available", timestamp=written)
        assert report.status is Status.AVAILABLE


class TestNumbersOfConnectors:
    """A station with an EVSE of two connectors, and one of one, at which 1, 2 and 3 are connectors."""

    def setup_method(self) -> None:
        place = make_station("NOR_00001", evses=3, connectors=2)
        self.place = msgspec.structs.replace(
            place,
            outlets=tuple(each for index, each in enumerate(place.outlets) if index not in {1, 5}),
        )
        self.first, self.second, self.third = (evse.key for evse in place.evses)
        self.peer = Peer()
        self.peer.talk.points.layout = layout(self.place, {})

    def said(self, number: int, word: str) -> dict[str, Status]:
        frame = [2, "1", "StatusNotification", {"connectorId": number, "status": word}]
        delivery = self.peer.talk.receive(json.dumps(frame), NOW).delivery
        assert delivery is not None
        return {report.evse: report.status for report in delivery.reports}

    def test_a_number_beyond_the_evses_makes_unknown_what_may_be_another_evses_connector(self) -> None:
        for number in (1, 2, 3):
            self.said(number, "Available")
        assert not self.peer.talk.points.counts_plugs
        assert self.said(4, "Charging") == {self.second: Status.UNKNOWN, self.third: Status.UNKNOWN}
        assert self.peer.talk.points.counts_plugs

    def test_what_has_the_same_number_either_way_stays(self) -> None:
        self.said(4, "Charging")
        assert self.said(1, "Charging") == {self.first: Status.CHARGING}
        assert self.said(2, "Charging") == {}
        assert self.said(3, "Charging") == {}

    def test_the_registry_that_is_read_again_changes_nothing_of_it_and_a_map_ends_it(self) -> None:
        self.said(4, "Charging")
        self.peer.talk.points.layout = layout(self.place, {})
        assert self.said(2, "Charging") == {}
        self.peer.talk.points.layout = layout(
            self.place, dict.fromkeys((2, 3), self.second) | {4: self.third}
        )
        assert self.said(2, "Charging") == {self.second: Status.CHARGING}
        assert self.said(4, "Available") == {self.third: Status.AVAILABLE}

    def test_a_number_beyond_the_connectors_too_is_unknown_and_changes_nothing(self) -> None:
        self.said(2, "Available")
        assert self.said(9, "Charging") == {}
        assert not self.peer.talk.points.counts_plugs
