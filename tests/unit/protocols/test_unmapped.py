"""A status word that a protocol does not have ends the old status, wherever nobody reads what we refuse."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.building import make_operator

from ladestrom.model import Reason, Status
from ladestrom.protocols import (
    irve_dynamique,
    ladestrom_stream,
    nobil_realtime,
    nobil_stream,
    ocpi_locations,
)
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import Request
from ladestrom.protocols.qualicharge import Qualicharge

LIMITS = ParseLimits()
AT = "2026-11-01T08:00:00Z"
FIELDS = ("id_pdc_itinerance", "etat_pdc", "occupation_pdc", "horodatage")


def irve(state: str, occupation: str) -> Delivery:
    body = f"{','.join(FIELDS)}\nFRABCE1,{state},{occupation},{AT}"
    return irve_dynamique.receive(body.encode(), "abc", LIMITS)


def qualicharge(word: str) -> Delivery:
    body = json.dumps(dict(zip(FIELDS, ["FRABCE1", "en_service", word, AT], strict=True)))
    request = Request("POST", "status", {}, {}, body.encode())
    return Qualicharge().receive(request, make_operator(), LIMITS)


def ocpi(word: str) -> Delivery:
    evse = {"uid": "1", "status": word, "last_updated": AT}
    return ocpi_locations.read_page(
        json.dumps([{"id": "L1", "evses": [evse]}]).encode(), "abc", LIMITS
    ).delivery


def realtime(word: str) -> Delivery:
    frame = json.dumps({"nobilId": "NOR_00001", "evseUId": "1", "status": word})
    return nobil_realtime.receive(frame.encode(), "abc", LIMITS)


def ladestrom(word: str) -> Delivery:
    frame = json.dumps({"type": "changes", "changes": [{"evse": "NO*ABC*E1", "status": word}]})
    return ladestrom_stream.receive(frame.encode(), "abc", LIMITS)


READERS = {
    "irve": lambda word: irve("en_service", word),
    "ocpi": ocpi,
    "nobil-realtime": realtime,
    "ladestrom": ladestrom,
}


@pytest.mark.parametrize("word", ["Dreaming", ""])
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_word_that_cannot_be_mapped_makes_the_evse_unknown_and_is_counted(
    read: Callable[[str], Delivery], word: str
) -> None:
    delivery = read(word)
    (report,) = delivery.reports
    assert (report.status, report.error) == (Status.UNKNOWN, False)
    assert report.raw.endswith(word)
    assert (delivery.unmapped, delivery.refused) == (1, [])


@pytest.mark.parametrize("word", ["OUTOFORDER", "Out of Order", "out_of_order"])
@pytest.mark.parametrize("read", [realtime, ladestrom])
def test_a_known_word_may_be_spelled_otherwise(read: Callable[[str], Delivery], word: str) -> None:
    delivery = read(word)
    (report,) = delivery.reports
    assert (report.status, report.error, report.raw) == (Status.OUTOFORDER, True, word)
    assert delivery.unmapped == 0


def test_what_another_board_says_of_an_error_goes_with_a_word_that_is_known() -> None:
    for word, status, error in (
        ("CHARGING", Status.CHARGING, True),
        ("UNKNOWN", Status.UNKNOWN, True),
        ("Dreaming", Status.UNKNOWN, False),
    ):
        row = {"evse": "NO*ABC*E1", "status": word, "error": 1}
        frame = json.dumps({"type": "changes", "changes": [row]}).encode()
        (report,) = ladestrom_stream.receive(frame, "abc", LIMITS).reports
        assert (report.status, report.error) == (status, error)


@pytest.mark.parametrize(
    ("state", "occupation", "status", "unmapped"),
    [
        ("Hors service", "inconnu", Status.OUTOFORDER, 0),
        ("hors_service", "", Status.OUTOFORDER, 0),
        ("En Service", "occupé", Status.CHARGING, 0),
        ("EN_SERVICE", "Réservé", Status.RESERVED, 0),
        ("en_panne", "libre", Status.UNKNOWN, 1),
        ("", "occupe", Status.UNKNOWN, 1),
    ],
)
def test_a_row_of_irve_is_read_in_any_spelling_and_out_of_service_is_so_whatever_stands_there(
    state: str, occupation: str, status: Status, unmapped: int
) -> None:
    delivery = irve(state, occupation)
    assert [(report.status, report.raw) for report in delivery.reports] == [(status, f"{state}/{occupation}")]
    assert delivery.unmapped == unmapped


@pytest.mark.parametrize("word", ["plein", ""])
def test_the_national_api_whose_senders_read_the_answer_refuses_such_a_word(word: str) -> None:
    delivery = qualicharge(word)
    assert [refusal.reason for refusal in delivery.refused] == [Reason.INVALID_STATUS]
    assert (delivery.reports, delivery.unmapped) == ([], 0)
    assert [report.status for report in qualicharge("Occupé").reports] == [Status.CHARGING]


def test_a_pair_that_the_nobil_stream_does_not_have_makes_the_connector_unknown() -> None:
    frame = b'{"type":"status:update","data":{"uuid":"NOR_00001","connectors":[{"status":7,"error":0}]}}'
    delivery = nobil_stream.receive(frame, "abc", LIMITS)
    (report,) = delivery.reports
    assert (report.evse, report.status, report.raw) == ("connector 1 of NOR_00001", Status.UNKNOWN, "7/0")
    assert delivery.unmapped == 1


def test_a_word_of_an_item_that_is_refused_is_not_counted_as_it_makes_no_evse_unknown() -> None:
    frame = (
        b'{"type":"status:raw","data":{"uuid":"NOR_00001","connector":0,"status":7,"error":0,"timestamp":1}}'
    )
    delivery = nobil_stream.receive(frame, "abc", LIMITS)
    assert [refusal.reason for refusal in delivery.refused] == [Reason.INVALID_TIME]
    assert (delivery.reports, delivery.unmapped) == ([], 0)
