from __future__ import annotations

import json

import pytest
from tests.building import NOW, make_change, make_evse
from tests.conftest import SharedFile

from ladestrom.formats.irve_dynamique import WORDS, point_status
from ladestrom.model import NEVER, Status
from ladestrom.protocols.irve_dynamique import PAIRS

EVSE = make_evse("FR*ABC*E1")


def said(status: Status, raw: str = "", observed_at: int = NOW) -> tuple[str, str, str] | None:
    found = point_status(EVSE, make_change(EVSE, status, raw=raw), observed_at)
    return None if found is None else (found.etat_pdc, found.occupation_pdc, found.horodatage)


def test_statuses_are_those_of_the_mapping(shared_file: SharedFile) -> None:
    mapping = json.loads(shared_file("spec/status-mapping.json").read_text())["canonical_to_irve"]
    for status in Status:
        wanted = None if mapping[status] == "omit" else tuple(mapping[status])
        found = said(status)
        assert (None if found is None else found[:2]) == wanted


@pytest.mark.parametrize("pair", PAIRS)
def test_what_was_said_in_these_words_is_said_again(pair: tuple[str, str]) -> None:
    found = said(PAIRS[pair], "/".join(pair))
    assert found is not None
    assert found[:2] == pair


@pytest.mark.parametrize("raw", ["en_service", "en_service/", "EN_SERVICE/LIBRE", "Available", "a/b/c"])
def test_other_words_are_not_repeated(raw: str) -> None:
    found = said(Status.CHARGING, raw)
    assert found is not None
    assert found[:2] == WORDS[Status.CHARGING]


def test_the_time_is_that_of_the_last_confirmation() -> None:
    assert said(Status.CHARGING, observed_at=NEVER) == ("en_service", "occupe", "2026-11-18T11:06:40.000Z")
    assert said(Status.CHARGING, observed_at=NOW + 1_500) == (
        "en_service",
        "occupe",
        "2026-11-18T11:06:41.500Z",
    )


def test_a_point_of_which_nothing_was_ever_reported_has_none() -> None:
    assert point_status(EVSE, None, NOW) is None
    assert point_status(EVSE, make_change(EVSE, Status.UNKNOWN, NEVER), NEVER) is None


def test_it_is_named_by_its_key() -> None:
    found = point_status(EVSE, make_change(EVSE), NOW)
    assert found is not None
    assert found.id_pdc_itinerance == "FRABCE1"
