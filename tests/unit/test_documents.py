"""The rules by which documents are compared with what programs print, and what every block has to be."""

from __future__ import annotations

import json
import tomllib
from itertools import pairwise

import pytest
from tests.documents import DOCUMENTS, Block, blocks, matches

from ladestrom.config import problems

ALL = [block for path in DOCUMENTS for block in blocks(path)]
LANGUAGES = {"sh", "text", "json", "toml", "python", "js", "nginx", "ini", "yaml", "html"}


@pytest.mark.parametrize(
    ("expected", "printed", "is_same"),
    [
        ("ready\n", "ready\n", True),
        ("ready\n", "ready", True),
        ("ready\n", "not ready\n", False),
        ("ready in ... s\n", "ready in 0.8 s\n", True),
        ("ready in ... s\n", "ready in 0.8 minutes\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nb\nc\n", False),
        ('{"a":1}\n', '{"a":1}', True),
        ("1.5\n", "1x5\n", False),
    ],
)
def test_what_a_document_says_is_compared_line_by_line(expected: str, printed: str, is_same: bool) -> None:
    assert matches(expected, printed) is is_same


@pytest.mark.parametrize("block", ALL, ids=str)
def test_every_block_has_a_language_that_a_test_knows(block: Block) -> None:
    assert block.language in LANGUAGES


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_block_of_output_stands_behind_the_command_that_prints_it(path) -> None:
    before = [None, *blocks(path)]
    for first, second in pairwise(before):
        if second is not None and second.language == "text":
            assert first is not None, str(second)
            assert first.language in {"sh", "python", "js"}, str(second)


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "json"], ids=str)
def test_every_block_of_json_is_json(block: Block) -> None:
    try:
        json.loads(block.text)
    except json.JSONDecodeError:
        for line in block.text.splitlines():
            json.loads(line)


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "toml"], ids=str)
def test_every_block_of_toml_is_a_settings_file_without_a_problem(block: Block) -> None:
    assert problems(tomllib.loads(block.text), {}, {}) == []
