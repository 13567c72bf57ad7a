from __future__ import annotations

import pytest

from ladestrom.core.opening import TEXT_CHARS_MAX, parse
from ladestrom.record import Hours, Opening

WEEK = range(1, 8)


def hours(text: str) -> list[tuple[int, str, str]]:
    found = parse(text)
    assert found is not None
    assert (found.always, found.text) == (None, None), found
    return [(each.weekday, each.begin, each.end) for each in found.hours]


def days(numbers: range | list[int], *spans: tuple[str, str]) -> list[tuple[int, str, str]]:
    return [(day, begin, end) for day in numbers for begin, end in spans]


@pytest.mark.parametrize(
    "text",
    [
        "24/7",
        " 24/7\n",
        "Mo-Su 00:00-24:00",
        "00:00-24:00",
        "00:00-00:00",
        "Mo-Su 06:00-06:00",
        "Mo-Su 00:00-12:00,12:00-24:00",
        "Mo-Fr 00:00-24:00; Sa,Su 00:00-24:00",
        "Mo-Sa 12:00-12:00, Su 12:00-24:00, Mo 00:00-12:00",
    ],
)
def test_a_week_without_a_gap_is_always(text: str) -> None:
    assert parse(text) == Opening(always=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("08:30-20:30", days(WEEK, ("08:30", "20:30"))),
        ("8:30-20:30", days(WEEK, ("08:30", "20:30"))),
        ("Mo-Fr 08:00-20:00,Sa 09:00-12:00", [*days(range(1, 6), ("08:00", "20:00")), (6, "09:00", "12:00")]),
        ("mo-fr 08:00-20:00", days(range(1, 6), ("08:00", "20:00"))),
        ("Mo,We,Fr 08:00-20:00", days([1, 3, 5], ("08:00", "20:00"))),
        ("Mo, We - Fr 08:00 - 20:00", days([1, 3, 4, 5], ("08:00", "20:00"))),
        ("Fr-Mo 08:00-20:00", days([1, 5, 6, 7], ("08:00", "20:00"))),
        ("Su 07:00-08:00, Mo 09:00-10:00", [(1, "09:00", "10:00"), (7, "07:00", "08:00")]),
        ("Mo 09:30-12:00,14:00-18:30", days([1], ("09:30", "12:00"), ("14:00", "18:30"))),
        ("Mo 14:00-18:30,Mo 09:30-12:00", days([1], ("09:30", "12:00"), ("14:00", "18:30"))),
        ("Mo-Sa 08:00-20:00,Su off", days(range(1, 7), ("08:00", "20:00"))),
        ("Mo-Su 08:00-20:00; Su off", days(range(1, 7), ("08:00", "20:00"))),
        ("Mo-Su 08:00-20:00; Su closed;", days(range(1, 7), ("08:00", "20:00"))),
    ],
)
def test_rules_of_days_and_hours_are_hours_of_weekdays(
    text: str, expected: list[tuple[int, str, str]]
) -> None:
    assert hours(text) == expected


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("Mo 22:00-06:00", "06:00"),
        ("Mo 22:00-30:00", "06:00"),
        ("Mo 22:00-22:00", "22:00"),
        ("Mo 22:00-00:00", "24:00"),
        ("Mo 22:00-24:00", "24:00"),
    ],
)
def test_hours_that_end_before_they_begin_end_on_the_next_day(text: str, end: str) -> None:
    assert hours(text) == [(1, "22:00", end)]


@pytest.mark.parametrize(
    "text",
    [
        "Mo 08:00-12:00,Mo 10:00-18:00",
        "Mo 08:00-12:00,12:00-18:00",
        "Mo 08:00-18:00,09:00-10:00",
        "Mo 09:00-18:00,Mo 08:00-18:00",
    ],
)
def test_hours_of_a_day_that_meet_or_overlap_are_one(text: str) -> None:
    assert hours(text) == [(1, "08:00", "18:00")]


def test_a_rule_after_a_semicolon_replaces_the_hours_of_its_days() -> None:
    assert hours("Mo-We 08:00-20:00; Tu 10:00-12:00") == [
        (1, "08:00", "20:00"),
        (2, "10:00", "12:00"),
        (3, "08:00", "20:00"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Mo-Fr 08:00-12:00; Mo-Fr 14:00-18:00",
        "Mo 08:00-12:00; Mo-Fr 14:00-18:00",
        "Mo-We 08:00-12:00; We-Fr 14:00-18:00",
        "Mo-Fr 08:00-12:00; Mo-Fr off",
        "Mo 08:00-12:00, Mo off",
    ],
)
def test_rules_that_contradict_each_other_stay_text(text: str) -> None:
    assert parse(text) == Opening(text=text)


@pytest.mark.parametrize(
    "text",
    [
        "Mo-Fr 08:00-20:00; PH off",
        "Mo-Fr sunrise-sunset",
        "Jan-Mar 08:00-20:00",
        "Mo-Fr 08:00+",
        "Mo-Fr",
        "Mo, 08:00-12:00",
        "Mo-Fr 08:00",
        "Mo 25:00-26:00",
        "Mo 08:60-12:00",
        "Mo 08:00-12:99",
        "Mo 08:00-33:00",
        "Mo 24:00-25:00",
        "Mo 08:00-12:00,",
        "Mo 08:00-12:00 Tu 08:00-12:00",
        "off",
        "Mo off",
        ";",
        ",",
        "-",
        "Lundi au vendredi 8h-20h",
        "Man-fre 07-21.30",
        "24/7; PH off",
        "Mo \u0660\u0668:00-12:00",
        "Mo-Su 12:00-12:00,00:00-13:00",
    ],
)
def test_what_is_not_understood_as_a_whole_stays_text(text: str) -> None:
    assert parse(text) == Opening(text=text)


@pytest.mark.parametrize("text", ["", " ", "\r\n\t"])
def test_a_blank_text_says_nothing(text: str) -> None:
    assert parse(text) is None


def test_a_long_text_is_not_read_and_is_cut() -> None:
    long = "Mo 08:00-12:00," * 1_000_000
    found = parse(long)
    assert found is not None
    assert found.text is not None
    assert len(found.text) <= TEXT_CHARS_MAX
    assert not found.hours


def test_a_list_of_departures_is_no_opening_hours() -> None:
    minutes = ",".join(f"{hour:02d}:00-{hour:02d}:01" for hour in range(11))
    assert parse(f"Mo-Su {minutes}") == Opening(text=f"Mo-Su {minutes}")
    assert len(hours(f"Mo-Sa {minutes}")) == 66


def test_equal_texts_give_one_object() -> None:
    assert parse("Mo 08:00-12:00") is parse("Mo 08:00-12:00")
    assert Hours(1, "08:00", "12:00") in (parse("Mo 08:00-12:00") or Opening()).hours
