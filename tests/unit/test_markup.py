from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.markup import Reading, Unreadable, local

DECLARED: Final = '<?xml version="1.0" encoding="utf-8"?><a b="ø">æ一𝄞<c/></a>'


class Told:
    """Writes down what it is told."""

    def __init__(self, *, listens: bool = True, token_bytes_max: int = 1_000) -> None:
        self.events: list[tuple[str, ...]] = []
        self.reading = Reading(self, token_bytes_max=token_bytes_max)
        if listens:
            self.reading.listen()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.events.append(("start", tag, *(f"{name}={value}" for name, value in attributes.items())))

    def end(self, tag: str) -> None:
        self.events.append(("end", tag))

    def text(self, text: str) -> None:
        if self.events and self.events[-1][0] == "text":
            text = self.events.pop()[1] + text
        self.events.append(("text", text))


def told(document: bytes) -> list[tuple[str, ...]]:
    handler = Told()
    handler.reading.whole(document)
    return handler.events


def test_elements_attributes_and_text_come_in_order() -> None:
    assert told(b"<a x=\"1\">one<b:c y='2'/>two &amp; three</a>") == [
        ("start", "a", "x=1"),
        ("text", "one"),
        ("start", "b:c", "y=2"),
        ("end", "b:c"),
        ("text", "two & three"),
        ("end", "a"),
    ]


def test_text_is_told_only_while_somebody_listens() -> None:
    class Choosy(Told):
        def start(self, tag: str, attributes: dict[str, str]) -> None:
            super().start(tag, attributes)
            if tag == "b":
                self.reading.listen()

        def end(self, tag: str) -> None:
            super().end(tag)
            if tag == "b":
                self.reading.ignore()

    handler = Choosy(listens=False)
    handler.reading.whole(b"<a>no<b>yes</b>no</a>")
    assert [event[1] for event in handler.events if event[0] == "text"] == ["yes"]


@given(size=st.integers(1, 40))
def test_how_a_document_is_cut_makes_no_difference(size: int) -> None:
    document = '<a b="ø">æ<c/>å<!-- no --><![CDATA[<x>]]></a>'.encode()
    handler = Told()
    for _ in handler.reading.pieces(document[i : i + size] for i in range(0, len(document), size)):
        pass
    assert handler.events == told(document)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "cp1252"])
def test_a_document_is_read_in_the_encoding_that_it_declares(encoding: str) -> None:
    document = f'<?xml version="1.0" encoding="{encoding}"?><a>ærø</a>'.encode(encoding)
    assert told(document)[1] == ("text", "ærø")


BOTH: Final = ("utf-16-le", "utf-16-be")


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b" \r\n\t" + DECLARED.encode(), id="white space"),
        pytest.param(b"\xef\xbb\xbf\r\n" + DECLARED.encode(), id="mark and white space"),
        pytest.param(b"\r\n\xef\xbb\xbf" + DECLARED.encode(), id="white space and mark"),
        pytest.param(DECLARED.encode() + b"\0", id="NUL behind"),
        pytest.param(DECLARED.encode() + b"\r\n" + bytes(200_000), id="NULs behind"),
        pytest.param(DECLARED.replace("utf-8", "utf-16").encode(), id="declares 16 bits"),
        pytest.param(DECLARED.replace("utf-8", "Unicode").encode(), id="declares Unicode"),
        pytest.param(DECLARED.replace('"utf-8"', "'UTF-16LE' standalone='yes'").encode(), id="with more"),
        pytest.param(b"\xef\xbb\xbf" + DECLARED.replace("utf-8", "iso-8859-1").encode(), id="mark of UTF-8"),
        *(pytest.param(DECLARED.encode(each), id=f"{each} without a mark") for each in BOTH),
        *(pytest.param(f"\ufeff{DECLARED}".encode(each), id=f"{each}") for each in BOTH),
        *(pytest.param(f"\ufeff \n{DECLARED}".encode(each), id=f"{each} and white space") for each in BOTH),
        *(pytest.param(f" \n{DECLARED}\n\0\0".encode(each), id=f"{each} and NULs") for each in BOTH),
        *(pytest.param(f"\ufeff{DECLARED}\0".encode(each), id=f"{each} and a NUL") for each in BOTH),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
def test_what_programs_put_around_a_document_is_taken_off(document: bytes, size: int) -> None:
    handler = Told()
    step = size if len(document) < 1_000 else max(size, 1_000)
    for _ in handler.reading.pieces(document[i : i + step] for i in range(0, len(document), step)):
        pass
    assert handler.events == told("<a b='ø'>æ一𝄞<c/></a>".encode())


@pytest.mark.parametrize("encoding", BOTH)
def test_of_a_text_of_16_bits_no_character_is_lost_where_a_chunk_ends_in_a_nul(encoding: str) -> None:
    handler = Told()
    document = "<a>AĀ一AĀ</a>".encode(encoding)
    for _ in handler.reading.pieces(bytes([byte]) for byte in document):
        pass
    assert handler.events[1] == ("text", "AĀ一AĀ")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"   ",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        b"<a b=1/>",
        b"<a>\xff</a>",
        b"<a>&lt</a>",
        b"<a>&unknown;</a>",
        b"\xff\xfe<\0a\0",
        b"\xff\xfea",
        b"<a>\0</a>",
        b"{}",
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b'<?xml version="1.0" encoding="rot13"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
    ],
)
def test_what_is_no_xml_is_unreadable(document: bytes) -> None:
    with pytest.raises(Unreadable, match="it cannot be read as XML"):
        told(document)


@pytest.mark.parametrize("nuls", [1, 3, 4, 100_000])
@pytest.mark.parametrize("encoding", ["utf-8", *BOTH])
def test_nuls_within_a_document_are_not_taken_off(nuls: int, encoding: str) -> None:
    with pytest.raises(Unreadable):
        told("<a>b".encode(encoding) + bytes(2 * nuls) + "</a>".encode(encoding))


@pytest.mark.parametrize(
    "document",
    [
        b'<!DOCTYPE a [<!ENTITY b "lol">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/hostname"><a/>',
        b'<!DOCTYPE a PUBLIC "-//X//Y" "http://example.org/a.dtd"><a/>',
        b"<!DOCTYPE a><a/>",
    ],
)
def test_a_document_type_declaration_is_refused_before_it_is_read(document: bytes) -> None:
    handler = Told()
    with pytest.raises(Unreadable, match="document type declaration"):
        handler.reading.whole(document)
    assert handler.events == []


@pytest.mark.parametrize(
    "document",
    [
        b'<a b="' + b"x" * 300_000 + b'"/>',
        b"<a><!-- " + b"x" * 300_000 + b" --></a>",
        b"<a><?p " + b"x" * 300_000 + b" ?></a>",
        b"<" + b"x" * 300_000,
        b"<a " + b" ".join(b'a%d="1"' % number for number in range(30_000)) + b"/>",
    ],
)
def test_a_tag_or_comment_over_its_limit_is_refused_while_it_arrives(document: bytes) -> None:
    with pytest.raises(Unreadable, match="a tag or comment of more than 1000 bytes"):
        told(document)


def test_long_text_is_no_token() -> None:
    assert told(b"<a>" + b"x" * 300_000 + b"</a>")[1] == ("text", "x" * 300_000)


def test_a_sign_is_given_after_each_piece() -> None:
    handler = Told()
    seen = [len(handler.events) for _ in handler.reading.pieces([b"<a><b>", b"<c/>", b"</b></a>"])]
    assert seen == [2, 4, 6]


@pytest.mark.parametrize(("tag", "name"), [("a", "a"), ("b:a", "a"), ("", ""), ("a:", ""), ("x:y:a", "a")])
def test_the_local_name_is_what_follows_the_prefix(tag: str, name: str) -> None:
    assert local(tag) == name
