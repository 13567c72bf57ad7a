from __future__ import annotations

import pytest

from ladestrom import countries
from ladestrom.countries import country


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("NO", "NOR"),
        ("NOR", "NOR"),
        ("nor", "NOR"),
        ("SE", "SWE"),
        ("Swe", "SWE"),
        ("FI", "FIN"),
        ("FIN", "FIN"),
        ("FR", "FRA"),
        ("DE", "DEU"),
        ("CH", "CHE"),
        ("MC", "MCO"),
        ("IS", "ISL"),
        (" GB ", "GBR"),
        ("US", "USA"),
    ],
)
def test_alpha_2_and_alpha_3_in_any_case_give_the_letters_of_a_uuid(text: str, letters: str) -> None:
    assert country(text) == letters


@pytest.mark.parametrize("text", ["DK", "DNK", "DAN", "dan", "dnk"])
def test_denmark_is_written_as_nobil_writes_it(text: str) -> None:
    assert country(text) == "DAN"


@pytest.mark.parametrize("text", ["", "X", "XX", "XXX", "EU", "NORWAY", "N O", "\u00e5", "47"])
def test_what_is_no_country_gives_none(text: str) -> None:
    assert country(text) is None


def test_there_are_249_countries_each_with_one_code_of_two_and_one_of_three_letters() -> None:
    alpha_2 = [code for code in countries._TABLE if len(code) == 2]
    alpha_3 = {code for code in countries._TABLE if len(code) == 3} - {"DAN"}
    assert len(alpha_2) == len(alpha_3) == 249
    assert len(set(map(country, alpha_2))) == 249
    assert {country(code) for code in alpha_2} == {country(code) for code in alpha_3}
    assert all(code.isascii() and code.isupper() for code in countries._TABLE)


def test_what_is_given_is_understood_again() -> None:
    assert all(country(letters) == letters for letters in countries._TABLE.values())
