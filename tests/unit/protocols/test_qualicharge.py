from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from tests.building import make_operator

from ladestrom.errors import MalformedBody, NotFound, TooLarge, Unauthenticated
from ladestrom.model import Position, Reason, Receipt, Refusal, Status
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import Request
from ladestrom.protocols.qualicharge import MANY, ONE, Qualicharge

STATUS = {
    "id_pdc_itinerance": "FRABCE1",
    "etat_pdc": "en_service",
    "occupation_pdc": "occupe",
    "horodatage": "2026-11-01T09:00:00+01:00",
    "etat_prise_type_2": "fonctionnel",
    "etat_prise_type_ef": None,
}
POSITION = Position("epoch", 7)


def request(body: object, path: str) -> Request:
    return Request("POST", path, {}, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def receive(body: object, path: str = MANY, limits: ParseLimits | None = None) -> Delivery:
    return Qualicharge().receive(request(body, path), make_operator(), limits or ParseLimits())


def told(receipt: Receipt, path: str = MANY, body: object = b"") -> tuple[int, dict[str, Any]]:
    answer = Qualicharge().answer(request(body, path), Delivery(reports=[]), receipt)
    found: dict[str, Any] = json.loads(answer.body)
    return answer.status, found


def test_one_status_is_read() -> None:
    (report,) = receive(STATUS, ONE).reports
    assert (report.evse, report.status, report.raw) == ("FRABCE1", Status.CHARGING, "en_service/occupe")
    assert report.observed_at == 1_793_520_000_000


def test_many_are_read_and_bad_ones_cost_no_other() -> None:
    delivery = receive([STATUS, {**STATUS, "etat_pdc": 3}, {**STATUS, "horodatage": "soon"}, STATUS])
    assert len(delivery.reports) == 2
    assert [(each.index, each.reason) for each in delivery.refused] == [
        (1, Reason.INVALID_ITEM),
        (2, Reason.INVALID_TIME),
    ]


@pytest.mark.parametrize("written", ["", " ", "soon"])
def test_one_without_a_time_is_refused(written: str) -> None:
    delivery = receive([{**STATUS, "horodatage": written}, STATUS])
    assert len(delivery.reports) == 1
    assert [(each.index, each.reason) for each in delivery.refused] == [(0, Reason.INVALID_TIME)]


@pytest.mark.parametrize("path", ["", "session", "status/bulk/more", "status/FRABCE1"])
def test_nothing_is_created_anywhere_else(path: str) -> None:
    with pytest.raises(NotFound):
        receive(STATUS, path)


@pytest.mark.parametrize(("path", "body"), [(ONE, b"{"), (MANY, b"[{"), (MANY, STATUS), (MANY, b"")])
def test_what_is_no_status_or_no_list_is_refused(path: str, body: object) -> None:
    with pytest.raises(MalformedBody):
        receive(body, path)


def test_a_list_where_one_is_due_is_refused_as_an_item() -> None:
    assert [each.reason for each in receive([STATUS], ONE).refused] == [Reason.INVALID_ITEM]


def test_a_list_is_limited() -> None:
    limits = ParseLimits(items_max=1)
    with pytest.raises(TooLarge, match="2 statuses; at most 1"):
        receive([STATUS, STATUS], limits=limits)


def test_one_that_was_taken_has_an_id() -> None:
    status, found = told(Receipt(1, 0, (), POSITION), ONE)
    assert status == 201
    assert UUID(found["id"]).version == 4


def test_many_have_as_many() -> None:
    status, found = told(Receipt(2, 1, (), POSITION))
    assert (status, found["size"], set(found)) == (201, 3, {"size", "items"})
    assert len({UUID(each) for each in found["items"]}) == 3


def test_ids_differ_by_message_and_by_position() -> None:
    receipts = [Receipt(1, 0, (), POSITION), Receipt(1, 0, (), Position("epoch", 8))]
    ids = {told(receipt, ONE, body)[1]["id"] for receipt in receipts for body in (b"1", b"2")}
    assert len(ids) == 4


def test_what_is_refused_beside_others_is_named() -> None:
    status, found = told(Receipt(1, 0, (Refusal(1, Reason.UNKNOWN_EVSE, "which?"),), POSITION))
    assert (status, found["size"]) == (201, 1)
    assert found["refused"] == [{"index": 1, "reason": "unknown_evse", "detail": "which?"}]


@pytest.mark.parametrize(
    ("reason", "status"),
    [(Reason.UNKNOWN_EVSE, 404), (Reason.NOT_ALLOWED, 403), (Reason.INVALID_STATUS, 422)],
)
def test_where_nothing_was_taken_the_status_says_why(reason: Reason, status: int) -> None:
    found = told(Receipt(0, 0, (Refusal(0, reason, "because"),), POSITION), ONE)
    assert found == (status, {"detail": "because", "message": "because", "code": reason.value})


def test_errors_are_told_where_its_client_looks_for_them() -> None:
    answer = Qualicharge().refuse(request(b"", ONE), Unauthenticated("who?"))
    assert answer.status == 401
    assert json.loads(answer.body) == {"detail": "who?", "message": "who?", "code": "unauthenticated"}
