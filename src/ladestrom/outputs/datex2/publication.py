"""What stands around the sites of a publication: JSON of the AFIR profile 01-00-00, and XML of DATEX II 3.5.

All that differs from one making to the next with the same sites is in the head. In JSON a status publication
comes in a container (`messageContainer`), a table in none, as the profile has it; in XML a delta does.

Source: DATEX II 3.5, PayloadPublication; Exchange 2020, ExchangeInformation.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from ladestrom.formats.wire import instant
from ladestrom.model import Millis, Position
from ladestrom.outputs.datex2 import words
from ladestrom.outputs.datex2.xml import PREFIXES, element, escaped

TABLE_ID: Final = "stations"
"""Of the one table that there is."""
PROFILE: Final = {"profileNameG": "AFIR Energy Infrastructure", "profileVersionG": "01-00-00"}
SPECIFICATION: Final = "2020"
NO_COUNTRY: Final = "ZZ"
"""ISO 3166-1 leaves it to users, and nobody has it: the publisher's country is not known."""
NO_PUBLISHER: Final = "ladestrom"


class Exchange(StrEnum):
    """ProtocolTypeEnum."""

    SNAPSHOT = "snapshotPull"
    DELTA = "deltaPull"


class Publisher(msgspec.Struct, frozen=True):
    """Who publishes, as the settings say it."""

    country: str = ""
    """ISO 3166-1 alpha-2."""
    name: str = ""
    """Within the country: `NO-NAP-ENOVA`."""


class Making(msgspec.Struct, frozen=True):
    """One publication."""

    publisher: Publisher
    at: Millis
    position: Position
    table: int
    """Version of the table: sequence of the last entry that brought a record of a station."""
    exchange: Exchange = Exchange.SNAPSHOT


def _creator(publisher: Publisher) -> dict[str, str]:
    return {
        "country": publisher.country or NO_COUNTRY,
        "nationalIdentifier": publisher.name or NO_PUBLISHER,
    }


_HEADER: Final = {"confidentiality": {"value": "noRestriction"}, "informationStatus": {"value": "real"}}


# -- JSON -------------------------------------------------------------------------------------------------


def table_json(making: Making) -> bytes:
    """The head of a table; sites follow, separated by commas, and `TABLE_JSON_END`."""
    table = {"idG": TABLE_ID, "versionG": str(making.table), "energyInfrastructureSite": []}
    publication = {**_publication(making), "energyInfrastructureTable": [table]}
    return _opened({"payload": _payload("Table", publication)}, TABLE_JSON_END)


TABLE_JSON_END: Final = b"]}]}}}\n"


def statuses_json(making: Making) -> bytes:
    """The head of a status publication; sites follow, separated by commas, and `STATUSES_JSON_END`."""
    reference = {
        "targetClass": "EnergyInfrastructureTable",
        "idG": TABLE_ID,
        "versionG": str(making.table),
    }
    publication = {
        **_publication(making),
        "tableReference": [reference],
        "energyInfrastructureSiteStatus": [],
    }
    exchange = {
        "exchangeContext": {
            "codedExchangeProtocol": {"value": making.exchange},
            "exchangeSpecificationVersion": SPECIFICATION,
            "supplierOrCisRequester": {"internationalIdentifier": _creator(making.publisher)},
        },
        "dynamicInformation": {
            "exchangeStatus": {"value": "online"},
            "messageGenerationTimestamp": instant(making.at),
            "exDynamicInformationExtensionG": {"ladestromPosition": str(making.position)},
        },
    }
    container = {"exchangeInformation": exchange, "payload": [_payload("Status", publication)]}
    return _opened({"messageContainer": container}, STATUSES_JSON_END)


STATUSES_JSON_END: Final = b"]}}]}}\n"


def _payload(kind: str, publication: Mapping[str, object]) -> dict[str, object]:
    return {
        "modelBaseVersionG": "3",
        **PROFILE,
        f"aegiEnergyInfrastructure{kind}Publication": publication,
    }


def _publication(making: Making) -> dict[str, object]:
    return {
        "lang": words.LANGUAGE,
        "publicationTime": instant(making.at),
        "publicationCreator": _creator(making.publisher),
        "headerInformation": _HEADER,
    }


def _opened(document: object, end: bytes) -> bytes:
    return msgspec.json.encode(document).removesuffix(end.rstrip())


# -- XML --------------------------------------------------------------------------------------------------

_CONTAINER: Final = {
    "con": "http://datex2.eu/schema/3/messageContainer",
    "ex": "http://datex2.eu/schema/3/exchangeInformation",
}


def _namespaces(prefixes: Mapping[str, str]) -> str:
    return "".join(f' xmlns:{prefix}="{address}"' for prefix, address in prefixes.items())


def _prolog(making: Making) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- Ladestrom-Position: {making.position} -->\n'


def _opening(tag: str, kind: str, namespaces: str) -> str:
    return (
        f'<{tag}{namespaces} xsi:type="egi:EnergyInfrastructure{kind}Publication" lang="{words.LANGUAGE}" '
        'modelBaseVersion="3">\n'
    )


def _begun(making: Making) -> str:
    return element("publicationTime", instant(making.at)) + element(
        "publicationCreator", _creator(making.publisher)
    )


def table_xml(making: Making) -> bytes:
    """The head of a table; sites follow, and `TABLE_XML_END`."""
    return (
        f"{_prolog(making)}{_opening('d2:payload', 'Table', _namespaces(PREFIXES))}{_begun(making)}"
        f"{element('headerInformation', _HEADER)}"
        f'\n<egi:energyInfrastructureTable id="{TABLE_ID}" version="{making.table}">\n'
    ).encode()


TABLE_XML_END: Final = b"</egi:energyInfrastructureTable>\n</d2:payload>\n"


def statuses_xml(making: Making) -> bytes:
    """The head of a status publication; sites follow, and `statuses_xml_end`."""
    if making.exchange is Exchange.DELTA:
        opening = (
            f"<con:messageContainer{_namespaces({**_CONTAINER, **PREFIXES})}"
            f' modelBaseVersion="3">\n{_opening("con:payload", "Status", "")}'
        )
    else:
        opening = _opening("d2:payload", "Status", _namespaces(PREFIXES))
    return (
        f"{_prolog(making)}{opening}{_begun(making)}"
        f'<egi:tableReference targetClass="egi:EnergyInfrastructureTable" id="{TABLE_ID}" '
        f'version="{making.table}"/>{element("headerInformation", _HEADER)}\n'
    ).encode()


STATUSES_XML_END: Final = b"</d2:payload>\n"


def statuses_xml_end(making: Making) -> bytes:
    """The end; of a delta, with how it was exchanged."""
    if making.exchange is not Exchange.DELTA:
        return STATUSES_XML_END
    creator = _creator(making.publisher)
    return (
        '</con:payload>\n<con:exchangeInformation modelBaseVersion="3"><ex:exchangeContext>'
        f"<ex:codedExchangeProtocol>{making.exchange}</ex:codedExchangeProtocol>"
        f"<ex:exchangeSpecificationVersion>{SPECIFICATION}</ex:exchangeSpecificationVersion>"
        "<ex:supplierOrCisRequester><ex:internationalIdentifier>"
        f"<com:country>{escaped(creator['country'])}</com:country>"
        f"<com:nationalIdentifier>{escaped(creator['nationalIdentifier'])}</com:nationalIdentifier>"
        "</ex:internationalIdentifier></ex:supplierOrCisRequester></ex:exchangeContext>"
        "<ex:dynamicInformation><ex:exchangeStatus>online</ex:exchangeStatus>"
        f"<ex:messageGenerationTimestamp>{instant(making.at)}</ex:messageGenerationTimestamp>"
        "</ex:dynamicInformation></con:exchangeInformation>\n</con:messageContainer>\n"
    ).encode()
