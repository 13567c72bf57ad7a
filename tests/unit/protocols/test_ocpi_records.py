"""An EVSE stays where one of an operator's Locations lists it, whatever becomes of its other records."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.building import make_evse, make_station

from ladestrom.core.directory import Directory
from ladestrom.model import Evse, Status, StatusReport
from ladestrom.protocols.delivery import Delivery
from ladestrom.protocols.ocpi_records import Means, Records

AT = 1_794_996_000_000
"""2026-11-18T10:00:00Z"""
E1 = "NO*ABC*E1"
REGISTRY = Directory([make_station(evses=[make_evse(E1, uid="u1")])])


def means(written: str, also: str, shared: str) -> tuple[Evse, ...]:
    return REGISTRY.resolve(written, also, lambda _: True, shared)[0]


def evse(uid: str = "u1", status: str = "AVAILABLE", evse_id: str | None = E1) -> dict[str, Any]:
    return {"uid": uid, "evse_id": evse_id, "status": status, "last_updated": "2026-11-18T10:00:00Z"}


def document(*evses: object, **members: object) -> bytes:
    return json.dumps({"id": "L", "evses": evses, **members}).encode()


def records(**locations: bytes) -> Records:
    made = Records()
    for name, content in locations.items():
        made.put(name, None, content)
    return made


def settled(listed: Records, delivery: Delivery, means: Means) -> Delivery:
    work = listed.settling(delivery, means)
    while True:
        try:
            next(work)
        except StopIteration as done:
            made: Delivery = done.value
            return made


def said(
    evse_id: str = E1, at: int = AT, status: Status = Status.AVAILABLE, also: str = "u1"
) -> StatusReport:
    return StatusReport(evse_id, status, False, at, "abc", status.value, also)


def removed(uid: str = "u1") -> Delivery:
    return Delivery(reports=[said(status=Status.REMOVED, also=uid)])


@pytest.mark.parametrize(
    "other",
    [evse(), evse("u2"), evse("u2", evse_id="no-abc-e1"), evse(status="UNKNOWN")],
    ids=["moved", "moved with another uid", "written otherwise", "status unknown"],
)
def test_what_another_record_lists_is_not_taken_away(other: dict[str, Any]) -> None:
    made = records(A=document(evse(status="REMOVED")), B=document(other))
    assert settled(made, removed(), means).reports == []
    assert settled(made, Delivery(reports=[], left=[(E1, "u1", "")]), means).unknown == []


@pytest.mark.parametrize(
    "others",
    [{}, {"B": document(evse(status="REMOVED"))}, {"B": document(evse(), publish=False)}],
    ids=["nowhere", "removed there too", "not to be shown"],
)
def test_what_no_record_lists_is_taken_away(others: dict[str, bytes]) -> None:
    made = records(A=document(evse(status="REMOVED")), **others)
    assert settled(made, removed(), means).reports == removed().reports
    assert settled(made, Delivery(reports=[], left=[(E1, "u1", "")]), means).unknown == ["NOABCE1"]


def test_what_goes_takes_no_other_evse_with_it_that_has_its_uid() -> None:
    other = "NO*ABC*E9"
    made = records(A=document(evse(status="REMOVED", evse_id=other)), B=document())
    # What is not known is told all the same, and refused as such.
    (report,) = settled(made, Delivery(reports=[said(other, status=Status.REMOVED)]), means).reports
    assert means(report.evse, report.also, report.shared) == ()
    assert settled(made, Delivery(reports=[], left=[(other, "u1", "")]), means).unknown == []
    assert settled(made, Delivery(reports=[], left=[("", "u1", other)]), means).unknown == []
    assert settled(made, Delivery(reports=[], left=[("", "u1", E1)]), means).unknown == ["NOABCE1"]


def test_a_location_that_changes_lists_what_it_has_now() -> None:
    made = records(A=document(evse()))
    assert made.is_listed("NOABCE1")
    made.put("A", document(evse()), document())
    assert not made.is_listed("NOABCE1")
    made.put("A", document(), document(evse()))
    made.put("B", None, document(evse("u2")))
    made.put("A", document(evse()), None)
    assert made.is_listed("NOABCE1")


def test_an_id_that_means_what_the_same_delivery_tells_of_is_not_taken_away() -> None:
    told = Delivery(reports=[said(also="new")], left=[("", "u1", E1)])
    assert settled(records(A=document(evse("new"))), told, means).unknown == []


def test_a_record_has_its_status_from_when_another_was_removed() -> None:
    made = records(A=document(evse(status="REMOVED")), B=document(evse("u2")))
    (report,) = settled(made, Delivery(reports=[said(at=AT - 60_000, also="u2")]), means).reports
    assert report.observed_at == AT
    (report,) = settled(made, Delivery(reports=[said(at=AT + 1, also="u2")]), means).reports
    assert report.observed_at == AT + 1
    alone = records(A=document(evse(status="REMOVED")))
    (report,) = settled(alone, Delivery(reports=[said(at=AT - 60_000, also="u1")]), means).reports
    assert report.observed_at == AT - 60_000


def test_an_evse_without_evse_id_is_known_by_its_uid() -> None:
    made = records(A=document(evse(evse_id=None, status="REMOVED")), B=document(evse("U1", evse_id=None)))
    gone = Delivery(reports=[said("u1", status=Status.REMOVED, also="")])
    assert settled(made, gone, means).reports == []


@pytest.mark.parametrize(
    "content", [b"[]", b"{", b'{"evses":[1,null,{"uid":[]}]}', b'{"evses":{}}', b'{"evses":null}']
)
def test_a_document_that_is_none_lists_nothing(content: bytes) -> None:
    records(A=content).put("A", content, document(evse()))
