"""The page's words: what is said in one language is said in the others, and all of it is used."""

from __future__ import annotations

import re
from typing import Final

import pytest

from ladestrom.edges.page import FILES

LANGUAGES: Final = ("en", "nb", "fr")
PLURALS: Final = (".one", ".other")
ENTRY: Final = re.compile(r'^  "([\w.]+)":\s+"((?:[^"\\]|\\.)*)",$', re.MULTILINE)
FORMED: Final = re.compile(r"`([\w.]+\.)\$\{|\bnamed\(\"([\w.]+)\"")
"""Keys that the code puts together: all that begin so count as used."""
OURS: Final = [
    path
    for path in sorted(FILES.rglob("*.js"))
    if not {"vendor", "words"} & set(path.relative_to(FILES).parts)
]


def words(language: str) -> dict[str, str]:
    text = (FILES / "words" / f"{language}.js").read_text(encoding="utf-8")
    found = ENTRY.findall(text)
    assert len(found) == text.count('":'), "an entry is not written on one line as the others are"
    assert len(dict(found)) == len(found), "a key stands twice"
    return dict(found)


def formed(text: str) -> set[str]:
    return {first or f"{second}." for first, second in FORMED.findall(text)}


def code() -> str:
    """All that uses words: what documents say before their scripts run, too."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (*OURS, FILES.parent / "__init__.py"))


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_all_languages_have_the_same_words_in_the_same_order(language: str) -> None:
    assert list(words(language)) == list(words("en"))


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_all_languages_name_the_same_values(language: str) -> None:
    english, theirs = words("en"), words(language)
    names = re.compile(r"\{\w+\}")
    assert [
        key
        for key in english
        if sorted(set(names.findall(english[key]))) != sorted(set(names.findall(theirs[key])))
    ] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_word_is_empty(language: str) -> None:
    assert [key for key, text in words(language).items() if not text.strip()] == []


def test_every_word_that_is_used_is_there() -> None:
    known, text = words("en"), code()
    used = set(re.findall(r'\bt\(\s*"([\w.]+)"', text))
    counted = set(re.findall(r'\bcount\(\s*"([\w.]+)"', text))
    assert used - set(known) == set()
    assert {key + form for key in counted for form in PLURALS} - set(known) == set()
    assert {part for part in formed(text) if not any(key.startswith(part) for key in known)} == set()


def test_every_word_that_is_there_is_used() -> None:
    text = code()
    quoted = set(re.findall(r'"([\w.]+)"', text))
    beginnings = tuple(formed(text))
    unused = [
        key
        for key in words("en")
        if key not in quoted
        and not key.startswith(beginnings)
        and re.sub(r"\.(one|other)$", "", key) not in quoted
    ]
    assert unused == []
