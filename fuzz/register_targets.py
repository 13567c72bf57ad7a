"""Fuzz targets of the register parsers: of any bytes, sound stations or `InvalidRegister`, nothing else.

The tests drive them with Hypothesis. With atheris installed, `python fuzz/register_targets.py nobil CORPUS`
fuzzes one of them.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from typing import Final

import msgspec

from ladestrom.core.drafts import fault
from ladestrom.countries import country
from ladestrom.errors import InvalidRegister
from ladestrom.model import Station, evse_key
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.record import Contact, Opening, Payment
from ladestrom.registers import DEFAULT, REGISTERS, Limits

SMALL: Final = Limits(
    document_bytes_max=1 << 16,
    document_depth_max=40,
    records_max=20,
    record_bytes_max=1_500,
    record_depth_max=6,
    outlets_max=3,
    text_chars_max=20,
    prose_chars_max=30,
    id_chars_max=20,
    notes_max=2,
)
"""Limits that small inputs reach."""

FILLED: Final = ("nobil", "irve")
"""Registers whose records have licence and attribution."""
_UUID: Final = re.compile(r"[A-Z]{3}_[0-9]{5,12}")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")


def fuzz_nobil(data: bytes) -> None:
    """NOBIL's JSON and XML."""
    _run("nobil", data)


def fuzz_irve(data: bytes) -> None:
    """IRVE statique, JSON lines and CSV."""
    _run("irve", data)


def fuzz_datex(data: bytes) -> None:
    """Tables of DATEX II, JSON and XML."""
    _run("datex", data)


def fuzz_stations(data: bytes) -> None:
    """Stations of one's own, CSV and GeoJSON."""
    _run("stations", data)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "nobil": fuzz_nobil,
    "irve": fuzz_irve,
    "datex": fuzz_datex,
    "stations": fuzz_stations,
}


def _run(register: str, data: bytes) -> None:
    for limits in (DEFAULT, SMALL):
        whole = _outcome(register, [data], limits)
        step = len(data) % 61 + 1
        assert whole == _outcome(register, [data[i : i + step] for i in range(0, len(data), step)], limits)


def _outcome(register: str, chunks: list[bytes], limits: Limits) -> list[StationDraft | RecordRefusal] | None:
    """What the document gives; None where it is invalid."""
    found: list[StationDraft | RecordRefusal] = []
    try:
        for one in REGISTERS[register](chunks, limits=limits):
            found.append(one)
            if isinstance(one, StationDraft):
                _check(register, one, limits)
            _check_text(one)
    except InvalidRegister:
        return None
    return found


def _check(register: str, draft: StationDraft, limits: Limits) -> None:
    station = draft.station
    assert station.register == register
    assert station.native_id
    assert _UUID.fullmatch(station.uuid) if register == "nobil" else station.uuid == ""
    assert country(station.country) == station.country
    assert -90 <= station.latitude <= 90
    assert -180 <= station.longitude <= 180
    for text in (station.name, station.operator or "-", station.address or "-", station.city or "-"):
        assert 0 < len(text) <= max(limits.text_chars_max, 33)
        assert text == text.strip()
    assert fault(draft) is None
    if register in FILLED:
        _check_details(station, limits)
    _check_evses(station, limits)
    places = [index for index, _ in draft.readings]
    assert places == sorted(set(places))
    for index, reading in draft.readings:
        assert reading.evse == station.evses[index].key
    assert len(draft.notes) <= limits.notes_max + 1


def _check_evses(station: Station, limits: Limits) -> None:
    assert 0 < len(station.outlets) <= limits.outlets_max
    assert {outlet.evse for outlet in station.outlets} == set(range(len(station.evses)))
    keys = [evse.key for evse in station.evses if evse.key]
    assert len(keys) == len(set(keys))
    for evse in station.evses:
        assert evse.station == station.uuid
        # A uid finds its EVSE, and is no key of a registry.
        assert evse.key in {evse_key(evse.evse_id or ""), ""}
        assert evse.party is None or (len(evse.party) == 5 and evse.party.isascii() and evse.party.isupper())
    for outlet in station.outlets:
        power_kw = outlet.connector.max_kw
        assert power_kw is None or 0 < power_kw <= 10_000


def _check_details(station: Station, limits: Limits) -> None:
    details = station.details
    for text in (details.brand, details.owner, details.municipality, details.region):
        assert text is None or 0 < len(text) <= limits.text_chars_max
    for terms in (details, *filter(None, (evse.terms for evse in station.evses))):
        for text in (terms.access_text, terms.tariff_text):
            assert text is None or 0 < len(text) <= limits.prose_chars_max
        assert terms.max_height_m is None or 1 <= terms.max_height_m <= 6
        assert terms.payment is None or terms.payment != Payment()
    assert details.directions is None or 0 < len(details.directions) <= limits.prose_chars_max
    assert details.opening is None or details.opening != Opening()
    if details.opening is not None and details.opening.text is not None:
        assert 0 < len(details.opening.text) <= limits.prose_chars_max
    assert details.contact is None or details.contact != Contact()
    assert details.licence
    assert details.attribution
    assert details.derived == ()
    if station.evses and all(evse.terms is not None for evse in station.evses):
        assert len({msgspec.json.encode(evse.terms) for evse in station.evses}) > 1


def _check_text(one: StationDraft | RecordRefusal) -> None:
    text = msgspec.json.encode(one).decode()
    contact = one.station.details.contact if isinstance(one, StationDraft) else None
    assert text.count("@") == (contact is not None and contact.email is not None)
    assert not _UNPRINTABLE.search(text)
    assert len(text) < 1 << 20


def main() -> None:
    """Fuzzes the target named first on the command line with atheris; what follows is for atheris."""
    atheris = importlib.import_module("atheris")
    target = TARGETS[sys.argv.pop(1)]
    atheris.instrument_all()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
