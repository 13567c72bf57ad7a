"""Whatever a peer of OCPI says: no error but ours, and one bad EVSE never costs another."""

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
from tests.properties.mutations import broken, values, with_other_values

from ladestrom.protocols.delivery import ParseLimits
from ladestrom.protocols.ocpi_locations import read_page
from ladestrom.protocols.ocpi_receiver import merge

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "ocpi"


def load_targets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ocpi_targets", ROOT / "fuzz" / "ocpi_targets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TARGETS: dict[str, Callable[[bytes], None]] = load_targets().TARGETS
PAGES = [path.read_bytes() for path in sorted(GOLDEN.glob("*.json"))]
ONE = json.loads(PAGES[0])[0]
EVSE = json.dumps(ONE["evses"][0]).encode()
SAMPLES: dict[str, list[bytes]] = {
    "page": PAGES,
    "put": [
        json.dumps({**ONE, "id": "LOC1"}).encode(),
        json.dumps({"uid": "1", "status": "CHARGING"}).encode(),
    ],
    "patch": [
        b'{"status":"CHARGING","last_updated":"2026-11-22T09:00:00Z"}',
        b'{"publish":false,"evses":[],"last_updated":"2026-11-22T09:00:00Z"}',
    ],
    "credentials": [
        b'{"token":"t","url":"https://peer.example/v","roles":[{"role":"CPO","party_id":"ABC","country_code":"NO"}]}',
        b'{"token":"t","url":"https://peer.example/v","party_id":"ABC","country_code":"NO","business_details":{}}',
    ],
    "pull": [
        b'{"status_code":1000,"data":[]}',
        b'{"status_code":1000,"data":' + PAGES[0] + b"}",
        b'{"status_code":1000,"data":[{"version":"2.2.1","url":"https://peer.example/2.2.1"}]}',
    ],
    "register": [*PAGES, b'{"status_code":1000,"data":' + PAGES[0] + b"}"],
}
VALUES = values("REMOVED", "NO*ABC*E1", "0001-01-01T00:00:00+14:00", "1")


def test_every_target_has_samples() -> None:
    assert set(SAMPLES) == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
@given(data=st.data())
def test_broken_messages_are_read_or_refused(target: str, data: st.DataObject) -> None:
    TARGETS[target](data.draw(broken(SAMPLES[target])))


@pytest.mark.parametrize("target", TARGETS)
@given(data=st.data())
def test_messages_with_other_values_are_read_or_refused(target: str, data: st.DataObject) -> None:
    TARGETS[target](data.draw(with_other_values(SAMPLES[target], VALUES)))


@given(bad=VALUES, place=st.integers(0, 3))
def test_a_bad_evse_costs_no_other(bad: Any, place: int) -> None:
    evses: list[Any] = [{"uid": str(number), "status": "CHARGING"} for number in range(3)]
    evses.insert(place, bad)
    data = json.dumps([{"id": "LOC1", "evses": evses}]).encode()
    delivery = read_page(data, "abc", ParseLimits()).delivery
    assert [report.evse for report in delivery.reports] == ["0", "1", "2"]
    assert [refusal.index for refusal in delivery.refused] == [place]


OBJECTS: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: st.dictionaries(st.sampled_from("abc"), st.none() | st.integers() | OBJECTS)
)


@given(stored=OBJECTS, given_=OBJECTS)
def test_a_merge_is_the_merge_of_rfc_7396(stored: dict[str, Any], given_: dict[str, Any]) -> None:
    def reference(target: Any, patch: Any) -> Any:
        if not isinstance(patch, dict):
            return patch
        made = dict(target) if isinstance(target, dict) else {}
        for name, value in patch.items():
            if value is None:
                made.pop(name, None)
            else:
                made[name] = reference(made.get(name), value)
        return made

    assert merge(stored, given_) == reference(stored, given_)
