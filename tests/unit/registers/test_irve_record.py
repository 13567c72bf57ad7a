"""What the fields of IRVE statique say of stations and points beside names, places and plugs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.registers.test_irve import as_csv, draft, json_lines, row

from ladestrom.model import NEVER, Evse
from ladestrom.ports.registry import StationDraft
from ladestrom.record import (
    Access,
    Accessibility,
    Contact,
    Details,
    Format,
    Hours,
    Id,
    Opening,
    Payment,
    Place,
    Terms,
    Vehicle,
)
from ladestrom.registers import irve
from ladestrom.registers.irve_tables import postal_code
from ladestrom.registers.limits import DEFAULT

REGISTER = Details(licence="etalab-2.0", attribution="transport.data.gouv.fr")


def details(**fields: object) -> Details:
    return draft(row(**fields)).station.details


def notes(**fields: object) -> tuple[str, ...]:
    return draft(row(**fields)).notes


def evse(**fields: object) -> Evse:
    return draft(row(**fields)).station.evses[0]


def test_a_row_that_says_nothing_else_has_the_registers_licence_and_no_more() -> None:
    assert details(code_insee_commune=None, station_deux_roues="False", horaires="") == REGISTER


@pytest.mark.parametrize(
    ("field", "written", "member", "value"),
    [
        ("nom_enseigne", " Éclair &amp; Cie ", "brand", "Éclair & Cie"),
        ("nom_amenageur", "Ville de Rivemont", "owner", "Ville de Rivemont"),
        ("consolidated_commune", "Rivemont", "municipality", "Rivemont"),
        ("code_insee_commune", "01053", "municipality_code", "01053"),
        ("code_insee_commune", "2a004", "municipality_code", "2A004"),
        ("code_insee_commune", 1053, "municipality_code", "01053"),
        ("horaires", "24/7", "opening", Opening(always=True)),
        ("horaires", "Sa 09:00-12:00", "opening", Opening(hours=(Hours(6, "09:00", "12:00"),))),
        ("horaires", "Aux heures du magasin", "opening", Opening(text="Aux heures du magasin")),
        ("horaires", "Inconnu", "opening", None),
        ("condition_acces", "Accès libre", "access", Access.PUBLIC),
        ("condition_acces", "ACCÈS RÉSERVÉ", "access", Access.RESTRICTED),
        ("condition_acces", "Accès libre", "access_text", None),
        ("condition_acces", "Accès réservé aux clients", "access", Access.RESTRICTED),
        ("condition_acces", "Accès réservé aux clients", "access_text", "Accès réservé aux clients"),
        ("condition_acces", "Sur badge", "access", None),
        ("condition_acces", "Sur badge", "access_text", "Sur badge"),
        ("implantation_station", "Voirie", "place", Place.STREET),
        ("implantation_station", "Parking public", "place", Place.CAR_PARK),
        ("implantation_station", "Parking privé à usage public", "place", Place.CAR_PARK),
        ("implantation_station", "Parking privé réservé à la clientèle", "place", Place.CAR_PARK),
        ("implantation_station", "Station dédiée à la recharge rapide", "place", Place.CHARGING_HUB),
        ("accessibilite_pmr", "Réservé PMR", "accessibility", Accessibility.RESERVED),
        ("accessibilite_pmr", "Accessible mais non réservé PMR", "accessibility", Accessibility.ACCESSIBLE),
        ("accessibilite_pmr", "Non accessible", "accessibility", Accessibility.NOT_ACCESSIBLE),
        ("accessibilite_pmr", "Accessibilité inconnue", "accessibility", None),
        ("station_deux_roues", "True", "vehicles", (Vehicle.MOTORCYCLE, Vehicle.BICYCLE)),
        ("station_deux_roues", False, "vehicles", ()),
        ("restriction_gabarit", "Que du poids léger", "vehicles", (Vehicle.CAR,)),
        ("restriction_gabarit", "Que du poids lourd", "vehicles", (Vehicle.TRUCK,)),
        ("restriction_gabarit", "Aucune", "vehicles", ()),
        ("restriction_gabarit", "Hauteur maximale 2m", "max_height_m", 2.0),
        ("restriction_gabarit", "Hauteur max. 1m90", "max_height_m", 1.9),
        ("restriction_gabarit", "Hauteur limitée à 2,10 mètres", "max_height_m", 2.1),
        ("restriction_gabarit", "Hauteur : 190 cm", "max_height_m", 1.9),
        ("restriction_gabarit", "2m", "max_height_m", None),
        ("restriction_gabarit", "Longueur 5 m, hauteur 2 m", "max_height_m", None),
        ("restriction_gabarit", "Hauteur 20 m", "max_height_m", None),
        ("restriction_gabarit", "Restriction de hauteur", "max_height_m", None),
        ("gratuit", "True", "payment", Payment(free=True)),
        ("gratuit", False, "payment", Payment(free=False)),
        ("paiement_cb", "true", "payment", Payment(card=True)),
        ("paiement_acte", "0", "payment", Payment(ad_hoc=False)),
        ("paiement_autre", "oui", "payment", Payment(other=True)),
        ("gratuit", "", "payment", None),
        ("gratuit", None, "payment", None),
        ("tarification", "0.36€", "tariff_text", "0.36€"),
        ("tarification", "Inconnu", "tariff_text", None),
        ("reservation", "True", "reservable", True),
        ("reservation", "false", "reservable", False),
        ("observations", "Derrière la\r\nmairie", "directions", "Derrière la mairie"),
        ("observations", "Aucun", "directions", None),
        ("id_station_local", "station 7", "ids", (Id("irve-local", "station 7"),)),
        ("id_station_local", "FR*ABC*P1", "ids", ()),
        ("id_station_local", "aide@example.org", "ids", ()),
    ],
)
def test_a_field_of_the_schema_is_this_member_of_the_record(
    field: str, written: object, member: str, value: object
) -> None:
    one = draft(row(**{field: written}))
    assert getattr(one.station.details, member) == value
    assert one.notes == ()
    assert one.station.evses[0].terms is None


@pytest.mark.parametrize(
    ("field", "written", "note"),
    [
        ("code_insee_commune", "00000", 'the number "00000" of its commune is not valid and was ignored'),
        (
            "code_insee_commune",
            "Rivemont",
            'the number "Rivemont" of its commune is not valid and was ignored',
        ),
        ("implantation_station", "Lune", 'its kind of place "Lune" is none of the schema\'s and was ignored'),
        ("accessibilite_pmr", "24/7", 'its accessibility "24/7" is none of the schema\'s and was ignored'),
        ("gratuit", "0.36€", 'gratuit "0.36€" is neither true nor false and was ignored'),
        ("paiement_cb", "24/7", 'paiement_cb "24/7" is neither true nor false and was ignored'),
        ("reservation", "peut-être", 'reservation "peut-être" is neither true nor false and was ignored'),
        ("station_deux_roues", "vélo", 'station_deux_roues "vélo" is neither true nor false and was ignored'),
        ("cable_t2_attache", "fixe", 'cable_t2_attache "fixe" is neither true nor false and was ignored'),
        ("contact_operateur", "aide", "the e-mail address of its operator is none, and was left out"),
        ("telephone_operateur", "Allô", "the telephone number of its operator is none, and was left out"),
        (
            "telephone_operateur",
            "tel:+33-1-00-00-00-00",
            "the telephone number of its operator is a placeholder, and was left out",
        ),
        (
            "contact_operateur",
            "jeanne.rive@example.org",
            "what may be a person's was left out of the contact of its operator",
        ),
        (
            "telephone_operateur",
            "06 12 34 56 78",
            "what may be a person's was left out of the contact of its operator",
        ),
    ],
)
def test_what_is_not_of_the_schema_is_noted_and_left_out(field: str, written: object, note: str) -> None:
    assert draft(row(**{field: written})) == msgspec.structs.replace(draft(row()), notes=(note,))


@pytest.mark.parametrize(
    ("mail", "number", "contact"),
    [
        (
            "contact@example.org",
            "tel:+33-1-02-03-04-05",
            Contact(phone="+33-1-02-03-04-05", email="contact@example.org"),
        ),
        (None, "01 02 03 04 05", Contact(phone="01 02 03 04 05")),
        ("contact@example.org", "", Contact(email="contact@example.org")),
        (
            "contact@example.org",
            "+33 6 12 34 56 78",
            Contact(phone="+33 6 12 34 56 78", email="contact@example.org"),
        ),
        ("jeanne.rive@example.org", "+33 6 12 34 56 78", None),
        ("jeanne.rive@example.org", "0033 (0)6 12 34 56 78", None),
        ("jeanne.rive@example.org", "+262 692 12 34 56", None),
        ("jeanne.rive@example.org", "+33 1 02 03 04 05", Contact(phone="+33 1 02 03 04 05")),
    ],
)
def test_the_contact_is_the_organisations_and_never_a_persons(
    mail: str | None, number: str | None, contact: Contact | None
) -> None:
    assert details(contact_operateur=mail, telephone_operateur=number).contact == contact


@pytest.mark.parametrize(
    ("address", "insee", "code"),
    [
        ("1 place de la Gare, 42000 Rivemont", "42100", "42000"),
        ("1 place de la Gare 42000 RIVEMONT (42) France", "", "42000"),
        ("1 place de la Gare 42000", "", "42000"),
        ("1 place de la Gare, 42000, Rivemont", "", "42000"),
        ("1 rue de l'Or - BP 20212, 42000 Rivemont", "42100", "42000"),
        ("CS 70148 42000 Rivemont", "42100", "42000"),
        ("RD 10000 42000 Rivemont", "42100", "42000"),
        ("Route 12345 Nord, 42000 Rivemont", "42100", "42000"),
        ("42000 Rivemont", "42100", "42000"),
        ("24124 chemin des Matelots", "13031", ""),
        ("Col, 20100 Rivemont", "2A004", "20100"),
        ("1 place de la Gare, Rivemont", "42100", ""),
        ("1 place, 420001 Rivemont", "42100", ""),
        ("1 place, BP 58967", "25112", ""),
    ],
)
def test_the_postal_code_is_read_out_of_the_address(address: str, insee: str, code: str) -> None:
    assert postal_code(None, address, insee) == code
    assert details(adresse_station=address, code_insee_commune=insee).postal_code == (code or None)


@pytest.mark.parametrize("field", ["code_postal", "consolidated_code_postal"])
def test_a_postal_code_of_its_own_counts_before_the_address(field: str) -> None:
    assert details(adresse_station="1 place, 42000 Rivemont", **{field: "42100"}).postal_code == "42100"
    assert details(adresse_station="1 place, 42000 Rivemont", **{field: "?"}).postal_code == "42000"


def test_a_point_has_its_power_and_its_operators_own_id() -> None:
    assert (evse(puissance_nominale="22.08").max_kw, evse(puissance_nominale="").max_kw) == (22.08, None)
    assert evse(id_pdc_local="ABC-7").uid == "ABC-7"
    for none in (None, "", "FR*ABC*E1", "frabce1", "aide@example.org", "é", "x" * 65):
        assert evse(id_pdc_local=none).uid is None
    assert evse(id_pdc_local="ABC-7").label is None


def test_only_a_type_2_plug_has_the_format_that_the_register_says() -> None:
    def formats(**fields: object) -> list[Format | None]:
        return [outlet.connector.format for outlet in draft(row(**fields)).station.outlets]

    assert formats(prise_type_combo_ccs=True, prise_type_ef=True, cable_t2_attache="True") == [
        None,
        Format.CABLE,
        None,
    ]
    assert formats(cable_t2_attache=False) == [Format.SOCKET]
    assert formats(cable_t2_attache="") == formats(cable_t2_attache=None) == [None]


@pytest.mark.parametrize(
    ("days", "millis"),
    [
        (("2025-03-28", "2025-04-01", "2025-01-01"), 1_743_465_600_000),
        (("01/04/2025",), 1_743_465_600_000),
        (("2025-04-01T10:11:12",), 1_743_465_600_000),
        (("",), NEVER),
        (("2025-02-30",), NEVER),
        (("0001-01-01",), NEVER),
        ((None,), NEVER),
    ],
)
def test_a_record_was_updated_on_the_newest_date_of_its_rows(days: tuple[object, ...], millis: int) -> None:
    rows = [row(f"FRABCE{number}", date_maj=day) for number, day in enumerate(days)]
    assert draft(*rows).updated_at == millis


# Points that differ


def test_what_points_differ_in_is_theirs_and_what_all_say_is_the_stations() -> None:
    every = {"condition_acces": "Accès libre", "gratuit": False}
    one = draft(
        row("FRABCE1", paiement_cb=True, **every),
        row("FRABCE2", paiement_cb=False, **every),
        row("FRABCE3", paiement_cb=True, accessibilite_pmr="Réservé PMR", **every),
    ).station
    assert one.details == msgspec.structs.replace(REGISTER, access=Access.PUBLIC, payment=Payment(free=False))
    assert [each.terms for each in one.evses] == [
        Terms(access=Access.PUBLIC, payment=Payment(free=False, card=True)),
        Terms(access=Access.PUBLIC, payment=Payment(free=False, card=False)),
        Terms(
            access=Access.PUBLIC, payment=Payment(free=False, card=True), accessibility=Accessibility.RESERVED
        ),
    ]


def test_equal_terms_of_many_points_are_one_object() -> None:
    rows = [
        row(f"FRABCE{station}{point}", f"FRABCP{station}", gratuit=point % 2 == 0)
        for station in range(3)
        for point in range(4)
    ]
    terms = {id(each.terms) for one in map_stations(*rows) for each in one.station.evses}
    assert len(terms) == 2


def map_stations(*rows: object) -> list[StationDraft]:
    return [one for one in irve.parse([json_lines(*rows)]) if isinstance(one, StationDraft)]


def test_a_station_that_moved_its_hours_is_open_as_its_newest_row_says() -> None:
    old = row("FRABCE1", horaires="24/7", date_maj="2024-01-01")
    new = row("FRABCE2", horaires="Mo 08:00-20:00", date_maj="2025-01-01")
    silent = row("FRABCE3", horaires="", date_maj="2026-01-01")
    one = draft(old, new, silent)
    assert one.station.details.opening == Opening(hours=(Hours(1, "08:00", "20:00"),))
    assert one.notes == ("its rows disagree on its opening; the row of 2026-01-01 is taken",)


# Bad input


@pytest.mark.parametrize(
    "field",
    ["tarification", "observations", "horaires", "condition_acces", "restriction_gabarit", "nom_enseigne"],
)
def test_a_text_of_megabytes_is_cut(field: str) -> None:
    one = draft(row(**{field: "Très cher " * 300_000}))
    assert len(msgspec.json.encode(one)) < 10_000
    small = msgspec.structs.replace(DEFAULT, prose_chars_max=10, text_chars_max=10)
    (cut,) = irve.parse([json_lines(row(**{field: "Très cher " * 10}))], limits=small)
    assert isinstance(cut, StationDraft)
    texts = (cut.station.details.tariff_text, cut.station.details.directions, cut.station.details.brand)
    assert all(len(text or "") <= 10 for text in texts)


@pytest.mark.parametrize("field", ["tarification", "observations", "horaires", "condition_acces"])
def test_texts_are_cleaned(field: str) -> None:
    text = "Voir <b>l'app</b>\u202e ou\x00 appeler 01 02 03 04 05, aide@example.org"
    one = draft(row(**{field: text}))
    out = msgspec.json.encode(one).decode()
    assert "@" not in out
    assert "02 03" not in out
    assert "\\u0000" not in out
    assert "\u202e" not in out
    assert "appeler" in out


def test_columns_that_are_exchanged_are_noted_and_the_station_is_kept() -> None:
    swapped = row(
        horaires="Accès libre",
        condition_acces="24/7",
        tarification="True",
        gratuit="0.36€",
        reservation="Voirie",
    )
    one = draft(swapped)
    assert one.station.details.opening == Opening(text="Accès libre")
    assert one.station.details.access is None
    assert len(one.notes) == 2


def test_csv_says_what_json_lines_say() -> None:
    fields: dict[str, Any] = {
        "nom_amenageur": "Ville; de Rivemont",
        "horaires": "Mo-Fr 08:00-20:00,Sa 09:00-12:00",
        "gratuit": "False",
        "tarification": "0,36 €/kWh",
        "observations": 'Dire "bonjour"\nà la mairie',
        "telephone_operateur": "+33 1 02 03 04 05",
        "cable_t2_attache": "",
    }
    one = row(**fields)
    assert list(irve.parse([as_csv(one)])) == list(irve.parse([json_lines(one)]))
