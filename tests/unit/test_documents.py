"""The rules by which documents are compared with what programs print, and what every block has to be."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from tests.documents import DOCUMENTS, MADE, ROOT, Block, blocks, matches

from ladestrom.config import load
from ladestrom.edges.error_pages import REASONS, error_classes, explanations
from ladestrom.model import REFUSALS

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
def test_a_block_of_output_stands_behind_the_command_that_prints_it(path: Path) -> None:
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
def test_every_block_of_toml_is_a_settings_file_without_a_problem(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "ladestrom.toml"
    file.write_text(block.text)
    load(file, {}, {})


@pytest.mark.parametrize("name", MADE)
def test_documents_that_are_made_are_up_to_date_otherwise_run_make_docs(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == MADE[name]()


def test_every_reason_of_a_refusal_is_explained() -> None:
    assert {reason.code for reason in REASONS} == {reason.value for reason in REFUSALS}


def test_every_class_of_errors_says_for_itself_what_it_means_and_what_to_do() -> None:
    for kind in error_classes():
        assert {"means", "advice"} <= vars(kind).keys(), kind


def test_every_error_code_says_what_it_means_and_what_to_do_in_sentences() -> None:
    for row in explanations().values():
        assert row.means.endswith("."), row
        assert row.advice.endswith("."), row


def test_links_between_documents_lead_to_a_document_and_a_heading() -> None:
    for path in (*DOCUMENTS, ROOT / "ARCHITECTURE.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            if "://" in target:
                continue
            name, _, anchor = target.partition("#")
            found = (path.parent / name).resolve() if name else path
            assert found.exists(), f"{path.name}: {target}"
            if anchor:
                assert anchor in _anchors(found), f"{path.name}: {target}"


def _anchors(path: Path) -> set[str]:
    """Anchors of a document's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def test_only_what_a_websocket_can_be_closed_with_has_a_close_code() -> None:
    rows = explanations()
    assert rows["unauthenticated"].close_code == 4401
    assert rows["ocpi_refused"].close_code is None
    assert (rows["ocpi_method_not_allowed"].status, rows["ocpi_method_not_allowed"].close_code) == (405, None)
