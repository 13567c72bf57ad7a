from __future__ import annotations

import pytest

from ladestrom.core.words import WORD_CHARACTERS_MAX, Vocabulary, bare

WORDS = Vocabulary({"OutOfOrder": 1, "en_service": 2, "occupe": 3})


@pytest.mark.parametrize(
    ("written", "meaning"),
    [
        ("OutOfOrder", 1),
        ("outoforder", 1),
        ("OUT_OF_ORDER", 1),
        (" Out of\tOrder\n", 1),
        ("en\u00a0service", 2),
        ("En_Service", 2),
        ("occupé", 3),
        ("OCCUPE\u0301", 3),
        ("", None),
        (" ", None),
        ("out-of-order", None),
        ("outoforders", None),
        ("\ufdfa" * 10_000, None),
    ],
)
def test_words_compare_without_case_accents_white_space_and_underscores(
    written: str, meaning: int | None
) -> None:
    assert WORDS.find(written) == meaning


def test_a_text_that_is_too_long_for_a_word_is_not_looked_at() -> None:
    text = " A" * WORD_CHARACTERS_MAX
    assert bare(text) is text
