from __future__ import annotations

import math

import pytest

from ladestrom.core.fields import Notes, clean, decimal, plain, quoted, truth


def cleaned(value: object, chars_max: int = 100) -> tuple[str, tuple[str, ...]]:
    notes = Notes(20)
    return clean(value, "name", chars_max, notes), notes.all()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Lade &amp; Kaffe", "Lade & Kaffe"),
        ("Bl&aring;b&aelig;r &#39;Nord&#39;", "Blåbær 'Nord'"),
        ("  over\r\n\ttwo   lines ", "over two lines"),
        ("bell\x07, \x00null and \u202ereversed\u202c", "bell , null and reversed"),
        (7, "7"),
        (7.0, "7"),
        (7.25, "7.25"),
        (False, ""),
        (True, ""),
        (None, ""),
        ([], ""),
        ({"a": 1}, ""),
        (math.inf, "inf"),
    ],
)
def test_text_is_one_line_with_its_entities_read(value: object, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("Garasjen, post@example.org", "Garasjen"),
        ("Garasjen (post@example.org)", "Garasjen ( )"),
        ("Garasjen &#64; post&#64;example.org", "Garasjen"),
        ("mailto:post@example.org Garasjen", "Garasjen"),
        ("tel:+33-1-00-00-00-00 Gare", "Gare"),
        ("Garasjen tlf. 00 00 00 00", "Garasjen"),
        ("Garasjen telefon: 99000000", "Garasjen"),
        ("Garasjen +47 000 00 000", "Garasjen"),
        ("Garasjen 0047 90 00 00 00", "Garasjen"),
        ("Gare 01 00 00 00 00", "Gare"),
        ("Torget 018-611 00 00", "Torget"),
        ("Garasjen 900 00 000", "Garasjen"),
        ("Garasjen 90 00 00 00", "Garasjen"),
    ],
)
def test_contact_data_is_left_out_of_free_text_and_noted(value: str, kept: str) -> None:
    assert cleaned(value) == (kept, ("contact data was left out of its name",))


@pytest.mark.parametrize(
    "value",
    [
        "Hotel 24, 75001 Paris",
        "6384+G8 Cormontreuil",
        "E6 Avkjøring 57, 1640 Råde",
        "12 rue du 8 mai 1945",
        "Route 66, km 1200",
        "Station 20250328",
        "1201 Avenue A 13100 Aix",
        "Telegrafgata 9",
    ],
)
def test_numbers_that_are_no_telephone_stay(value: str) -> None:
    assert cleaned(value) == (value, ())


def test_text_over_the_limit_is_cut_and_noted() -> None:
    assert cleaned("abc def ghi", 8) == ("abc def", ("its name was cut to 8 characters",))
    assert cleaned("x" * 5_000_000, 10)[0] == "x" * 10


def test_a_long_text_of_one_word_is_cleaned_in_no_time() -> None:
    assert "@" not in cleaned("a" * 4_000_000 + "@" + "b" * 4_000_000, 255)[0]
    assert cleaned("1 " * 2_000_000, 255)[0].startswith("1 1")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("50.0", 50.0),
        (" 62,5 ", 62.5),
        ("2.299999952316284", 2.299999952316284),
        ("-5.0E-06", -5e-06),
        (22, 22.0),
        (7.4, 7.4),
        (10**400, None),
        (-(10**400), None),
        (math.nan, None),
        (math.inf, None),
        ("NaN", None),
        ("inf", None),
        ("1_000", None),
        ("0x10", None),
        ("1" * 400, None),
        ("", None),
        (None, None),
        (True, None),
        (["1"], None),
    ],
)
def test_numbers_are_read_out_of_numbers_and_text_and_out_of_nothing_else(
    value: object, number: float | None
) -> None:
    assert decimal(value) == number


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", "True", "true", "TRUE", "vrai", "Oui", "yes", " t "])
def test_true_has_many_words(value: object) -> None:
    assert truth(value) is True


@pytest.mark.parametrize("value", [False, 0, "0", "False", "faux", "Non", "no", "", None, "  "])
def test_false_has_many_words_and_silence_is_one(value: object) -> None:
    assert truth(value) is False


@pytest.mark.parametrize("value", ["peut-être", 2, "-1", math.nan])
def test_what_is_neither_true_nor_false_is_none(value: object) -> None:
    assert truth(value) is None


def test_a_quoted_value_is_short_and_holds_no_contact_data() -> None:
    assert quoted("a" * 100) == '"' + "a" * 40 + '..."'
    assert quoted("by post@example.org") == '"by"'
    assert quoted({"a": "b@c"}) == '""'


def test_a_record_has_each_note_once_and_a_limited_number_of_them() -> None:
    notes = Notes(3)
    for note in "aabbccddee":
        notes.add(note)
    assert notes.all() == ("a", "b", "c", "and 2 more notes")
