"""Whatever a message holds: no error but ours, and one bad item never costs another."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import make_operator
from tests.properties.mutations import broken, values, with_other_values

from ladestrom.protocols import irve_dynamique
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import Request
from ladestrom.protocols.oicp import Oicp
from ladestrom.protocols.qualicharge import Qualicharge

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"


def load_targets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_targets", ROOT / "fuzz" / "report_targets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(path: Path) -> list[bytes]:
    """Those that are JSON objects."""
    return [line for line in path.read_bytes().splitlines() if line.startswith(b"{")]


TARGETS: dict[str, Callable[[bytes], None]] = load_targets().TARGETS
ROW = {
    "id_pdc_itinerance": "FRABCE1",
    "etat_pdc": "en_service",
    "occupation_pdc": "libre",
    "horodatage": "2026-11-01T08:00:00Z",
}
SAMPLES: dict[str, list[bytes]] = {
    **{
        name: [line for path in (GOLDEN / "streams").glob(f"{name}-*.jsonl") for line in lines(path)]
        for name in ("blueprint", "ladestrom_stream", "nobil_realtime", "nobil_stream")
    },
    "plain": [b'[{"evse":"NO*ABC*E1","status":"CHARGING","observed_at":"2026-11-01T08:00:00Z"}]'],
    "oicp": [path.read_bytes() for path in sorted((GOLDEN / "oicp").glob("status-*.json"))],
    "oicp_data": [path.read_bytes() for path in sorted((GOLDEN / "oicp").glob("data-*.json"))],
    "oicp_file": [path.read_bytes() for path in sorted((GOLDEN / "oicp").glob("file-*.json"))],
    "datex2_json": [path.read_bytes() for path in sorted((GOLDEN / "datex2").glob("*.json"))],
    "datex2_xml": [path.read_bytes() for path in sorted((GOLDEN / "datex2").glob("*.xml"))],
    "irve": [path.read_bytes() for path in sorted((GOLDEN / "irve_dynamique").glob("*.csv"))],
    "qualicharge": [json.dumps([ROW, ROW]).encode()],
    "qualicharge_one": [json.dumps(ROW).encode()],
}
VALUES = values("0", "(0,0)", "a@b.example", "en_service", "Available", "DEU")


def test_every_target_has_samples() -> None:
    assert set(SAMPLES) == set(TARGETS)
    assert all(SAMPLES.values())


@pytest.mark.parametrize("target", TARGETS)
@given(data=st.data())
def test_broken_messages_are_read_or_refused(target: str, data: st.DataObject) -> None:
    TARGETS[target](data.draw(broken(SAMPLES[target])))


@pytest.mark.parametrize("target", TARGETS)
@given(noise=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(target: str, noise: bytes) -> None:
    TARGETS[target](noise)


@pytest.mark.parametrize("target", [name for name in TARGETS if name not in {"irve", "datex2_xml"}])
@given(data=st.data())
def test_messages_with_other_values_are_read_or_refused(target: str, data: st.DataObject) -> None:
    TARGETS[target](data.draw(with_other_values(SAMPLES[target], VALUES)))


# -- one bad item costs no other -----------------------------------------------------------------------------


def named(delivery: Delivery) -> list[str]:
    return [report.evse for report in delivery.reports]


def oicp(records: list[Any]) -> Delivery:
    body = {
        "ActionType": "update",
        "OperatorEvseStatus": {"OperatorID": "NO*ABC", "EvseStatusRecord": records},
    }
    request = Request(
        "POST", "evsepush/v21/operators/NO*ABC/status-records", {}, {}, json.dumps(body).encode()
    )
    return Oicp().receive(request, make_operator(), ParseLimits())


@given(
    bad=VALUES,
    place=st.integers(0, 3),
    word=st.sampled_from(["Available", "Occupied", "outofservice", "EVSE_NOT_FOUND"]),
)
def test_a_bad_record_of_oicp_costs_no_other(bad: Any, place: int, word: str) -> None:
    records: list[Any] = [{"EvseID": f"NO*ABC*E{number}", "EvseStatus": word} for number in range(3)]
    records.insert(place, bad)
    delivery = oicp(records)
    assert named(delivery) == [f"NO*ABC*E{number}" for number in range(3)]
    assert [refusal.index for refusal in delivery.refused] == [place]


@given(bad=VALUES, place=st.integers(0, 3))
def test_a_bad_status_in_a_list_costs_no_other(bad: Any, place: int) -> None:
    rows: list[Any] = [{**ROW, "id_pdc_itinerance": f"FRABCE{number}"} for number in range(3)]
    rows.insert(place, bad)
    request = Request("POST", "status/bulk", {}, {}, json.dumps(rows).encode())
    delivery = Qualicharge().receive(request, make_operator(), ParseLimits())
    assert named(delivery) == [f"FRABCE{number}" for number in range(3)]
    assert [refusal.index for refusal in delivery.refused] == [place]


@given(
    bad=st.text(st.characters(codec="utf-8", exclude_characters='\n\r"'), min_size=1, max_size=60),
    place=st.integers(0, 3),
)
def test_a_bad_row_of_a_file_costs_no_other(bad: str, place: int) -> None:
    rows = [f"FRABCE{number},en_service,libre,2026-11-01T08:00:00Z" for number in range(3)]
    rows.insert(place, bad)
    text = "\n".join(["id_pdc_itinerance,etat_pdc,occupation_pdc,horodatage", *rows])
    delivery = irve_dynamique.receive(text.encode(), "abc", ParseLimits())
    assert named(delivery) == [f"FRABCE{number}" for number in range(3)]
    assert [refusal.index for refusal in delivery.refused] == ([place] if bad.strip(",") else [])
