from __future__ import annotations

import itertools
import json
import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest

from ladestrom.errors import InvalidRegister
from ladestrom.registers.limits import DEFAULT
from ladestrom.registers.scan import JsonScanner, bounded, lines

SMALL = msgspec.structs.replace(DEFAULT, record_bytes_max=64, record_depth_max=4, document_depth_max=50)


def scanner(document: bytes, step: int = 1) -> JsonScanner:
    return JsonScanner((document[i : i + step] for i in range(0, len(document), step)), SMALL)


def flood(head: bytes, body: bytes, times: int, tail: bytes) -> Iterator[bytes]:
    return itertools.chain((head,), itertools.repeat(body, times), (tail,))


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_a_byte_order_mark_is_left_out_however_the_file_is_cut(step: int) -> None:
    document = b"\xef\xbb\xbfabc\xef\xbb\xbf"
    chunks = [document[i : i + step] for i in range(0, len(document), step)]
    assert b"".join(bounded(chunks, DEFAULT)) == b"abc\xef\xbb\xbf"


@pytest.mark.parametrize("document", [b"", b"a", b"\xef\xbb"])
def test_a_file_shorter_than_a_byte_order_mark_stays_as_it_is(document: bytes) -> None:
    assert b"".join(bounded([document], DEFAULT)) == document


def test_a_file_over_the_limit_is_read_no_further() -> None:
    limits = msgspec.structs.replace(DEFAULT, document_bytes_max=10)
    assert b"".join(bounded([b"12345", b"67890"], limits)) == b"1234567890"
    with pytest.raises(InvalidRegister, match="larger than 10 bytes"):
        list(bounded(itertools.repeat(b"12345"), limits))


@pytest.mark.parametrize("step", [1, 2, 5, 1000])
def test_lines_are_numbered_and_a_last_one_without_end_is_told(step: int) -> None:
    document = b"one\r\n\ntwo\nthree"
    found = list(lines((document[i : i + step] for i in range(0, len(document), step)), DEFAULT))
    assert found == [(1, b"one", True), (2, b"", True), (3, b"two", True), (4, b"three", False)]


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_line_over_the_limit_is_skipped_and_the_next_is_read(step: int) -> None:
    document = b"a" * 65 + b"\n" + b"b" * 64 + b"\n" + b"c" * 99
    found = list(lines((document[i : i + step] for i in range(0, len(document), step)), SMALL))
    assert found == [(1, None, True), (2, b"b" * 64, True), (3, None, False)]


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"a": [{"b": "}]"}]},
        'quote " and \\ backslash \\',
        "\\",
        ["\\", '"', '\\"'],
        -1.5e10,
        True,
        None,
        {"[{": "]}"},
        "æøå 漢",
    ],
)
def test_a_value_ends_where_it_ends_however_the_file_is_cut(value: object, step: int) -> None:
    written = json.dumps(value, ensure_ascii=False).encode()
    assert scanner(b" \n" + written + b" ,", step).value() == written
    reader = scanner(b"[" + written + b"]", step)
    reader.expect(b"[")
    assert reader.value() == written
    assert reader.take(b"]")
    assert not reader.peek()


@pytest.mark.parametrize("step", [1, 16, 1000])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('"' + "x" * 100 + '"', "larger than 64 bytes"),
        ('"' + '\\"' * 100 + '"', "larger than 64 bytes"),
        ('{"a": "' + "}]\\\\" * 50 + '", "b": [1]}', "larger than 64 bytes"),
        ("[" + "1," * 100 + "1]", "larger than 64 bytes"),
        ("[" * 5 + "]" * 5, "deeper than 4"),
        ('{"a":' * 5 + "1" + "}" * 5, "deeper than 4"),
        ("[" * 45 + '"]' + "x" * 100 + '"' + "]" * 45, "deeper than 4"),
    ],
)
def test_a_value_over_a_limit_is_skipped_with_its_reason_and_the_next_is_read(
    value: str, reason: str, step: int
) -> None:
    reader = scanner(f'{value} , {{"next": 1}}'.encode(), step)
    skipped = reader.value()
    assert isinstance(skipped, str)
    assert reason in skipped
    reader.expect(b",")
    assert reader.value() == b'{"next": 1}'


@pytest.mark.parametrize("document", [b"", b" ", b'"abc', b'"abc\\', b'"abc\\"', b"{", b'{"a": [1}', b"[[]"])
def test_a_value_that_does_not_end_is_a_file_that_is_cut_off(document: bytes) -> None:
    with pytest.raises(InvalidRegister, match="cut off"):
        scanner(document).value()


@pytest.mark.parametrize("spaces", range(65_530, 65_545))
def test_a_word_ends_where_it_ends_wherever_the_file_is_cut(spaces: int) -> None:
    reader = scanner(b" " * spaces + b"-12.5e3,true", 1 << 16)
    assert reader.value() == b"-12.5e3"
    reader.expect(b",")
    assert reader.value() == b"true"


@pytest.mark.parametrize("document", [b"]", b",", b":", b"1" * 1_000])
def test_what_is_no_value_is_no_json(document: bytes) -> None:
    with pytest.raises(InvalidRegister, match="not JSON"):
        scanner(document).value()


def test_another_byte_than_expected_is_no_json() -> None:
    with pytest.raises(InvalidRegister, match='":" expected, "=" found'):
        scanner(b" = 1").expect(b":")
    with pytest.raises(InvalidRegister, match="cut off"):
        scanner(b"  ").expect(b":")


def test_endless_nesting_ends_the_reading() -> None:
    with pytest.raises(InvalidRegister, match="nests deeper than 50"):
        JsonScanner(itertools.repeat(b"[" * 1_000), SMALL).value()


def test_a_string_of_100_mib_is_skipped_without_being_held() -> None:
    document = flood(b'["', b"x" * 65_536, 1_600, b'", 7]')
    reader = JsonScanner(document, SMALL)
    reader.expect(b"[")
    tracemalloc.start()
    assert isinstance(reader.value(), str)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1 << 20
    reader.expect(b",")
    assert reader.value() == b"7"


def test_a_line_of_100_mib_is_skipped_without_being_held() -> None:
    tracemalloc.start()
    found = list(lines(flood(b"", b"x" * 65_536, 1_600, b"\nnext\n"), SMALL))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [(1, None, True), (2, b"next", True)]
    assert peak_bytes < 1 << 20
