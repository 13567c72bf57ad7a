"""Whatever a register file holds: no error but the named one, and one bad record never costs another."""

from __future__ import annotations

import copy
import importlib.util
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.errors import InvalidRegister
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.registers import REGISTERS, irve, nobil

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "registers"


def load_targets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("register_targets", ROOT / "fuzz" / "register_targets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TARGETS: dict[str, Callable[[bytes], None]] = load_targets().TARGETS
SAMPLES = {
    register: [
        path.read_bytes()
        for path in sorted(GOLDEN.iterdir())
        if path.stem.startswith(register) and path.suffix != ".out"
    ]
    for register in TARGETS
}

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**310)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.sampled_from(
        ["", "0", "1", "NaN", "(0,0)", "a@b.example", "Non concerné", "&#0;", "\ud7ff", "9" * 400]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def attribute(choice: object, entered: object = "") -> dict[str, Any]:
    return {
        "attrtypeid": "0",
        "attrname": "x",
        "attrvalid": choice,
        "trans": "22 kW Type 2",
        "attrval": entered,
    }


def nobil_station(number: int) -> dict[str, Any]:
    connector = {
        "4": attribute("32"),
        "1": attribute("5"),
        "5": attribute("11"),
        "17": attribute("1"),
        "18": attribute("2"),
        "19": attribute("20"),
        "20": attribute("3"),
        "25": attribute("1"),
        "8": attribute("0", "1"),
        "9": attribute("0", "0"),
        "16": attribute("5", "2024-05-06T05:00:00Z"),
        "27": attribute("", "7f0c2b1e-5d6a-4c7b-8e9f-0a1b2c3d4e5f"),
        "28": attribute("", f"NO*ABC*E{number}"),
    }
    metadata = {
        "id": number,
        "name": "Kaia",
        "Street": "Havnegata",
        "House_number": "7",
        "City": "BY",
        "Owned_by": "Strandvik",
        "Position": "(59.5,10.25)",
        "Land_code": "NOR",
        "International_id": f"NOR_{number:05d}",
        "ocpidb_mapping_stasjon_id": "NO#ABC#1",
        "Zipcode": "0166",
        "Municipality_ID": "0101",
        "Municipality": "BY",
        "County": "Vik",
        "Description_of_location": "Ved kaia",
        "Image": "17.jpg",
        "Updated": "2024-05-06 07:08:09",
    }
    own = {
        "2": attribute("1"),
        "3": attribute("2"),
        "6": attribute("1", "2 timer"),
        "7": attribute("1"),
        "24": attribute("2", "Mo-Fr 08:00-20:00"),
    }
    return {"csmd": metadata, "attr": {"st": own, "conn": {"1": connector, "2": copy.deepcopy(connector)}}}


def irve_row(station: int, point: int) -> dict[str, Any]:
    return {
        "id_station_itinerance": f"FRABCP{station}",
        "id_pdc_itinerance": f"FRABCE{station}{point}",
        "nom_station": "Gare",
        "nom_enseigne": "Éclair",
        "nom_operateur": "Recharge",
        "adresse_station": "1 place",
        "consolidated_commune": "Rivemont",
        "coordonneesXY": "[2.5, 48.5]",
        "puissance_nominale": "22.0",
        "prise_type_2": "True",
        "prise_type_combo_ccs": "False",
        "date_maj": "2025-03-01",
        "contact_operateur": "aide@example.org",
        "telephone_operateur": "+33 1 02 03 04 05",
        "nom_amenageur": "Ville",
        "id_station_local": "station 7",
        "id_pdc_local": "point 7",
        "implantation_station": "Voirie",
        "code_insee_commune": "42100",
        "horaires": "Mo-Fr 08:00-20:00",
        "condition_acces": "Accès libre",
        "accessibilite_pmr": "Réservé PMR",
        "restriction_gabarit": "Hauteur maximale 2m",
        "station_deux_roues": "False",
        "gratuit": "False",
        "paiement_acte": "True",
        "paiement_cb": "True",
        "paiement_autre": None,
        "tarification": "0.36€",
        "reservation": "False",
        "observations": "Derrière la mairie",
        "cable_t2_attache": "True",
    }


def paths(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*at, key))
    return found


def replaced(value: Any, path: tuple[Any, ...], by: object) -> Any:
    if not path:
        return by
    return value | {path[0]: replaced(value[path[0]], path[1:], by)}


NOBIL_STATION_PATHS = paths(nobil_station(2))
IRVE_ROW_PATHS = paths(irve_row(2, 1))


@given(path=st.sampled_from(NOBIL_STATION_PATHS), by=VALUES)
def test_a_nobil_station_with_anything_anywhere_costs_no_other_station(
    path: tuple[Any, ...], by: object
) -> None:
    stations = [nobil_station(1), replaced(nobil_station(2), path, by), nobil_station(3)]
    document = json.dumps({"chargerstations": stations}).encode()
    found = list(nobil.parse([document]))
    assert len(found) == 3
    alone = [next(nobil.parse([json.dumps({"chargerstations": [one]}).encode()])) for one in stations]
    assert isinstance(found[0], StationDraft)
    assert isinstance(found[2], StationDraft)
    assert (found[0], found[2]) == (alone[0], alone[2])
    TARGETS["nobil"](document)


@given(path=st.sampled_from(IRVE_ROW_PATHS), by=VALUES)
def test_an_irve_row_with_anything_anywhere_costs_no_other_row(path: tuple[Any, ...], by: object) -> None:
    rows = [irve_row(1, 1), replaced(irve_row(2, 1), path, by), irve_row(3, 1), irve_row(1, 2)]
    document = "".join(json.dumps(one) + "\n" for one in rows).encode()
    found = [one for one in irve.parse([document]) if isinstance(one, StationDraft)]
    by_id = {one.station.native_id: one for one in found}
    others = list(irve.parse(["".join(json.dumps(rows[i]) + "\n" for i in (0, 2, 3)).encode()]))
    assert [by_id["FRABCP1"], by_id["FRABCP3"]] == others
    TARGETS["irve"](document)


@pytest.mark.parametrize("register", TARGETS)
@given(data=st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_invalid(register: str, data: bytes) -> None:
    for begin in (
        b"",
        b"{",
        b"[",
        b"<",
        b'{"chargerstations":[',
        b"<chargerstation>",
        b"<energyInfrastructureTable>",
        b'{"energyInfrastructureTable":{"energyInfrastructureSite":[',
        b"id_pdc_itinerance,x\n",
    ):
        TARGETS[register](begin + data)


PIECES = [
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b";",
    b"\n",
    b"\r",
    b"<",
    b">",
    b"&",
    b"</",
    b"@",
    b"\xff",
    b"\x00",
]


@pytest.mark.parametrize("register", TARGETS)
def test_samples_with_bytes_changed_are_read_or_invalid(register: str) -> None:
    chance = random.Random(20_25)
    for sample in SAMPLES[register]:
        for _ in range(150):
            data = bytearray(sample)
            for _ in range(chance.randint(1, 4)):
                at = chance.randrange(len(data))
                end = min(len(data), at + chance.choice((0, 1, 1, 10, 200)))
                piece = chance.choice(
                    (b"", chance.choice(PIECES), chance.randbytes(2), bytes(data[at:end]) * 2)
                )
                data[at:end] = piece
                if not data:
                    break
            TARGETS[register](bytes(data))


@pytest.mark.parametrize(("register", "other"), list(itertools.permutations(TARGETS, 2)))
def test_a_sample_of_another_register_is_invalid_or_refused(register: str, other: str) -> None:
    for sample in SAMPLES[other]:
        found: list[StationDraft | RecordRefusal] = []
        with pytest.raises(InvalidRegister):
            found.extend(REGISTERS[register]([sample]))
        assert not any(isinstance(one, StationDraft) for one in found)


@given(
    rows=st.lists(
        st.builds(
            lambda station, point, power, day, name: (
                irve_row(1, point)
                | {
                    "id_station_itinerance": f"FRABCP{station}",
                    "puissance_nominale": power,
                    "date_maj": day,
                    "nom_station": name,
                }
            ),
            st.integers(1, 3),
            st.integers(1, 4),
            st.integers(1, 400),
            st.dates().map(str),
            st.sampled_from(["Gare", "Port", ""]),
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda one: str(one["date_maj"]),
    ),
    seed=st.randoms(use_true_random=False),
)
def test_the_order_of_irve_rows_with_different_dates_does_not_matter(
    rows: list[dict[str, Any]], seed: random.Random
) -> None:
    def told(order: list[dict[str, Any]]) -> dict[str, object]:
        document = "".join(json.dumps(one) + "\n" for one in order).encode()
        stations = [one.station for one in irve.parse([document]) if isinstance(one, StationDraft)]
        return {
            one.native_id: (one.name, {(one.evses[o.evse].key, o.connector.max_kw) for o in one.outlets})
            for one in stations
        }

    shuffled = list(rows)
    seed.shuffle(shuffled)
    assert told(shuffled) == told(rows)


@given(
    ids=st.lists(
        st.tuples(
            st.sampled_from(["", "NO*ABC*E1", "no-abc-e1", "NOABCE2", "+49*810*000*1", "charger-77"]),
            st.sampled_from(["", "1", "uid-00000001", "UID00000001", "uid-00000002", "NO*ABC*E2"]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_every_nobil_connector_belongs_to_one_evse_and_equal_ids_to_the_same(
    ids: list[tuple[str, str]],
) -> None:
    station = nobil_station(1)
    station["attr"]["conn"] = {
        str(number): {"27": attribute("", uid), "28": attribute("", evse_id)}
        for number, (evse_id, uid) in enumerate(ids, start=1)
    }
    (draft,) = nobil.parse([json.dumps({"chargerstations": [station]}).encode()])
    assert isinstance(draft, StationDraft)
    places = [outlet.evse for outlet in draft.station.outlets]
    assert len(places) == len(ids)
    assert list(dict.fromkeys(places)) == list(range(len(draft.station.evses)))
    for i, first in enumerate(ids):
        for k, second in enumerate(ids):
            if first == second and any(first):
                assert places[i] == places[k]
            if not any(first) and i != k:
                assert places[i] != places[k]
