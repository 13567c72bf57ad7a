"""The catalogue: every output is in it, with what mobilityDCAT-AP demands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from msgspec.structs import replace
from tests.building import NOW

from ladestrom.outputs import OUTPUTS
from ladestrom.outputs.catalogue.edge import datasets
from ladestrom.outputs.catalogue.encoder import CONTEXT, FILE_TYPES, THEMES, About, catalogue

ABOUT: Final = About(
    root="https://status.example.org/strom",
    publisher="NO-NAP",
    publisher_country="NO",
    contact="post@example.org",
    licences=("CC-BY-4.0",),
    countries=("DAN", "NOR"),
    at=NOW,
)
AUTHORITY: Final = "http://publications.europa.eu/resource/authority/"
VOCABULARY: Final = "https://w3id.org/mobilitydcat-ap/"
STANDARDS: Final = frozenset({"datex-II", "ocpi", "other"})
"""Of the list of mobilityDCAT-AP, those that are about charging."""
DEMANDED: Final = {
    "dcat:Catalog": {
        *("dct:title", "dct:description", "dct:publisher", "foaf:homepage", "dct:spatial"),
        *("dcat:record", "dcat:dataset"),
    },
    "dcat:CatalogRecord": {"dct:created", "dct:modified", "dct:language", "foaf:primaryTopic"},
    "dcat:Dataset": {
        *("dct:title", "dct:description", "dct:publisher", "dct:accrualPeriodicity", "dct:spatial"),
        *("mobilitydcatap:mobilityTheme", "dcat:distribution"),
    },
    "dcat:Distribution": {
        *("dcat:accessURL", "dct:format", "dct:rights", "mobilitydcatap:mobilityDataStandard"),
    },
    "dct:RightsStatement": {"dct:type"},
    "foaf:Agent": {"foaf:name"},
    "vcard:Kind": {"vcard:fn", "vcard:hasEmail"},
    "dct:Location": set(),
    "dct:Frequency": set(),
    "dct:MediaTypeOrExtent": set(),
    "dct:LicenseDocument": set(),
    "skos:Concept": {"skos:prefLabel"},
}
"""Mandatory properties of each class (mobilityDCAT-AP 1.1.0)."""


def nodes(part: Any) -> Iterator[dict[str, Any]]:
    """Every object that has a class."""
    if isinstance(part, list):
        for each in part:
            yield from nodes(each)
    elif isinstance(part, dict):
        if "@type" in part and "@value" not in part:
            yield part
        for each in part.values():
            yield from nodes(each)


def of(kind: str, about: About = ABOUT) -> list[dict[str, Any]]:
    return [each for each in nodes(catalogue(datasets(), about)) if each["@type"] == kind]


def test_every_output_is_in_it_or_tells_of_nothing_but_the_others() -> None:
    assert [output.name for output in OUTPUTS if not output.tells] == ["catalogue"]
    assert [each.name for each in datasets()] == [output.name for output in OUTPUTS if output.tells]
    for output in OUTPUTS:
        assert bool(output.title) is bool(output.tells)
        assert set(output.tells) <= THEMES.keys()
        assert output.standard in STANDARDS


def test_whatever_is_got_of_an_output_is_a_distribution_with_its_media_type() -> None:
    for output, dataset in zip((each for each in OUTPUTS if each.tells), datasets(), strict=True):
        streams = {channel.path for channel in output.contract.channels}
        got = {
            operation.path
            for operation in output.contract.operations
            if operation.method == "get" and "{" not in operation.path
        }
        assert {each.path for each in dataset.offered} - {output.address} == got | streams, output.name
        assert dataset.offered
        for each in dataset.offered:
            assert each.media_type in FILE_TYPES
            assert each.title


@pytest.mark.parametrize(
    "about",
    [
        ABOUT,
        replace(ABOUT, publisher="", publisher_country="", contact="", licences=(), countries=()),
        replace(ABOUT, contact="https://example.org/ask", licences=("CC-BY-4.0", "Our own words")),
    ],
    ids=["whole", "nothing is known", "several licences"],
)
def test_it_has_what_the_profile_demands(about: About) -> None:
    document = json.loads(json.dumps(catalogue(datasets(), about)))
    assert document["@context"] == CONTEXT
    seen: set[str] = set()
    known = {each["@id"] for each in nodes(document) if "@id" in each}
    for node in nodes(document):
        seen.add(node["@type"])
        assert DEMANDED[node["@type"]] <= node.keys(), node
        for name, value in node.items():
            assert name.startswith("@") or name.partition(":")[0] in CONTEXT, name
            assert value not in ("", [], None), (name, node)
    absent = set() if "@" in about.contact else {"vcard:Kind"}
    absent |= set() if len(about.licences) == 1 else {"dct:LicenseDocument"}
    assert seen == DEMANDED.keys() - absent
    for each in document["dcat:dataset"]:
        assert each["@id"] in known
    identifiers = [each["@id"] for each in nodes(document) if each["@type"] == "dcat:Distribution"]
    assert len(set(identifiers)) == len(identifiers)


def test_words_are_those_of_the_vocabularies_and_addresses_are_absolute() -> None:
    for dataset in of("dcat:Dataset"):
        assert {each["@id"] for each in dataset["mobilitydcatap:mobilityTheme"]} > {
            f"{VOCABULARY}mobility-theme/filling-and-charging-stations"
        }
        assert dataset["dct:accrualPeriodicity"]["@id"] == f"{AUTHORITY}frequency/UPDATE_CONT"
        assert [each["@id"] for each in dataset["dct:spatial"]] == [
            f"{AUTHORITY}country/DNK",
            f"{AUTHORITY}country/NOR",
        ]
        assert dataset["dcat:contactPoint"]["vcard:hasEmail"] == {"@id": "mailto:post@example.org"}
    for distribution in of("dcat:Distribution"):
        assert distribution["dcat:accessURL"]["@id"].startswith("https://status.example.org/strom/")
        assert distribution["dct:license"]["@id"] == "https://creativecommons.org/licenses/by/4.0/"
        assert distribution["dct:rights"]["dct:type"]["@id"].endswith("/licence-provided-free-of-charge")
    (whole,) = of("dcat:Catalog")
    assert whole["dct:spatial"]["@id"] == f"{AUTHORITY}country/NOR"
    several = replace(ABOUT, licences=("CC-BY-4.0", "ODbL-1.0"))
    assert not any("dct:license" in each for each in of("dcat:Distribution", several))
