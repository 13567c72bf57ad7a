from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterable

import msgspec
import pytest

from ladestrom.errors import InvalidRegister
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.registers import nobil
from ladestrom.registers.limits import DEFAULT, Limits

CONNECTOR = """<connector id="1">
  <attribute><attrtypeid>4</attrtypeid><attrvalid>32</attrvalid><trans>Type 2</trans><attrval/></attribute>
  <attribute><attrtypeid>28</attrtypeid><attrvalid/><attrval>NO*ABC*E1</attrval></attribute>
</connector>"""
METADATA = """<metadata><id>17</id><name>Kaia &amp;amp; brygga</name><Position>(59.5,10.25)</Position>
<Land_code>NOR</Land_code><International_id>NOR_00017</International_id></metadata>"""
ATTRIBUTES = f"<attributes><connectors>{CONNECTOR}</connectors></attributes>"
STATION = f"<chargerstation>{METADATA}{ATTRIBUTES}</chargerstation>"
DOCUMENT = f'<?xml version="1.0" encoding="UTF-8"?>\n<chargerstations>{STATION}</chargerstations>\n'


def read(data: str | bytes, limits: Limits = DEFAULT) -> list[StationDraft | RecordRefusal]:
    return list(nobil.parse([data.encode() if isinstance(data, str) else data], limits=limits))


def draft(data: str) -> StationDraft:
    (one,) = read(data)
    assert isinstance(one, StationDraft), one
    return one


def invalid(data: str | bytes, reason: str) -> None:
    with pytest.raises(InvalidRegister, match=reason):
        read(data)


def test_a_station_is_read_as_in_json() -> None:
    one = draft(DOCUMENT).station
    assert (one.uuid, one.name, one.latitude, one.longitude) == ("NOR_00017", "Kaia & brygga", 59.5, 10.25)
    assert [evse.key for evse in one.evses] == ["NOABCE1"]
    assert [outlet.connector.standard for outlet in one.outlets] == ["IEC_62196_T2"]


@pytest.mark.parametrize(
    "station",
    [
        STATION.replace("metadata", "csmd").replace("attributes>", "attr>").replace("connectors>", "conn>"),
        STATION.upper()
        .replace("NO*ABC", "no*abc")
        .replace("&AMP;AMP; BRYGGA", "&amp;amp; brygga")
        .replace("KAIA", "Kaia"),
        STATION.replace("<connectors>", "").replace("</connectors>", ""),
        STATION.replace("connector>", "conn>")
        .replace("<connector ", "<conn ")
        .replace("connectors>", "CONN>"),
        STATION.replace("<metadata>", "<metadata note='x'>").replace("attribute>", "anything>"),
        f"<response><data>{STATION}</data></response>",
        f"<n:r xmlns:n='urn:x'>{STATION.replace('<', '<n:').replace('<n:/', '</n:')}</n:r>",
        """<chargerstation><metadata id="17" name="Kaia &amp;amp; brygga" position="(59.5,10.25)"
           land_code="NOR"/><attributes><connectors><connector id="1"><note/>
           <attribute attrtypeid="4" attrvalid="32"/><attribute id="28" attrval="NO*ABC*E1"/>
           </connector></connectors></attributes></chargerstation>""",
        """<chargerstation><csmd><id>17</id><name><![CDATA[Kaia &amp; brygga]]></name>
           <position>(59.5,10.25)</position><land_code>NOR</land_code></csmd><attr><conn><conn1><attr4><attrvalid>32</attrvalid></attr4>
           <attr28><attrval>NO*ABC*E1</attrval></attr28></conn1></conn></attr></chargerstation>""",
    ],
)
def test_names_in_any_case_and_values_in_elements_or_attributes_are_understood(station: str) -> None:
    one = draft(station).station
    expected = draft(DOCUMENT).station
    assert msgspec.structs.replace(
        one, name=one.name.replace("BRYGGA", "brygga"), evses=()
    ) == msgspec.structs.replace(expected, evses=())
    assert [(evse.key, evse.party) for evse in one.evses] == [("NOABCE1", "NOABC")]


def test_connectors_are_in_the_order_of_their_numbers_else_of_their_places() -> None:
    kinds = {"10": "30", "9": "39", "1": "32"}
    connectors = "".join(
        f'<connector id="{n}"><a attrtypeid="4" attrvalid="{k}"/></connector>' for n, k in kinds.items()
    )
    station = STATION.replace(CONNECTOR, connectors)
    standards = ["IEC_62196_T2", "IEC_62196_T2_COMBO", "CHADEMO"]
    assert [outlet.connector.standard for outlet in draft(station).station.outlets] == standards
    unnumbered = station.replace(' id="10"', "").replace(' id="9"', "").replace(' id="1"', "")
    assert [outlet.connector.standard for outlet in draft(unnumbered).station.outlets] == standards[::-1]


def test_connectors_with_the_same_number_are_both_kept() -> None:
    assert len(draft(STATION.replace(CONNECTOR, CONNECTOR * 3)).station.outlets) == 3


def test_one_bad_station_costs_no_other() -> None:
    bad = "<chargerstation><metadata><id>1</id></metadata></chargerstation>"
    empty = "<chargerstation/>"
    found = read(f"<chargerstations>{bad}{STATION}{empty}</chargerstations>")
    assert [type(one) for one in found] == [RecordRefusal, StationDraft, RecordRefusal]


def test_a_list_without_stations_is_read() -> None:
    assert read("<chargerstations/>") == []
    assert read("<r><ChargerStations></ChargerStations></r>") == []


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1", "windows-1252", "UTF-16"])
def test_the_declared_encoding_is_used(encoding: str) -> None:
    data = DOCUMENT.replace("UTF-8", encoding).replace("brygga", "brygga på Bø").encode(encoding)
    (one,) = nobil.parse(data[i : i + 1] for i in range(len(data)))
    assert isinstance(one, StationDraft)
    assert one.station.name == "Kaia & brygga på Bø"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("<error>Invalid key, tell post@example.org</error>", '"Invalid key, tell"'),
        ("<chargerstations><error>Too many</error></chargerstations>", '"Too many"'),
        ("<html><body>Not found</body></html>", "holds no 'chargerstations'"),
        ("<chargerstations>", "cannot be read as XML"),
        ("<chargerstations></chargerstation>", "cannot be read as XML"),
        ("<chargerstations/><chargerstations/>", "cannot be read as XML"),
        ("<chargerstations>&oslash;</chargerstations>", "cannot be read as XML"),
        ('<?xml version="1.0" encoding="nothing"?><chargerstations/>', "cannot be read as XML"),
        ('<?xml version="1.0" encoding="big5"?><chargerstations/>', "cannot be read as XML"),
        ('<?xml version="1.0" encoding="zip"?><chargerstations/>', "cannot be read as XML"),
        (b"<chargerstations>\xff</chargerstations>", "cannot be read as XML"),
        (b"\xff\xfe<\x00", "cannot be read as XML"),
    ],
)
def test_what_is_no_list_of_stations_is_invalid(data: str | bytes, reason: str) -> None:
    invalid(data, reason)


def test_a_document_that_is_cut_off_anywhere_is_invalid() -> None:
    data = DOCUMENT.rstrip().encode()
    for end in range(len(data)):
        with pytest.raises(InvalidRegister):
            read(data[:end])


BILLION_LAUGHS = "<!DOCTYPE l [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {name} '{f'&{of};' * 10}'>" for of, name in itertools.pairwise("abcdefghij")
)


@pytest.mark.parametrize(
    "declaration",
    [
        BILLION_LAUGHS + "]>",
        "<!DOCTYPE html>",
        '<!DOCTYPE c SYSTEM "file:///etc/hostname">',
        '<!DOCTYPE c [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE c [<!ENTITY % x SYSTEM "http://127.0.0.1:1/x"> %x;]>',
    ],
)
def test_a_document_type_declaration_is_refused_and_nothing_of_it_expanded_or_fetched(
    declaration: str,
) -> None:
    content = "&j;" if "ENTITY j" in declaration else "&x;"
    invalid(
        f'<?xml version="1.0"?>{declaration}<chargerstations>{content}</chargerstations>',
        "document type declaration",
    )


def test_a_station_over_a_limit_is_refused_and_costs_no_other() -> None:
    limits = msgspec.structs.replace(DEFAULT, record_bytes_max=2_000, record_depth_max=8)
    text = f"<chargerstation>{'x' * 3_000}</chargerstation>"
    value = f"<chargerstation a='{'x' * 3_000}'/>"
    elements = f"<chargerstation>{'<a/>' * 2_000}<b>c</b></chargerstation>"
    deep = f"<chargerstation>{'<a>' * 9}{'</a>' * 9}<b>c</b></chargerstation>"
    for bad, reason in (
        (text, "larger than 2000 bytes: split it into several stations"),
        (value, "larger than 2000 bytes: split it into several stations"),
        (elements, "larger than 2000 bytes: split it into several stations"),
        (deep, "nests deeper than 8"),
    ):
        found = read(f"<chargerstations>{bad}{STATION}</chargerstations>", limits)
        assert found[0] == RecordRefusal(
            "record 1", f"it {'is' if 'larger' in reason else ''} {reason}".replace("  ", " ")
        )
        assert isinstance(found[1], StationDraft)


def flood(head: bytes, body: bytes) -> Iterable[bytes]:
    return itertools.chain((head,), itertools.repeat(body))


@pytest.mark.parametrize(
    ("head", "body", "reason"),
    [
        (b"<chargerstations>", b"<a>" * 20_000, "nests deeper than 1000"),
        (b"<chargerstation>", b"<a>" * 20_000, "nests deeper than 1000"),
        (b"<chargerstations a='", b"x" * 65_536, "tag or comment of more than"),
        (b"<chargerstations><!--", b"x" * 65_536, "tag or comment of more than"),
    ],
)
def test_a_document_that_never_comes_to_anything_is_left(head: bytes, body: bytes, reason: str) -> None:
    tracemalloc.start()
    with pytest.raises(InvalidRegister, match=reason):
        list(nobil.parse(flood(head, body)))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 32 << 20


def test_a_station_of_endless_text_is_not_held() -> None:
    tracemalloc.start()
    chunks = itertools.chain(
        (b"<chargerstation>",), itertools.repeat(b"x" * 65_536, 1_600), (b"</chargerstation>",)
    )
    (one,) = nobil.parse(chunks)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert one == RecordRefusal("record 1", "it is larger than 4194304 bytes: split it into several stations")
    assert peak_bytes < 16 << 20


def test_a_document_reads_the_same_however_it_is_cut() -> None:
    data = DOCUMENT.encode()
    for step in (1, 2, 3, 64):
        assert list(nobil.parse(data[i : i + step] for i in range(0, len(data), step))) == read(data)
