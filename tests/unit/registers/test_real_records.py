"""Each field of the record, counted on the real files by simple code and by the parsers.

The counts of `docs/registers.md`. The files are read where they are, and the tests skipped where they are not.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ladestrom.core.drafts import completed, fault
from ladestrom.model import Evse, Station
from ladestrom.ports.registry import StationDraft
from ladestrom.record import Terms
from ladestrom.registers import irve, nobil

SharedFile = Callable[[str], Path]
Row = dict[str, Any]
IRVE = "data/france/irve-statique.json.gz"
NOBIL = "data/nobil/nobil-v3-sample.json"
ROOT = Path(__file__).resolve().parents[3]

DOCUMENTED = re.compile(r"^\| `([\w.]+)`[^|]*\|([^|]*)\|([^|]*)\|", re.MULTILINE)
COUNT = re.compile(r"([\d,]+) of ([\d,]+)")


def stations_of(found: Iterator[object]) -> list[Station]:
    drafts = [one for one in found if isinstance(one, StationDraft)]
    assert [told for one in drafts if (told := fault(one))] == []
    return [
        completed(one, one.station.register, one.station.uuid or f"FRA_{number:05d}")[0]
        for number, one in enumerate(drafts, 1)
    ]


def terms_of(station: Station, evse: Evse) -> Terms:
    return station.details if evse.terms is None else evse.terms


def documented(column: int) -> dict[str, tuple[int, int]]:
    """The counts that the documentation has of a register, by member."""
    found = {}
    for match in DOCUMENTED.finditer((ROOT / "docs" / "registers.md").read_text()):
        count = COUNT.search(match[column + 1])
        if count:
            found[match[1]] = (int(count[1].replace(",", "")), int(count[2].replace(",", "")))
    return found


# IRVE: what each point says, counted by points


@pytest.fixture(scope="module")
def rows(shared_file: SharedFile) -> list[Row]:
    return [json.loads(line) for line in gzip.decompress(shared_file(IRVE).read_bytes()).splitlines()]


@pytest.fixture(scope="module")
def irve_stations(shared_file: SharedFile) -> list[Station]:
    return stations_of(irve.parse([gzip.decompress(shared_file(IRVE).read_bytes())]))


def entered(*fields: str, unless: tuple[str, ...] = ()) -> Callable[[Row], bool]:
    return lambda row: any(row[field] not in {None, "", *unless} for field in fields)


def is_(field: str, *values: str) -> Callable[[Row], bool]:
    return lambda row: row[field] in values


def has_postal_code(row: Row) -> bool:
    """Five digits between white space, a town after them; not of a mailbox, nor a house's in another department."""
    words = re.sub(r"(?i)(bp|cs) \d{5}", " ", row["adresse_station"] or "")
    codes = re.findall(r"(?:^|[ ,(])(\d{5})(?=,?\s+[A-Za-zÀ-ÿ]|\s*$)", words)
    at_first = re.match(r"\d{5}", words)
    return any(
        code != (at_first and at_first[0]) or code[:2] == row["code_insee_commune"][:2] for code in codes
    )


PERSONS = re.compile(r"(?!support|assistance|supervision|charging)[a-z]+\.[a-z]+@")

IRVE_COUNTS: dict[str, tuple[Callable[[Station, Evse], object], Callable[[Row], object]]] = {
    "ids": (
        lambda s, _: s.details.ids,
        lambda row: (
            row["id_station_local"]
            and row["id_station_local"].replace("*", "").upper() != row["id_station_itinerance"]
        ),
    ),
    "name": (lambda s, _: s.name, entered("nom_station")),
    "brand": (lambda s, _: s.details.brand, entered("nom_enseigne")),
    "operator": (lambda s, _: s.operator, entered("nom_operateur")),
    "owner": (lambda s, _: s.details.owner, entered("nom_amenageur")),
    "contact.phone": (
        lambda s, _: s.details.contact and s.details.contact.phone,
        lambda row: (
            not row["telephone_operateur"].endswith("00-00-00-00")
            and not (PERSONS.match(row["contact_operateur"]) and "+33-6" in row["telephone_operateur"])
        ),
    ),
    "contact.email": (
        lambda s, _: s.details.contact and s.details.contact.email,
        lambda row: not PERSONS.match(row["contact_operateur"]),
    ),
    "address": (lambda s, _: s.address, entered("adresse_station")),
    "postal_code": (lambda s, _: s.details.postal_code, has_postal_code),
    "municipality": (lambda s, _: s.details.municipality, lambda row: row.get("consolidated_commune")),
    "municipality_code": (lambda s, _: s.details.municipality_code, entered("code_insee_commune")),
    "opening": (lambda s, _: s.details.opening, entered("horaires")),
    "opening.always": (
        lambda s, _: s.details.opening and s.details.opening.always,
        is_("horaires", "24/7"),
    ),
    "opening.hours": (
        lambda s, _: s.details.opening and s.details.opening.hours,
        lambda row: row["horaires"] != "24/7",
    ),
    "access": (lambda s, e: terms_of(s, e).access, is_("condition_acces", "Accès libre", "Accès réservé")),
    "place": (lambda s, _: s.details.place, entered("implantation_station")),
    "accessibility": (
        lambda s, e: terms_of(s, e).accessibility,
        entered("accessibilite_pmr", unless=("Accessibilité inconnue",)),
    ),
    "vehicles": (
        lambda s, e: terms_of(s, e).vehicles,
        lambda row: (
            row["station_deux_roues"] == "True" or str(row["restriction_gabarit"]).startswith("Que du poids")
        ),
    ),
    "max_height_m": (
        lambda s, e: terms_of(s, e).max_height_m,
        lambda row: re.search(r"(?i)hauteur.*\d", row["restriction_gabarit"] or ""),
    ),
    "payment": (
        lambda s, e: terms_of(s, e).payment,
        entered("gratuit", "paiement_cb", "paiement_acte", "paiement_autre"),
    ),
    **{
        f"payment.{way}": (
            lambda s, e, way=way: (p := terms_of(s, e).payment) and getattr(p, way) is not None,  # type: ignore[misc]
            entered(field),
        )
        for way, field in {
            "free": "gratuit",
            "card": "paiement_cb",
            "ad_hoc": "paiement_acte",
            "other": "paiement_autre",
        }.items()
    },
    "tariff_text": (
        lambda s, e: terms_of(s, e).tariff_text,
        entered("tarification", unless=("Inconnu",)),
    ),
    "reservable": (lambda s, e: terms_of(s, e).reservable is not None, entered("reservation")),
    "directions": (lambda s, _: s.details.directions, entered("observations", unless=("Aucun",))),
    "updated_at": (lambda s, _: s.updated_at > 0, entered("date_maj")),
    "licence": (lambda s, _: s.details.licence == "etalab-2.0", lambda _: True),
    "evse_id": (lambda _, e: e.evse_id, entered("id_pdc_itinerance")),
    "uid": (
        lambda _, e: e.uid,
        lambda row: (
            row["id_pdc_local"]
            and row["id_pdc_local"].isascii()
            and re.sub("[*-]", "", row["id_pdc_local"]) != row["id_pdc_itinerance"]
        ),
    ),
    "evse.max_kw": (lambda _, e: e.max_kw, entered("puissance_nominale")),
}


@pytest.mark.parametrize("member", IRVE_COUNTS)
def test_as_many_points_of_the_french_register_have_a_member_as_say_it(
    member: str, rows: list[Row], irve_stations: list[Station]
) -> None:
    of_record, of_row = IRVE_COUNTS[member]
    counted = sum(1 for one in irve_stations for evse in one.evses if of_record(one, evse))
    assert counted == sum(1 for row in rows if of_row(row))
    assert documented(1).get(member) == (counted, len(rows))


WORDS: dict[str, tuple[str, Callable[[Terms], object], dict[object, object]]] = {
    "access": (
        "condition_acces",
        lambda t: t.access,
        {"Accès libre": "public", "Accès réservé": "restricted"},
    ),
    "two-wheelers": (
        "station_deux_roues",
        lambda t: t.vehicles == ("motorcycle", "bicycle"),
        {"True": True, "False": False},
    ),
    "accessibility": (
        "accessibilite_pmr",
        lambda t: t.accessibility,
        {
            "Réservé PMR": "reserved",
            "Accessible mais non réservé PMR": "accessible",
            "Non accessible": "not_accessible",
            "Accessibilité inconnue": None,
        },
    ),
    "card": (
        "paiement_cb",
        lambda t: t.payment and t.payment.card,
        {"True": True, "False": False, None: None},
    ),
    "reservable": ("reservation", lambda t: t.reservable, {"True": True, "False": False}),
}


@pytest.mark.parametrize("what", WORDS)
def test_each_word_of_the_french_register_is_as_often_in_the_records(
    what: str, rows: list[Row], irve_stations: list[Station]
) -> None:
    field, of_terms, meanings = WORDS[what]
    told = Counter(of_terms(terms_of(one, evse)) for one in irve_stations for evse in one.evses)
    assert told == Counter(meanings[row[field]] for row in rows)


def test_each_point_of_the_french_register_has_what_its_row_says(
    rows: list[Row], irve_stations: list[Station]
) -> None:
    by_key = {evse.key: (one, evse) for one in irve_stations for evse in one.evses}
    for row in rows:
        one, evse = by_key[row["id_pdc_itinerance"]]
        terms = terms_of(one, evse)
        assert terms.reservable is (row["reservation"] == "True")
        assert terms.payment is not None
        assert terms.payment.card is {"True": True, "False": False, None: None}[row["paiement_cb"]]
        assert terms.tariff_text == (None if row["tarification"] == "Inconnu" else row["tarification"])
        assert evse.max_kw == round(float(row["puissance_nominale"]), 3)


def test_connectors_of_type_2_have_the_format_that_the_french_register_says(
    rows: list[Row], shared_file: SharedFile
) -> None:
    found = irve.parse([gzip.decompress(shared_file(IRVE).read_bytes())])
    told = Counter(
        outlet.connector.format
        for one in found
        if isinstance(one, StationDraft)
        for outlet in one.station.outlets
        if outlet.connector.standard == "IEC_62196_T2"
    )
    formats = {"True": "CABLE", "False": "SOCKET", None: None}
    assert told == Counter(formats[row["cable_t2_attache"]] for row in rows if row["prise_type_2"] == "True")
    assert documented(1)["format"] == (told["CABLE"] + told["SOCKET"], sum(told.values()))  # type: ignore[index]


def test_the_french_register_reads_the_same_as_csv(rows: list[Row], shared_file: SharedFile) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    as_json = list(irve.parse([gzip.decompress(shared_file(IRVE).read_bytes())]))
    assert list(irve.parse([out.getvalue().encode()])) == as_json


# NOBIL: of stations, EVSEs and connectors


@pytest.fixture(scope="module")
def records(shared_file: SharedFile) -> list[Row]:
    found: list[Row] = json.loads(shared_file(NOBIL).read_bytes())["chargerstations"]
    return found


@pytest.fixture(scope="module")
def nobil_stations(shared_file: SharedFile) -> list[Station]:
    return stations_of(nobil.parse([shared_file(NOBIL).read_bytes()]))


def field(name: str, unless: str = "") -> Callable[[Row], bool]:
    return lambda record: str(record["csmd"].get(name, "")).strip() not in {"", unless}


def st(number: str, *trans: str) -> Callable[[Row], bool]:
    return lambda record: (
        number in record["attr"]["st"] and (not trans or record["attr"]["st"][number]["trans"] in trans)
    )


def every(number: str, *trans: str) -> Callable[[Row], bool]:
    """All connectors say the same, one of these words."""

    def counted(record: Row) -> bool:
        said = {one.get(number, {}).get("trans") for one in record["attr"]["conn"].values()}
        return len(said) == 1 and said != {None} and (not trans or said <= set(trans))

    return counted


NOBIL_COUNTS: dict[str, tuple[Callable[[Station], object], Callable[[Row], object]]] = {
    "ids": (lambda s: s.details.ids, field("ocpidb_mapping_stasjon_id")),
    "name": (lambda s: s.name, field("name")),
    "operator": (
        lambda s: s.operator,
        lambda record: field("Operator")(record) or field("Owned_by")(record),
    ),
    "owner": (lambda s: s.details.owner, field("Owned_by")),
    "address": (lambda s: s.address, field("Street")),
    "postal_code": (lambda s: s.details.postal_code, field("Zipcode")),
    "municipality": (lambda s: s.details.municipality, field("Municipality")),
    "municipality_code": (lambda s: s.details.municipality_code, field("Municipality_ID")),
    "region": (lambda s: s.details.region, field("County")),
    "opening": (lambda s: s.details.opening, st("24")),
    "opening.always": (lambda s: s.details.opening and s.details.opening.always, st("24", "Yes")),
    "opening.hours": (
        lambda s: s.details.opening and s.details.opening.hours,
        lambda record: re.fullmatch(r"\d\d:\d\d-\d\d:\d\d", record["attr"]["st"]["24"]["attrval"]),
    ),
    "access": (lambda s: s.details.access, st("2")),
    "place": (lambda s: s.details.place, st("3")),
    "parking_fee": (lambda s: s.details.parking_fee is not None, st("7")),
    "time_limit_min": (lambda s: s.details.time_limit_min, st("6", "Yes")),
    "vehicles": (
        lambda s: s.details.vehicles,
        lambda record: every("17")(record) and not every("17", "All vehicles")(record),
    ),
    "payment": (
        lambda s: s.details.payment,
        lambda record: every("1", "Payment")(record) or every("19")(record),
    ),
    "payment.free": (
        lambda s: s.details.payment and s.details.payment.free is not None,
        every("1", "Payment"),
    ),
    "payment.other": (lambda s: s.details.payment and s.details.payment.other is not None, every("19")),
    "reservable": (lambda s: s.details.reservable is not None, every("18")),
    "images": (
        lambda s: s.details.images,
        lambda record: record["csmd"]["Image"].endswith((".jpg", ".png")),
    ),
    "directions": (lambda s: s.details.directions, field("Description_of_location")),
    "updated_at": (lambda s: s.updated_at > 0, field("Updated")),
    "licence": (lambda s: s.details.licence == "CC-BY-4.0", lambda _: True),
}


@pytest.mark.parametrize("member", NOBIL_COUNTS)
def test_as_many_stations_of_the_nobil_sample_have_a_member_as_say_it(
    member: str, records: list[Row], nobil_stations: list[Station]
) -> None:
    of_station, of_record = NOBIL_COUNTS[member]
    told = [(one.uuid, bool(of_station(one))) for one in nobil_stations]
    assert told == [(record["csmd"]["International_id"], bool(of_record(record))) for record in records]
    assert documented(2).get(member) == (sum(has for _, has in told), len(records))


def test_connectors_of_the_nobil_sample_have_what_their_attributes_say(
    records: list[Row], shared_file: SharedFile
) -> None:
    found = [one for one in nobil.parse([shared_file(NOBIL).read_bytes()]) if isinstance(one, StationDraft)]
    told = [outlet.connector for one in found for outlet in one.station.outlets]
    said = [connector for record in records for connector in record["attr"]["conn"].values()]
    assert len(told) == len(said)
    formats = {"Yes": "CABLE", "No": "SOCKET", "": None}
    never_sockets = {"CHADEMO", "IEC_62196_T2_COMBO", "TESLA_S"}
    kinds = {"1-phase": "AC_1_PHASE", "3-phase": "AC_3_PHASE", "VDC": "DC"}
    for connector, attributes in zip(told, said, strict=True):
        cable = attributes.get("25", {}).get("trans", "")
        if connector.standard not in never_sockets or cable != "No":
            assert connector.format == formats[cable]
        capacity = attributes["5"]["trans"]
        assert connector.power_type == next(kind for word, kind in kinds.items() if word in capacity)
        assert connector.max_a == float(capacity.rpartition("max ")[2].removesuffix("A"))
    of = documented(2)
    assert of["format"] == (sum(1 for one in told if one.format), len(told))
    assert of["power_type"] == (sum(1 for one in told if one.power_type), len(told))
    assert of["max_v"] == (sum(1 for one in told if one.max_v), len(told))
    assert of["max_a"] == (sum(1 for one in told if one.max_a), len(told))


def test_evses_of_the_nobil_sample_read_rfid_where_that_opens_them(
    records: list[Row], nobil_stations: list[Station]
) -> None:
    evses = [evse for one in nobil_stations for evse in one.evses]
    rfid = sum(1 for evse in evses if evse.capabilities == ("RFID_READER",))
    said = [c.get("1", {}).get("trans") for record in records for c in record["attr"]["conn"].values()]
    assert rfid == said.count("RFID")
    assert documented(2)["capabilities"] == (rfid, len(evses))
    assert documented(2)["evse.max_kw"] == (sum(1 for evse in evses if evse.max_kw), len(evses))
