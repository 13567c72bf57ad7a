"""Real files of both registers. Read where they are, skipped where they are not."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ladestrom.model import Status
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.registers import irve, nobil

SharedFile = Callable[[str], Path]
NOBIL = "data/nobil/nobil-v3-sample.json"
IRVE = "data/france/irve-statique.json.gz"


def chunks(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 65_536] for i in range(0, len(data), 65_536))


def drafts(found: Iterator[StationDraft | RecordRefusal]) -> list[StationDraft]:
    every = list(found)
    assert [one for one in every if isinstance(one, RecordRefusal)] == []
    return [one for one in every if isinstance(one, StationDraft)]


@pytest.fixture(scope="module")
def nobil_file(shared_file: SharedFile) -> bytes:
    return shared_file(NOBIL).read_bytes()


@pytest.fixture(scope="module")
def irve_file(shared_file: SharedFile) -> bytes:
    return gzip.decompress(shared_file(IRVE).read_bytes())


def test_the_nobil_sample_is_27_stations_with_104_connectors_and_24_readings(nobil_file: bytes) -> None:
    found = drafts(nobil.parse(chunks(nobil_file)))
    assert len(found) == 27
    assert sum(len(one.station.outlets) for one in found) == 104
    assert sum(len(one.readings) for one in found) == 24
    assert Counter(one.station.country for one in found) == {"SWE": 24, "NOR": 3}
    statuses = Counter(reading.status for one in found for _, reading in one.readings)
    assert statuses == {Status.AVAILABLE: 16, Status.CHARGING: 5, Status.OUTOFORDER: 3}
    assert all(outlet.connector.max_kw for one in found for outlet in one.station.outlets)
    assert not any(outlet.connector.standard == "UNKNOWN" for one in found for outlet in one.station.outlets)
    assert {note for one in found for note in one.notes} == {
        "type 50, several plugs in one connector, is taken as IEC_62196_T2"
    }


def test_the_nobil_sample_reads_the_same_in_the_envelope_of_older_documents(nobil_file: bytes) -> None:
    assert drafts(nobil.parse(chunks(b"[" + nobil_file + b"]"))) == drafts(nobil.parse([nobil_file]))


def as_xml(document: dict[str, Any]) -> bytes:
    def escaped(value: object) -> str:
        text = "" if isinstance(value, bool) else str(value)
        return text.replace("&", "&amp;").replace("<", "&lt;")

    def attribute(fields: dict[str, Any]) -> str:
        written = "".join(f"<{name}>{escaped(value)}</{name}>" for name, value in fields.items())
        return f"<attribute>{written}</attribute>"

    out = ["<chargerstations>"]
    for station in document["chargerstations"]:
        metadata = "".join(f"<{name}>{escaped(value)}</{name}>" for name, value in station["csmd"].items())
        out.append(f"<chargerstation><metadata>{metadata}</metadata><attributes><station>")
        out.extend(map(attribute, station["attr"]["st"].values()))
        out.append("</station><connectors>")
        for number, connector in station["attr"]["conn"].items():
            out.append(f'<connector id="{number}">')
            out.extend(map(attribute, connector.values()))
            out.append("</connector>")
        out.append("</connectors></attributes></chargerstation>")
    return "".join((*out, "</chargerstations>")).encode()


def test_the_nobil_sample_reads_the_same_as_xml(nobil_file: bytes) -> None:
    assert drafts(nobil.parse(chunks(as_xml(json.loads(nobil_file))))) == drafts(nobil.parse([nobil_file]))


def test_the_french_register_is_5571_stations_with_29109_points_within_3_seconds(irve_file: bytes) -> None:
    before = time.process_time()
    found = drafts(irve.parse(chunks(irve_file)))
    assert time.process_time() - before < 3
    assert len(found) == 5_571
    assert sum(len(one.station.evses) for one in found) == 29_109
    assert len({evse.key for one in found for evse in one.station.evses}) == 29_109
    assert {one.station.country for one in found} == {"FRA"}
    assert len({one.station.operator for one in found}) == 15
    assert {note for one in found for note in one.notes} == {
        "a point names no plug; it has one of an unknown kind",
        "what may be a person's was left out of the contact of its operator",
        "the telephone number of its operator is a placeholder, and was left out",
    }


def test_no_contact_data_of_people_comes_out(nobil_file: bytes, irve_file: bytes) -> None:
    rows = [json.loads(line) for line in irve_file.splitlines()]
    stations = json.loads(nobil_file)["chargerstations"]
    mails = {row["contact_operateur"] for row in rows}
    roles = {"support", "assistance", "help", "info", "contact", "hello"}
    names = {
        mail
        for mail in mails
        if not roles & set(re.split(r"\W", mail)) and re.match(r"[a-z]+\.[a-z]+@", mail)
    }
    mobiles = {
        row["telephone_operateur"] for row in rows if row["telephone_operateur"].startswith("tel:+33-6")
    }
    assert (len(names), len(mobiles)) == (1, 1)
    people = {
        *names,
        *mobiles,
        *({row["contact_amenageur"] for row in rows} - mails),
        *(one["csmd"]["Contact_info"] for one in stations),
        *(one["csmd"]["User_comment"] for one in stations),
    } - {one["csmd"]["Description_of_location"] for one in stations}
    written = {text.removeprefix("tel:") for text in people if len(text) > 3} | {"tel:", "mailto:"}
    assert len(written) > 20
    drafts_ = [*drafts(nobil.parse([nobil_file])), *drafts(irve.parse([irve_file]))]
    out = b"".join(map(msgspec.json.encode, drafts_)).decode()
    assert len(out) > 1_000_000
    assert [text for text in written if text in out] == []
    contacts = [one.station.details.contact for one in drafts_]
    assert out.count("@") == sum(1 for contact in contacts if contact is not None and contact.email)
