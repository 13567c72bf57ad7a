"""Of one publication XML and JSON say the same, and one bad point never costs another."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from hypothesis import given
from hypothesis import strategies as st

from ladestrom.core.rules import RANK
from ladestrom.core.words import bare
from ladestrom.model import Status
from ladestrom.protocols import datex2
from ladestrom.protocols.datex2_status import CLOSED, SETTLED, STOPPED, WORDS
from ladestrom.protocols.delivery import Delivery, ParseLimits

TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=12)
INSTANTS = st.none() | st.sampled_from(
    [
        "2026-11-17T10:00:00Z",
        "2026-11-17T11:00:00.5+01:00",
        "2026-11-17T12:00:00",
        "2027-01-01T00:00:00Z",
        "x",
    ]
)
STATUS_WORDS = st.sampled_from([*WORDS, "AVAILABLE", "_extended", "busy", ""]) | TEXT
OPERATION = st.none() | st.sampled_from(
    ["inOperation", "limitedOperation", "notInOperation", "notInOperationAbnormal", "technicalDefect"]
)
OPENING = st.none() | st.sampled_from(["open", "closed", "closedOnHoliday", "temporarilyClosed", "other"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


class Level(NamedTuple):
    """A point, a station or a site."""

    updated: str | None
    operation: str | None
    opening: str | None
    parts: tuple[Any, ...] = ()
    name: str = ""
    status: str = ""


def level(parts: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[Level]:
    own = st.tuples(INSTANTS, OPERATION, OPENING).map(lambda words: Level(*words))
    if parts is None:
        return st.builds(
            lambda of, name, status: of._replace(name=name, status=status), own, TEXT, STATUS_WORDS
        )
    return st.builds(lambda of, within: of._replace(parts=tuple(within)), own, st.lists(parts, max_size=3))


SITES = st.lists(level(level(level())), max_size=3)


def xml(sites: list[Level], published: str | None) -> bytes:
    def said(name: str, text: str | None) -> str:
        return "" if text is None else f"<f:{name}>{escape(text)}</f:{name}>"

    def common(of: Level) -> str:
        return (
            said("lastUpdated", of.updated)
            + said("openingStatus", of.opening)
            + said("operationStatus", of.operation)
        )

    def point(of: Level) -> str:
        reference = f"<f:reference id={quoteattr(of.name)}/>"
        status = f"<status>{escape(of.status)}</status>"
        return f"<refillPointStatus>{reference}{common(of)}{status}</refillPointStatus>"

    def whole(name: str, of: Level, parts: str) -> str:
        return f"<e:{name}><f:reference id='no'/>{common(of)}{parts}</e:{name}>"

    made = "".join(
        whole(
            "energyInfrastructureSiteStatus",
            site,
            "".join(
                whole("energyInfrastructureStationStatus", one, "".join(map(point, one.parts)))
                for one in site.parts
            ),
        )
        for site in sites
    )
    head = said("publicationTime", published)
    return f"<p type='EnergyInfrastructureStatusPublication'>{head}{made}</p>".encode()


def as_json(sites: list[Level], published: str | None) -> bytes:
    def common(of: Level) -> dict[str, Any]:
        return {
            "lastUpdated": of.updated,
            "openingStatus": None if of.opening is None else {"value": of.opening},
            "operationStatus": of.operation,
        }

    def point(of: Level) -> dict[str, Any]:
        return {
            "aegiElectricChargingPointStatus": {
                "reference": {"idG": of.name},
                "status": of.status,
                **common(of),
            }
        }

    def station(of: Level) -> dict[str, Any]:
        return {"refillPointStatus": [point(one) for one in of.parts], **common(of)}

    def site(of: Level) -> dict[str, Any]:
        return {"energyInfrastructureStationStatus": [station(one) for one in of.parts], **common(of)}

    publication = {
        "publicationTime": published,
        "energyInfrastructureSiteStatus": [site(one) for one in sites],
    }
    return json.dumps({"payload": {"aegiEnergyInfrastructureStatusPublication": publication}}).encode()


def receive(body: bytes) -> Delivery:
    return datex2.receive(body, "abc", ParseLimits())


@given(sites=SITES, published=INSTANTS)
def test_xml_and_json_say_the_same(sites: list[Level], published: str | None) -> None:
    one, other = receive(xml(sites, published)), receive(as_json(sites, published))
    assert one.reports == other.reports
    assert one.refused == other.refused


@given(sites=SITES, published=INSTANTS)
def test_every_point_is_told_or_refused_and_only_worse_than_it_says(
    sites: list[Level], published: str | None
) -> None:
    delivery = receive(as_json(sites, published))
    points = [(site, station, point) for site in sites for station in site.parts for point in station.parts]
    assert len(delivery.reports) + len(delivery.refused) == len(points)
    refused = {refusal.index for refusal in delivery.refused}
    told = [levels for place, levels in enumerate(points) if place not in refused]
    assert delivery.unmapped <= len(delivery.reports)
    for report, levels in zip(delivery.reports, told, strict=True):
        own = WORDS.get(levels[-1].status)
        if own is None:
            continue
        stopped = [STOPPED.find(of.operation or "") for of in levels]
        worst = max((each for each in stopped if each), key=RANK.__getitem__, default=own)
        if own is Status.AVAILABLE and any(bare(of.opening or "") in CLOSED for of in levels):
            worst = max(worst, Status.INOPERATIVE, key=RANK.__getitem__)
        assert report.status is (own if own in SETTLED else max(own, worst, key=RANK.__getitem__))


@given(bad=VALUES, place=st.integers(0, 3))
def test_a_bad_point_costs_no_other(bad: Any, place: int) -> None:
    points: list[Any] = [
        {"reference": {"idG": f"NO*ABC*E{n}"}, "status": {"value": "charging"}} for n in range(3)
    ]
    points.insert(place, bad)
    document = {
        "energyInfrastructureSiteStatus": [
            {"energyInfrastructureStationStatus": [{"refillPointStatus": points}]}
        ]
    }
    delivery = receive(json.dumps(document).encode())
    assert [report.evse for report in delivery.reports] == ["NO*ABC*E0", "NO*ABC*E1", "NO*ABC*E2"]
    assert [refusal.index for refusal in delivery.refused] == [place]
