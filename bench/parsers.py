"""How many observations a second each parser reads on one core, from the bulk form that its peers send.

    python bench/parsers.py [--seconds 1] [--evses 7700] [--only oicp irve]

A row per protocol: a message of so many EVSEs is made once, then parsed again and again; parsing alone is
timed, from bytes to reports, in processor time. The memory is what one parse adds at most, as `tracemalloc`
sees it.
To add a protocol is to add a `Sample`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.tables import Conditions, table, told

from ladestrom.model import Operator
from ladestrom.protocols import (
    datex2,
    irve_dynamique,
    ladestrom_stream,
    nobil_realtime,
    nobil_stream,
    oicp,
    oicp_pull,
    plain,
    qualicharge,
)
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import Request
from ladestrom.protocols.ocpi_locations import read_page
from ladestrom.protocols.ocpp import Conversation, agreed
from ladestrom.protocols.ocpp_points import Layout, Points

REQUIRED_PER_S: Final = 50_000
EVSES: Final = 7_700
"""The largest deliveries that a whole country's operators are known to send often."""
NOW: Final = 1_795_000_000_000
LIMITS: Final = ParseLimits(items_max=1_000_000)
OPERATOR: Final = Operator("abc", all=True)
MIB: Final = 1024 * 1024

Parse = Callable[[bytes], Delivery]


class Sample(NamedTuple):
    """One row: a message of `evses` EVSEs, and what reads it."""

    name: str
    make: Callable[[int], bytes]
    parse: Parse


def at(number: int) -> str:
    """An instant as operators write it."""
    return datetime.fromtimestamp((NOW - number * 1_000) // 1_000, UTC).isoformat()


def plain_list(evses: int) -> bytes:
    words = ("AVAILABLE", "CHARGING", "OUTOFORDER")
    return json.dumps(
        [
            {
                "evse": f"NO*ABC*E{number:06d}",
                "status": words[number % 3],
                "error": 0,
                "observed_at": at(number),
            }
            for number in range(evses)
        ]
    ).encode()


def oicp_group(evses: int, spelling: str = "Evse") -> dict[str, Any]:
    words = ("Available", "Occupied", "OutOfService")
    return {
        "OperatorID": "NO*ABC",
        "OperatorName": "ABC",
        f"{spelling}StatusRecord": [
            {"EvseID": f"NO*ABC*E{number:06d}", f"{spelling}Status": words[number % 3]}
            for number in range(evses)
        ],
    }


def oicp_full_load(evses: int) -> bytes:
    return json.dumps({"ActionType": "fullLoad", "OperatorEvseStatus": oicp_group(evses)}).encode()


def oicp_file(evses: int) -> bytes:
    return json.dumps({"EVSEStatuses": [oicp_group(evses, "EVSE")]}).encode()


def irve_rows(evses: int) -> list[dict[str, str]]:
    words = (("en_service", "libre"), ("en_service", "occupe"), ("hors_service", "inconnu"))
    return [
        {
            "id_pdc_itinerance": f"FRABCE{number:06d}",
            "etat_pdc": words[number % 3][0],
            "occupation_pdc": words[number % 3][1],
            "horodatage": at(number),
            "etat_prise_type_2": "fonctionnel",
            "etat_prise_type_combo_ccs": "",
            "etat_prise_type_chademo": "",
            "etat_prise_type_ef": "inconnu",
        }
        for number in range(evses)
    ]


def irve_file(evses: int) -> bytes:
    rows = irve_rows(evses)
    return "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows), ""]).encode()


def qualicharge_list(evses: int) -> bytes:
    return json.dumps(
        [{name: value or None for name, value in row.items()} for row in irve_rows(evses)]
    ).encode()


DATEX_WORDS: Final = ("available", "charging", "occupied", "outOfOrder")
DATEX_SPACES: Final = " ".join(
    f'xmlns:{prefix}="http://datex2.eu/schema/3/{name}"'
    for prefix, name in (
        ("d2", "d2Payload"),
        ("egi", "energyInfrastructure"),
        ("fac", "facilities"),
        ("com", "common"),
    )
)


def datex_xml(evses: int) -> bytes:
    """Two points a station and a station a site, each point with its price, indented."""
    points = [
        f"""
   <egi:refillPointStatus xsi:type="egi:ElectricChargingPointStatus">
    <fac:reference targetClass="fac:FacilityObject" id="NO*ABC*E{number:06d}" version="1"/>
    <fac:lastUpdated>{at(number)}</fac:lastUpdated>
    <egi:status>{DATEX_WORDS[number % 4]}</egi:status>
    <egi:energyRateUpdate>
     <egi:lastUpdated>2026-11-18T00:00:00Z</egi:lastUpdated>
     <egi:energyRateReference targetClass="egi:EnergyRate" id="rate-{number % 9}"/>
     <egi:energyPrice><egi:priceType>pricePerKWh</egi:priceType><egi:value>0.59</egi:value></egi:energyPrice>
    </egi:energyRateUpdate>
   </egi:refillPointStatus>"""
        for number in range(evses)
    ]
    sites = [
        f"""
 <egi:energyInfrastructureSiteStatus>
  <fac:reference targetClass="fac:FacilityObject" id="SITE{start}" version="1"/>
  <egi:energyInfrastructureStationStatus>
   <fac:reference targetClass="fac:FacilityObject" id="STATION{start}" version="1"/>{"".join(points[start : start + 2])}
  </egi:energyInfrastructureStationStatus>
 </egi:energyInfrastructureSiteStatus>"""
        for start in range(0, evses, 2)
    ]
    return (
        f'<d2:payload {DATEX_SPACES} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xsi:type="egi:EnergyInfrastructureStatusPublication" lang="en" modelBaseVersion="3">'
        f"<com:publicationTime>{at(0)}</com:publicationTime>{''.join(sites)}\n</d2:payload>"
    ).encode()


def datex_json(evses: int) -> bytes:
    """The AFIR profile's form of the same."""

    def point(number: int) -> dict[str, Any]:
        price = {"priceType": {"value": "pricePerKWh"}, "value": 0.59, "taxIncluded": True, "taxRate": 19}
        return {
            "reference": {
                "targetClass": "FacilityObject",
                "idG": f"NO*ABC*E{number:06d}",
                "versionG": "1",
            },
            "lastUpdated": at(number),
            "status": {"value": DATEX_WORDS[number % 4]},
            "energyRateUpdate": [
                {
                    "lastUpdated": "2026-11-18T00:00:00Z",
                    "energyRateReference": {"targetClass": "EnergyRate", "idG": f"rate-{number % 9}"},
                    "energyPrice": [price],
                }
            ],
        }

    def site(start: int) -> dict[str, Any]:
        points = [{"aegiElectricChargingPointStatus": point(n)} for n in range(start, min(start + 2, evses))]
        return {
            "reference": {"targetClass": "FacilityObject", "idG": f"SITE{start}", "versionG": "1"},
            "energyInfrastructureStationStatus": [
                {
                    "reference": {"targetClass": "FacilityObject", "idG": f"STATION{start}", "versionG": "1"},
                    "refillPointStatus": points,
                }
            ],
        }

    publication = {
        "lang": "en",
        "publicationTime": at(0),
        "energyInfrastructureSiteStatus": [site(start) for start in range(0, evses, 2)],
    }
    return json.dumps(
        {
            "messageContainer": {
                "payload": [
                    {"modelBaseVersionG": "3", "aegiEnergyInfrastructureStatusPublication": publication}
                ],
                "exchangeInformation": {
                    "exchangeContext": {"codedExchangeProtocol": {"value": "snapshotPush"}}
                },
            }
        }
    ).encode()


def ocpi_page(evses: int) -> bytes:
    """Locations of two EVSEs, each with a connector, as a Sender answers them."""
    words = ("AVAILABLE", "CHARGING", "OUTOFORDER")

    def point(number: int) -> dict[str, Any]:
        return {
            "uid": f"uid-{number}",
            "evse_id": f"NO*ABC*E{number:06d}",
            "status": words[number % 3],
            "capabilities": ["RESERVABLE", "REMOTE_START_STOP_CAPABLE"],
            "connectors": [
                {
                    "id": "1",
                    "standard": "IEC_62196_T2_COMBO",
                    "format": "CABLE",
                    "power_type": "DC",
                    "max_voltage": 920,
                    "max_amperage": 500,
                    "max_electric_power": 150_000,
                    "tariff_ids": ["11"],
                    "last_updated": at(number),
                }
            ],
            "physical_reference": str(number),
            "last_updated": at(number),
        }

    return json.dumps(
        [
            {
                "country_code": "NO",
                "party_id": "ABC",
                "id": f"LOC{start}",
                "publish": True,
                "name": "Torget",
                "address": "Torget 1",
                "city": "Havnevik",
                "postal_code": "0001",
                "country": "NOR",
                "coordinates": {"latitude": "59.500000", "longitude": "10.500000"},
                "parking_type": "ON_STREET",
                "evses": [point(number) for number in range(start, min(start + 2, evses))],
                "operator": {"name": "ABC", "website": "https://abc.example"},
                "time_zone": "Europe/Oslo",
                "opening_times": {"twentyfourseven": True},
                "last_updated": at(start),
            }
            for start in range(0, evses, 2)
        ]
    ).encode()


EVENTS: Final = 20
"""In one message of a charging station that reports by events."""


def ocpp_statuses(evses: int) -> bytes:
    """A frame a line, as each status comes in one of its own."""
    words = ("Available", "Charging", "Faulted")
    frames = [
        [
            2,
            f"{number:08x}-7d0a-4a1c",
            "StatusNotification",
            {
                "connectorId": number + 1,
                "errorCode": "NoError",
                "status": words[number % 3],
                "timestamp": at(number),
            },
        ]
        for number in range(evses)
    ]
    return b"\n".join(json.dumps(frame).encode() for frame in frames)


def ocpp_events(evses: int) -> bytes:
    """Likewise, of charging stations that report by events, some at a time."""
    words = ("Available", "Occupied", "Faulted")
    events = [
        {
            "eventId": number,
            "timestamp": at(number),
            "trigger": "Delta",
            "actualValue": words[number % 3],
            "eventNotificationType": "HardWiredNotification",
            "component": {"name": "Connector", "evse": {"id": number + 1, "connectorId": 1}},
            "variable": {"name": "AvailabilityState"},
        }
        for number in range(evses)
    ]
    frames = [
        [
            2,
            f"{start:08x}",
            "NotifyEvent",
            {"generatedAt": at(0), "seqNo": 0, "eventData": events[start : start + EVENTS]},
        ]
        for start in range(0, evses, EVENTS)
    ]
    return b"\n".join(json.dumps(frame).encode() for frame in frames)


def conversed(subprotocol: str) -> Parse:
    """What a conversation makes of frames, answers included."""
    dialect = agreed([subprotocol])
    assert dialect is not None

    def parse(body: bytes) -> Delivery:
        frames = body.split(b"\n")
        where = Layout({number: f"NO*ABC*E{number}" for number in range(1, EVSES * 4)})
        talk = Conversation(dialect, Points("abc", where), 60, NOW)
        found = Delivery(reports=[])
        for frame in frames:
            outcome = talk.receive(frame, NOW)
            assert outcome.delivery is not None
            found.reports.extend(outcome.delivery.reports)
            found.refused.extend(outcome.delivery.refused)
        return found

    return parse


def pushed(push: Any, path: str = "") -> Parse:
    """What a push makes of a body."""
    return lambda body: push.receive(Request("POST", path, {}, {}, body), OPERATOR, LIMITS)


def ladestrom_snapshot(evses: int) -> bytes:
    words = ("AVAILABLE", "CHARGING", "OUTOFORDER")
    rows = [
        {
            "station": f"NOR_{number // 4:05d}",
            "evse": f"NO*ABC*E{number:06d}",
            "status": words[number % 3],
            "error": 0,
            "changed_at": "2026-11-18T10:00:00.000Z",
            "observed_at": "2026-11-18T11:00:00.000Z",
            "source": "abc",
            "cause": "reported",
        }
        for number in range(evses)
    ]
    return json.dumps({"type": "snapshot", "part": 1, "parts": 1, "evses": rows}).encode()


def nobil_snapshot(evses: int) -> bytes:
    connectors = [
        {"status": number % 2, "error": 0, "timestamp": NOW - number * 1_000} for number in range(4)
    ]
    stations = [
        {"uuid": f"NOR_{number:05d}", "status": 0, "connectors": connectors} for number in range(evses // 4)
    ]
    return json.dumps({"type": "snapshot:init", "data": stations}).encode()


def realtime_changes(evses: int) -> bytes:
    return b"\n".join(
        b'{"nobilId":"NOR_%05d","evseUId":"7381cc78-a032-4f23-a46f-%012d","status":"CHARGING"}'
        % (number // 4, number)
        for number in range(evses)
    )


def realtime_lines(body: bytes) -> Delivery:
    """One message for each EVSE: the service has no bulk form."""
    reports = [
        report for line in body.splitlines() for report in nobil_realtime.receive(line, "abc", LIMITS).reports
    ]
    return Delivery(reports=reports)


SAMPLES: Final = (
    Sample(
        "ladestrom, snapshot",
        ladestrom_snapshot,
        lambda body: ladestrom_stream.receive(body, "abc", LIMITS),
    ),
    Sample("nobil stream, snapshot", nobil_snapshot, lambda body: nobil_stream.receive(body, "abc", LIMITS)),
    Sample("nobil real-time, single", realtime_changes, realtime_lines),
    Sample("plain, list", plain_list, pushed(plain.Plain())),
    Sample(
        "oicp, fullLoad",
        oicp_full_load,
        pushed(oicp.Oicp(), "evsepush/v21/operators/NO*ABC/status-records"),
    ),
    Sample("oicp, Swiss file", oicp_file, lambda body: oicp_pull.read(body, "abc", LIMITS)),
    Sample("irve, CSV", irve_file, pushed(irve_dynamique.IrveDynamique())),
    Sample("datex2, XML", datex_xml, pushed(datex2.Datex2())),
    Sample("datex2, JSON", datex_json, pushed(datex2.Datex2())),
    Sample("ocpi, page of Locations", ocpi_page, lambda body: read_page(body, "abc", LIMITS).delivery),
    Sample(
        "ocpi, page with its stations",
        ocpi_page,
        lambda body: read_page(body, "abc", LIMITS, with_stations=True).delivery,
    ),
    Sample("qualicharge, bulk", qualicharge_list, pushed(qualicharge.Qualicharge(), "status/bulk")),
    Sample("ocpp 1.6, StatusNotification", ocpp_statuses, conversed("ocpp1.6")),
    Sample("ocpp 2.0.1, NotifyEvent", ocpp_events, conversed("ocpp2.0.1")),
)


class Measured(NamedTuple):
    """What one row gave."""

    sample: Sample
    per_s: float
    """The best of all parses: others run on this machine too."""
    body_mib: float
    added_mib: float
    wrong: str


def measure(sample: Sample, evses: int, seconds: float) -> Measured:
    """Parses the sample's message for so long."""
    body = sample.make(evses)
    found = sample.parse(body)
    wrong = ""
    if len(found.reports) != evses or found.refused:
        wrong = f"{sample.name}: {len(found.reports)} reports and {len(found.refused)} refused of {evses}"
    del found
    best_s = float("inf")
    ends_s = time.process_time() + seconds
    while time.process_time() < ends_s:
        began_s = time.process_time()
        sample.parse(body)
        best_s = min(best_s, time.process_time() - began_s)
    tracemalloc.start()
    sample.parse(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Measured(sample, evses / best_s, len(body) / MIB, peak / MIB, wrong)


def main() -> int:
    """Runs all rows, or those whose names begin with what `--only` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--evses", type=int, default=EVSES)
    parser.add_argument("--only", nargs="*", default=())
    options = parser.parse_args()
    conditions = Conditions()
    wanted = tuple(options.only) or ("",)
    measured = [
        measure(sample, options.evses, options.seconds)
        for sample in SAMPLES
        if sample.name.startswith(wanted)
    ]
    slow = [
        f"{each.sample.name}: {each.per_s:,.0f}/s, under {REQUIRED_PER_S:,}"
        for each in measured
        if each.per_s < REQUIRED_PER_S
    ]
    rows = [
        (
            each.sample.name,
            f"{each.per_s:,.0f}",
            f"{REQUIRED_PER_S:,}",
            f"{1e6 / each.per_s:.2f}",
            f"{each.body_mib:.2f}",
            f"{each.added_mib:.1f}",
        )
        for each in measured
    ]
    made = table(("parser", "observations/s", "required", "us each", "message MiB", "memory added MiB"), rows)
    return told(
        conditions, f"{options.evses:,} EVSEs", made, [each.wrong for each in measured if each.wrong] + slow
    )


if __name__ == "__main__":
    sys.exit(main())
