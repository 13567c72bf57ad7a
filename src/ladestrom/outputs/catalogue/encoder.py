"""The catalogue of all outputs, as JSON-LD in the words of mobilityDCAT-AP.

Each output is a dataset, each form of it a distribution. All mandatory properties are there; what the
settings do not say is left out, or, where it is mandatory, is said by what is known: the server's own address
for the publisher's name, Europe for a place. Knows what is told of outputs, and no output.

Source: mobilityDCAT-AP 1.1.0, and its controlled vocabularies; DCAT-AP 3.0.1; EU authority tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from ladestrom.countries import country
from ladestrom.formats import licences
from ladestrom.formats.wire import instant
from ladestrom.model import Millis

MEDIA_TYPE: Final = "application/ld+json"
AUTHORITY: Final = "http://publications.europa.eu/resource/authority"
VOCABULARY: Final = "https://w3id.org/mobilitydcat-ap"
CONTEXT: Final = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "mobilitydcatap": f"{VOCABULARY}#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
FILE_TYPES: Final = {
    "application/json": "JSON",
    "application/geo+json": "GEOJSON",
    "application/xml": "XML",
    "text/csv": "CSV",
    "application/x-ndjson": "JSON",
    "text/event-stream": "TXT",
}
"""Of the EU's authority table, by media type; of others, it has `BIN`."""
THEMES: Final = {
    "stations": "location-and-conditions-of-charging-points",
    "statuses": "availability-of-charging-points-for-electric-vehicles",
}
"""By what an output tells of."""
CATEGORY: Final = "filling-and-charging-stations"
ALPHA_3: Final = {"DAN": "DNK"}
"""Where NOBIL writes other letters."""
EUROPE: Final = f"{AUTHORITY}/continent/EUROPE"


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """A form in which an output is had."""

    path: str
    title: str
    description: str
    media_type: str
    is_pushed: bool = False


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """An output."""

    name: str
    title: str
    tells: Sequence[str]
    """Of what: keys of `THEMES`."""
    standard: str
    """A word of mobilityDCAT-AP's list of standards."""
    offered: Sequence[Offered]


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the server and its data."""

    root: str
    """Where clients reach it."""
    publisher: str
    publisher_country: str
    """ISO 3166-1 alpha-2; empty where nobody says."""
    contact: str
    licences: Sequence[str]
    """Of all data, else of the registers."""
    countries: Sequence[str]
    """Of the stations, as NOBIL writes them."""
    at: Millis
    """Since when it is offered so."""


def catalogue(datasets: Sequence[Dataset], about: About) -> dict[str, Any]:
    """The document."""
    root, places = about.root, _places(about)
    own = _reference(f"{root}/")
    agent = {
        "@id": f"{root}/#publisher",
        "@type": "foaf:Agent",
        "foaf:name": about.publisher or urlsplit(root).netloc,
    }
    made = [_dataset(each, about, agent, places) for each in datasets]
    return {
        "@context": CONTEXT,
        "@id": f"{root}/api/v2/catalogue",
        "@type": "dcat:Catalog",
        "dct:title": _english("Charging stations and their statuses"),
        "dct:description": _english(
            "Charging stations and whether they are free, in the forms that this server offers."
        ),
        "dct:language": _reference(f"{AUTHORITY}/language/ENG"),
        "dct:publisher": agent,
        "foaf:homepage": own,
        "dct:spatial": _hosted(about, places),
        "dcat:themeTaxonomy": _reference(f"{VOCABULARY}/mobility-theme"),
        "dcat:dataset": [_reference(each["@id"]) for each in made],
        "dcat:record": [_record(each, about.at) for each in made],
    }


def _record(dataset: dict[str, Any], at: Millis) -> dict[str, Any]:
    moment = {"@type": "xsd:dateTime", "@value": instant(at)}
    return {
        "@id": f"{dataset['@id']}-record",
        "@type": "dcat:CatalogRecord",
        "dct:created": moment,
        "dct:modified": moment,
        "dct:language": _reference(f"{AUTHORITY}/language/ENG"),
        "foaf:primaryTopic": dataset,
    }


def _dataset(
    told: Dataset, about: About, agent: dict[str, Any], places: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    themes = [CATEGORY, *(THEMES[each] for each in told.tells)]
    name = f"{about.root}/api/v2/catalogue#{told.name}"
    made: dict[str, Any] = {
        "@id": name,
        "@type": "dcat:Dataset",
        "dct:title": _english(told.title),
        "dct:description": _english(" ".join(dict.fromkeys(each.title + "." for each in told.offered))),
        "dct:identifier": name,
        "dct:publisher": _reference(agent["@id"]),
        "dct:accrualPeriodicity": _typed(f"{AUTHORITY}/frequency/UPDATE_CONT", "dct:Frequency"),
        "dct:spatial": list(places),
        "dcat:theme": _concept(f"{AUTHORITY}/data-theme/TRAN", "Transport"),
        "mobilitydcatap:mobilityTheme": [_word("mobility-theme", each) for each in themes],
        "mobilitydcatap:transportMode": _word("transport-mode", "car"),
        "dcat:distribution": [
            _distribution(f"{name}-{number}", each, told.standard, about)
            for number, each in enumerate(told.offered, 1)
        ],
    }
    kind = _contact(about)
    if kind is not None:
        made["dcat:contactPoint"] = kind
    return made


def _distribution(name: str, offered: Offered, standard: str, about: About) -> dict[str, Any]:
    known = [address for each in about.licences if (address := licences.address(each)) is not None]
    file_type = FILE_TYPES.get(offered.media_type, "BIN")
    made: dict[str, Any] = {
        "@id": name,
        "@type": "dcat:Distribution",
        "dct:title": _english(offered.title),
        "dct:description": _english(offered.description or f"{offered.title}."),
        "dcat:accessURL": _reference(f"{about.root}{offered.path}"),
        "dcat:mediaType": _reference(f"https://www.iana.org/assignments/media-types/{offered.media_type}"),
        "dct:format": _typed(f"{AUTHORITY}/file-type/{file_type}", "dct:MediaTypeOrExtent"),
        "mobilitydcatap:mobilityDataStandard": _reference(f"{VOCABULARY}/mobility-data-standard/{standard}"),
        "mobilitydcatap:applicationLayerProtocol": _word("application-layer-protocol", "http-https"),
        "mobilitydcatap:communicationMethod": _word(
            "communication-method", "push" if offered.is_pushed else "pull"
        ),
        "dct:rights": _rights(about, known),
    }
    if known and len(about.licences) == 1:
        made["dct:license"] = _typed(known[0], "dct:LicenseDocument")
    return made


def _rights(about: About, known: Sequence[str]) -> dict[str, Any]:
    """What may be done with it. Several licences are of several registers, each for its own stations."""
    condition = "licence-provided-free-of-charge" if about.licences else "other"
    made: dict[str, Any] = {
        "@type": "dct:RightsStatement",
        "dct:type": _word("conditions-for-access-and-usage", condition),
    }
    if about.licences:
        made["rdfs:label"] = _english(", ".join(about.licences))
    if known:
        made["rdfs:seeAlso"] = list(map(_reference, known))
    return made


def _contact(about: About) -> dict[str, Any] | None:
    """Who answers questions; only an e-mail address is one, as the profile has it."""
    if "@" not in about.contact or ":" in about.contact:
        return None
    return {
        "@type": "vcard:Kind",
        "vcard:fn": about.publisher or urlsplit(about.root).netloc,
        "vcard:hasEmail": _reference(f"mailto:{about.contact}"),
    }


def _places(about: About) -> list[dict[str, Any]]:
    """The countries of the stations."""
    return [_place(_address(each)) for each in about.countries] or [_place(EUROPE)]


def _hosted(about: About, places: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The country of who publishes, else the first one of the stations."""
    written = country(about.publisher_country)
    return places[0] if written is None else _place(_address(written))


def _address(written: str) -> str:
    return f"{AUTHORITY}/country/{ALPHA_3.get(written, written)}"


def _place(address: str) -> dict[str, str]:
    return _typed(address, "dct:Location")


def _typed(address: str, kind: str) -> dict[str, str]:
    """Something of elsewhere. Who reads only this document cannot know its class otherwise."""
    return {"@id": address, "@type": kind}


def _concept(address: str, label: str) -> dict[str, Any]:
    return {**_typed(address, "skos:Concept"), "skos:prefLabel": _english(label)}


def _word(vocabulary: str, word: str) -> dict[str, Any]:
    """A word of one of mobilityDCAT-AP's lists."""
    return _concept(f"{VOCABULARY}/{vocabulary}/{word}", word.replace("-", " ").capitalize())


def _reference(address: str) -> dict[str, str]:
    return {"@id": address}


def _english(text: str) -> dict[str, str]:
    return {"@language": "en", "@value": text}
