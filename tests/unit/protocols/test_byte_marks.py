"""JSON as writers really send it: with a byte order mark, in UTF-16, with NULs, with halves of characters."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable

import pytest
from tests.building import NOW, make_operator

from ladestrom.errors import MalformedBody
from ladestrom.model import Status
from ladestrom.protocols import (
    datex2_json,
    nobil_realtime,
    nobil_stream,
    ocpi,
    ocpi_credentials,
    ocpi_receiver,
    oicp_pull,
    plain,
)
from ladestrom.protocols.delivery import ParseLimits, json_text
from ladestrom.protocols.interfaces import Request
from ladestrom.protocols.oicp import Oicp
from ladestrom.protocols.qualicharge import Qualicharge

LIMITS = ParseLimits()
RECORD = {"EvseID": "NO*ABC*E1", "EvseStatus": "Occupied"}
OPERATOR = make_operator(parties=("NOABC",))

FORMS: dict[str, Callable[[str], bytes]] = {
    "plain": lambda text: text.encode(),
    "blank": lambda text: b" \r\n\t" + text.encode() + b"\n",
    "mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "nul behind": lambda text: text.encode() + b"\0\0",
    "nul within": lambda text: text.encode().replace(b",", b",\0"),
    "mark and nul": lambda text: codecs.BOM_UTF8 + text.encode() + b"\r\n\0",
    "half a pair": lambda text: text.replace("{", '{"x": "a\\ud83d", ', 1).encode(),
    "its other half": lambda text: text.replace("{", '{"x": "\\uDE00 \\ud83d\\ude00", ', 1).encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16, big end first": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
}


def _plain(body: bytes) -> int:
    return len(plain.receive(body, "abc", items_max=9).reports)


def _qualicharge(body: bytes) -> int:
    return len(Qualicharge().receive(Request("POST", "status/bulk", {}, {}, body), OPERATOR, LIMITS).reports)


def _oicp(body: bytes) -> int:
    path = "evsepush/v21/operators/NO*ABC/status-records"
    return len(Oicp().receive(Request("POST", path, {}, {}, body), OPERATOR, LIMITS).reports)


def _put(body: bytes) -> int:
    where = ocpi_receiver.target("NO/ABC/L1")
    sent = ocpi_receiver.Sent(body=body, version="2.2.1", source="abc", received_at=NOW)
    return len(ocpi_receiver.put(None, where, sent).delivery.reports)


READERS: dict[str, tuple[object, Callable[[bytes], int]]] = {
    "plain": ([{"evse": "NO*ABC*E1", "status": "CHARGING"}], _plain),
    "qualicharge": (
        [
            {
                "id_pdc_itinerance": "FRABCE1",
                "etat_pdc": "en_service",
                "occupation_pdc": "libre",
                "horodatage": "2026-11-01T08:00:00Z",
            }
        ],
        _qualicharge,
    ),
    "oicp": ({"ActionType": "update", "OperatorEvseStatus": {"EvseStatusRecord": [RECORD]}}, _oicp),
    "oicp pull": (
        {"EvseStatuses": {"OperatorEvseStatus": [{"OperatorID": "NO*ABC", "EvseStatusRecord": [RECORD]}]}},
        lambda body: len(oicp_pull.read(body, "abc", LIMITS).reports),
    ),
    "ocpi put": ({"id": "L1", "evses": [{"uid": "1", "status": "AVAILABLE"}]}, _put),
    "ocpi answer": (
        {"status_code": 1000, "data": [1], "timestamp": "2026-11-01T08:00:00Z"},
        lambda body: len(json.loads(bytes(ocpi.opened(200, body, "the peer")))),
    ),
    "ocpi credentials": (
        {"token": "t", "url": "https://p.example/v", "party_id": "ABC", "country_code": "NO"},
        lambda body: len(ocpi_credentials.read(body).roles),
    ),
    "datex2": (
        {
            "aegiEnergyInfrastructureStatusPublication": {
                "publicationTime": "2026-11-01T08:00:00Z",
                "energyInfrastructureSiteStatus": [
                    {"energyInfrastructureStationStatus": [{"refillPointStatus": [{"reference": "1"}]}]}
                ],
            }
        },
        lambda body: bool(datex2_json.read(body)),
    ),
    "nobil realtime": (
        {"nobilId": "NOR_00001", "evseUId": "1", "status": "AVAILABLE"},
        lambda body: len(nobil_realtime.receive(body, "abc", LIMITS).reports),
    ),
    "nobil realtime, list": (
        [{"nobilId": "NOR_00001", "evseUId": "1", "status": "AVAILABLE"}],
        lambda body: len(nobil_realtime.receive(body, "abc", LIMITS).reports),
    ),
    "nobil stream": (
        {
            "type": "status:raw",
            "data": {"uuid": "NOR_00001", "connector": 1, "status": 0, "error": 0, "timestamp": NOW},
        },
        lambda body: len(nobil_stream.receive(body, "abc", LIMITS).reports),
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", READERS)
def test_json_is_read_whatever_its_writer_put_around_it(reader: str, form: str) -> None:
    message, read = READERS[reader]
    assert read(FORMS[form](json.dumps(message))) == 1


def test_text_that_is_marked_as_utf_16_and_is_none_is_refused_as_other_text_is() -> None:
    with pytest.raises(MalformedBody):
        plain.receive(codecs.BOM_UTF16_LE + b"\0\xd8\0", "abc", items_max=9)


# -- members that decide nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, "1000", 1000.0])
def test_a_status_code_of_ocpi_may_be_text(code: object) -> None:
    body = json.dumps({"status_code": code, "status_message": {"en": "ok"}, "timestamp": 7}).encode()
    assert bytes(ocpi.opened(200, body, "the peer")) == b"null"


def pulled(statuses: object, **members: object) -> list[Status]:
    body = json.dumps({"EvseStatuses": statuses, **members}).encode()
    return [report.status for report in oicp_pull.read(body, "abc", LIMITS, complete=True).reports]


@pytest.mark.parametrize(
    "status", [None, {"Code": "000"}, {"Code": "0"}, {"Code": 0}, {"Code": None, "Description": 1}, {}]
)
def test_a_success_of_oicp_may_be_said_in_other_ways(status: object) -> None:
    group = {"OperatorID": "NO*ABC", "EvseStatusRecord": [RECORD]}
    assert pulled({"OperatorEvseStatus": [group]}, StatusCode=status) == [Status.CHARGING]


@pytest.mark.parametrize(
    "statuses",
    [
        {"OperatorEvseStatus": {"OperatorID": "NO*ABC", "EvseStatusRecord": RECORD}},
        [{"OperatorEvseStatus": {"OperatorID": "NO*ABC", "EvseStatusRecord": RECORD}}],
        [{"OperatorID": "NO*ABC", "OperatorName": {"en": "ABC"}, "EvseStatusRecord": [RECORD, None]}],
        {"OperatorID": "NO*ABC", "EvseStatusRecord": RECORD},
        {"OperatorEvseStatus": [None, {"EvseStatusRecord": None}, {"EvseStatusRecord": [RECORD]}]},
    ],
)
def test_an_operator_of_oicp_may_be_an_object_and_null_is_nothing(statuses: object) -> None:
    assert pulled(statuses) == [Status.CHARGING]


def test_an_operator_of_oicp_that_cannot_be_read_costs_itself_and_the_list_is_partial() -> None:
    groups = [17, {"OperatorID": "NO*ABC", "EvseStatusRecord": [RECORD]}]
    body = json.dumps({"EvseStatuses": {"OperatorEvseStatus": groups}}).encode()
    delivery = oicp_pull.read(body, "abc", LIMITS, complete=True)
    assert [report.status for report in delivery.reports] == [Status.CHARGING]
    assert len(delivery.refused) == 1
    assert not delivery.complete


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("\\ud83d", "\ufffd"),
        ("\\ud83d\\ude00", "\U0001f600"),
        ("\\ude00\\ud83d", "\ufffd\ufffd"),
        ("\\ud83d\\ud83d\\ude00", "\ufffd\U0001f600"),
        ("\\\\ud83d", "\\ud83d"),
        ("\\\\\\ud83d\\n", "\\\ufffd\n"),
        ('\\"\\udfff\\u00e6', '"\ufffd\u00e6'),
    ],
)
def test_half_of_a_pair_is_a_replacement_and_costs_nothing_else(written: str, read: str) -> None:
    assert json.loads(json_text(f'"{written}"'.encode())) == read
