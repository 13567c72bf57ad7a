from __future__ import annotations

from collections import defaultdict
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest

from ladestrom.core import time_zones
from ladestrom.core.fields import Notes
from ladestrom.countries import country


@pytest.mark.parametrize(
    ("land", "latitude", "longitude", "zone"),
    [
        ("NOR", 59.91, 10.75, "Europe/Oslo"),
        ("NOR", 71.0, 25.8, "Europe/Oslo"),
        ("NOR", 78.22, 15.65, "Arctic/Longyearbyen"),
        ("SJM", 78.22, 15.65, "Arctic/Longyearbyen"),
        ("SWE", 59.33, 18.07, "Europe/Stockholm"),
        ("FIN", 60.17, 24.94, "Europe/Helsinki"),
        ("FIN", 60.1, 19.95, "Europe/Helsinki"),
        ("ALA", 60.1, 19.95, "Europe/Mariehamn"),
        ("ISL", 64.15, -21.94, "Atlantic/Reykjavik"),
        ("DAN", 55.68, 12.57, "Europe/Copenhagen"),
        ("DAN", 55.1, 14.7, "Europe/Copenhagen"),
        ("DAN", 62.01, -6.77, "Atlantic/Faroe"),
        ("FRO", 62.01, -6.77, "Atlantic/Faroe"),
        ("DAN", 64.18, -51.72, "America/Nuuk"),
        ("GRL", 64.18, -51.72, "America/Nuuk"),
        ("GRL", 76.77, -18.66, None),
        ("DEU", 52.52, 13.4, "Europe/Berlin"),
        ("FRA", 48.86, 2.35, "Europe/Paris"),
        ("FRA", 41.92, 8.74, "Europe/Paris"),
        ("FRA", -20.88, 55.45, "Indian/Reunion"),
        ("REU", -20.88, 55.45, "Indian/Reunion"),
        ("FRA", 16.24, -61.53, "America/Guadeloupe"),
        ("FRA", 14.6, -61.07, "America/Martinique"),
        ("FRA", 18.07, -63.08, "America/Marigot"),
        ("FRA", 17.9, -62.85, "America/St_Barthelemy"),
        ("FRA", 4.93, -52.33, "America/Cayenne"),
        ("FRA", -12.78, 45.23, "Indian/Mayotte"),
        ("FRA", 46.78, -56.17, "America/Miquelon"),
        ("FRA", -22.27, 166.45, "Pacific/Noumea"),
        ("FRA", -13.28, -176.17, "Pacific/Wallis"),
        ("FRA", -8.91, -140.1, None),
        ("PYF", -17.54, -149.57, "Pacific/Tahiti"),
        ("PYF", -8.91, -140.1, "Pacific/Marquesas"),
        ("PYF", -23.12, -134.97, "Pacific/Gambier"),
        ("ESP", 40.42, -3.7, "Europe/Madrid"),
        ("ESP", 36.01, -5.61, "Europe/Madrid"),
        ("ESP", 39.57, 2.65, "Europe/Madrid"),
        ("ESP", 28.12, -15.43, "Atlantic/Canary"),
        ("ESP", 35.89, -5.31, "Africa/Ceuta"),
        ("PRT", 38.72, -9.14, "Europe/Lisbon"),
        ("PRT", 32.65, -16.91, "Atlantic/Madeira"),
        ("PRT", 37.74, -25.67, "Atlantic/Azores"),
        ("GBR", 51.51, -0.13, "Europe/London"),
        ("GBR", 60.15, -1.15, "Europe/London"),
        ("GBR", 36.14, -5.35, "Europe/Gibraltar"),
        ("GBR", -51.69, -57.86, None),
        ("NLD", 52.37, 4.9, "Europe/Amsterdam"),
        ("NLD", 12.15, -68.27, "America/Kralendijk"),
        ("NLD", 17.63, -63.24, "America/Kralendijk"),
        ("UKR", 50.45, 30.52, "Europe/Kyiv"),
        ("UKR", 45.35, 28.84, "Europe/Kyiv"),
        ("NZL", -36.85, 174.76, "Pacific/Auckland"),
        ("CYP", 35.17, 33.36, "Asia/Nicosia"),
        ("USA", 40.71, -74.0, None),
        ("RUS", 55.75, 37.62, None),
        ("XXX", 55.75, 37.62, None),
    ],
)
def test_country_and_position_tell_the_time_zone_or_nothing_does(
    land: str, latitude: float, longitude: float, zone: str | None
) -> None:
    assert time_zones.zone(land, latitude, longitude) == zone


def of_countries() -> dict[str, list[str]]:
    """The zones of each country, as the tz database lists them."""
    found: dict[str, list[str]] = defaultdict(list)
    lines = (files("tzdata") / "zoneinfo" / "zone.tab").read_text("utf-8").splitlines()
    for line in lines:
        if not line.startswith("#"):
            alpha_2, _, zone = line.split("\t")[:3]
            found[alpha_2].append(zone)
    return found


def test_the_table_has_each_country_for_which_the_tz_database_has_one_zone() -> None:
    single = {alpha_2: zones[0] for alpha_2, zones in of_countries().items() if len(zones) == 1}
    in_parts = set(time_zones._WITHIN_COUNTRIES)
    table = dict(pair.split(":") for pair in time_zones._OF_COUNTRIES.split())
    assert table == {
        **{alpha_2: zone for alpha_2, zone in single.items() if alpha_2 not in in_parts},
        "CY": "Asia/Nicosia",
        "DE": "Europe/Berlin",
    }
    assert all(country(alpha_2) for alpha_2 in (*table, *in_parts))


def test_every_zone_that_is_derived_is_in_the_tz_database() -> None:
    rows = (row for rows in time_zones._WITHIN_COUNTRIES.values() for row in rows)
    for name in {*time_zones._ZONES.values(), *(name for name, _ in rows)}:
        assert ZoneInfo(name).key == name
        assert time_zones.said(name, Notes(1)) == name


@pytest.mark.parametrize(
    ("value", "zone"),
    [("Europe/Oslo", "Europe/Oslo"), (" europe/oslo\u200b", "Europe/Oslo"), ("UTC", "UTC")],
)
def test_a_time_zone_that_a_register_says_is_written_as_the_tz_database_writes_it(
    value: str, zone: str
) -> None:
    notes = Notes(20)
    assert (time_zones.said(value, notes), notes.all()) == (zone, ())


@pytest.mark.parametrize(
    "value",
    [
        "Europe/Atlantis",
        "UTC+01:00",
        "CET",
        "localtime",
        "Europe",
        "../../etc/passwd",
        "/etc/localtime",
        "posix/Europe/Oslo",
        "right/Europe/Oslo",
        "Europe/Oslo" * 100_000,
        7,
    ],
)
def test_a_time_zone_that_the_tz_database_lacks_is_left_out_and_noted(value: object) -> None:
    notes = Notes(20)
    assert time_zones.said(value, notes) is None
    (note,) = notes.all()
    assert "is not in the tz database" in note
    assert len(note) < 200


@pytest.mark.parametrize("value", [None, "", " ", False, []])
def test_no_time_zone_is_no_note(value: object) -> None:
    notes = Notes(20)
    assert (time_zones.said(value, notes), notes.all()) == (None, ())
