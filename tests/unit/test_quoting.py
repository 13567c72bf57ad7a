"""Values in messages are quoted so that people who know no Python can read them."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.quoting import quoted, without_user


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("abc", '"abc"'),
        ("it's", '"it\'s"'),
        ('a "b"', '"a \\"b\\""'),
        ("Gjøvik", '"Gjøvik"'),
        ("a\x1b[31m\n\x9b\u202e", '"a\\u001b[31m\\n\\u009b\\u202e"'),
        ("\U000e0001", '"\\udb40\\udc01"'),
        ("\ud800", '"\\\\ud800"'),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ([1, "a"], '[1,"a"]'),
        ({"a": None}, '{"a":null}'),
        (date(2026, 11, 22), '"2026-11-22"'),
        ("x" * 100, '"' + "x" * 80 + '..."'),
        (
            list(range(100)),
            "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29...",
        ),
    ],
)
def test_a_value_is_quoted_as_json(value: object, text: str) -> None:
    assert quoted(value) == text


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(json_values)
def test_whatever_it_is_the_text_is_short_and_one_printable_line(value: object) -> None:
    text = quoted(value)
    assert text.isprintable()
    assert len(text) <= 80 * 12 + 5


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://db.example/status", "postgresql://db.example/status"),
        ("postgresql://me@db.example/status", "postgresql://***@db.example/status"),
        ("postgresql://me:a@b/c?d@db.example/status", "postgresql://***@db.example/status"),
        ("sqlite:", "sqlite:"),
    ],
)
def test_an_address_is_shown_without_user_and_password(url: str, shown: str) -> None:
    assert without_user(url) == shown
