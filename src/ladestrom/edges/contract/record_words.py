"""What the members of a station's record mean, and which fields of registers they are read from.

Rows of `schemas.WORDS`. Sources: NOBIL API version 3 (attributes by number), IRVE statique 2.3.1, OCPI 2.2.1
(section 8), DATEX II EnergyInfrastructure 3.5, OICP 2.3 (EvseDataRecord).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ladestrom.edges.contract.words import Word

_CLOCK: Final = "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"
_NAMES: Final = {"nobil": "NOBIL", "irve": "IRVE", "ocpi": "OCPI", "datex": "DATEX II", "oicp": "OICP"}


def _from(meaning: str, limits: Mapping[str, Any] | None = None, **fields: str) -> Word:
    """A member that is absent where the register does not say it; where each register says it."""
    read = "; ".join(f"{_NAMES[register]} {field}" for register, field in fields.items())
    return Word(f"{meaning} Absent where the register does not say. Source: {read}.", limits or {})


_REVISION: Final = Word(
    "Sequence of the log's entry that brought this record: what a stream's `stations_digest` is made of; "
    "0 where the record is older than the log's entries of stations.",
    {"minimum": 0},
)
_POSITION: Final = Word("Where the station is.")

RECORD_WORDS: Final[Mapping[str, Word]] = {
    "StationDetail.revision": _REVISION,
    "StationRecord.revision": _REVISION,
    "StationDetail.position": _POSITION,
    "StationRecord.position": _POSITION,
    "updated_at": _from(
        "When the register says that the record was updated. A record that says nothing else leaves it as it "
        "was. ISO 8601, UTC, to the millisecond.",
        {"format": "date-time"},
        nobil="Updated",
        irve="date_maj",
        ocpi="last_updated",
        datex="lastUpdated",
        oicp="lastUpdate",
    ),
    "ids": _from(
        "Ids under which publishers know the station, beside `uuid` and `native_id`.",
        nobil="International_id, ocpidb_mapping_stasjon_id",
        irve="id_station_itinerance, id_station_local",
        ocpi="country_code, party_id and id",
        datex="externalIdentifier, stationIdBNetzA",
        oicp="ChargingStationID",
    ),
    "Id.register": Word("Whose id it is: `nobil`, `irve`, `irve-local`, `ocpi`, `datex`, `oicp`, `bnetza`."),
    "Id.id": Word("The id.", {"minLength": 1}),
    "brand": _from("Brand of the station.", irve="nom_enseigne", datex="brand"),
    "owner": _from(
        "Organisation that owns the station.",
        nobil="Owned_by",
        irve="nom_amenageur",
        ocpi="owner",
        datex="owner",
        oicp="SubOperatorName",
    ),
    "contact": _from(
        "How the operating organisation is reached. Never a person.",
        irve="telephone_operateur, contact_operateur",
        ocpi="operator.website, help_phone",
        datex="helpdesk, operator, informationWebsite",
        oicp="HotlinePhoneNumber",
    ),
    "phone": Word("Telephone number, as it is written."),
    "Contact.email": Word("E-mail address."),
    "web": Word("Address of a web site."),
    "postal_code": _from(
        "Postal code.",
        nobil="Zipcode",
        irve="adresse_station",
        ocpi="postal_code",
        datex="postcode",
        oicp="PostalCode",
    ),
    "municipality": _from(
        "Municipality.", nobil="Municipality", irve="consolidated_commune", datex="addressLine"
    ),
    "municipality_code": _from(
        "Number of the municipality by the country's statistics office.",
        nobil="Municipality_ID",
        irve="code_insee_commune",
        datex="nutsCode",
    ),
    "region": _from(
        "Region, county or state, by its name or its NUTS code.",
        nobil="County",
        ocpi="state",
        datex="addressLine, nutsCode",
        oicp="Region",
    ),
    "time_zone": Word(
        "IANA time zone of the station, by which its hours are read. Where no register says it, it follows "
        "from country and position, and `derived` names it. Source: OCPI time_zone; DATEX II timeZone; OICP "
        "TimeZone."
    ),
    "opening": _from(
        "When the station is open.",
        nobil="attribute 24",
        irve="horaires",
        ocpi="opening_times",
        datex="operatingHours",
        oicp="IsOpen24Hours, OpeningTimes",
    ),
    "always": Word("Around the clock, on every day, but for `closings`."),
    "hours": Word("By weekday, in the station's time zone. A weekday that is not in it is closed."),
    "openings": Word("Open beside the hours."),
    "closings": Word("Closed in spite of the hours."),
    "weekday": Word("1 is Monday, 7 is Sunday.", {"minimum": 1, "maximum": 7}),
    "Hours.begin": Word("`HH:MM`.", {"pattern": _CLOCK}),
    "Hours.end": Word("`HH:MM`. Not after `begin`, it is of the next day.", {"pattern": _CLOCK}),
    "Span.begin": Word("From when on. ISO 8601, UTC.", {"format": "date-time"}),
    "Span.end": Word("Until when. ISO 8601, UTC.", {"format": "date-time"}),
    "Opening.text": Word("The register's words, where they are not understood as a whole."),
    "access": _from(
        "Who may charge.",
        nobil="attribute 2",
        irve="condition_acces",
        ocpi="parking_restrictions",
        datex="exclusiveUsers",
        oicp="Accessibility",
    ),
    "access_text": _from(
        "Who may charge, in the register's words.",
        nobil="attribute 2",
        irve="condition_acces",
        datex="exclusiveUsers",
    ),
    "place": _from(
        "Where the station stands.",
        nobil="attribute 3",
        irve="implantation_station",
        ocpi="parking_type",
        datex="typeOfSite",
        oicp="AccessibilityLocation",
    ),
    "parking_fee": _from("Whether parking costs money.", nobil="attribute 7", oicp="Accessibility"),
    "time_limit_min": _from(
        "How long a vehicle may stay, in minutes.", {"minimum": 0}, nobil="attribute 6", ocpi="parking_places"
    ),
    "accessibility": _from(
        "For people with reduced mobility.",
        irve="accessibilite_pmr",
        ocpi="parking_restrictions, parking_places",
        datex="accessibility, dedicatedParkingSpaces",
    ),
    "vehicles": _from(
        "What may be charged. Absent where nothing says that it is not for cars alone.",
        nobil="attribute 17",
        irve="station_deux_roues, restriction_gabarit",
        ocpi="parking_restrictions, parking_places",
        datex="applicableForVehicles, usageType",
    ),
    "max_height_m": _from(
        "Greatest height of a vehicle, in metres.",
        {"minimum": 0},
        irve="restriction_gabarit",
        ocpi="parking_places",
        datex="applicableForVehicles",
    ),
    "payment": _from(
        "How charging is paid for; of each way, true, false, or absent where it is not known.",
        nobil="attributes 1 and 19",
        irve="gratuit, paiement_cb, paiement_acte, paiement_autre",
        ocpi="capabilities",
        datex="authenticationAndIdentificationMethods, energyRate, rates",
        oicp="PaymentOptions, AuthenticationModes",
    ),
    "free": Word("Charging costs nothing."),
    "card": Word("By debit or credit card, at the station."),
    "contactless": Word("By a card or a telephone that is held near."),
    "ad_hoc": Word("Without a contract."),
    "other": Word("In another way."),
    "tariff_text": _from("What charging costs, in the register's words.", irve="tarification"),
    "reservable": _from(
        "Whether it can be reserved.",
        nobil="attribute 18",
        irve="reservation",
        ocpi="capabilities",
        datex="reservation",
        oicp="ValueAddedServices",
    ),
    "images": _from(
        "Addresses of pictures.", nobil="Image", ocpi="images", datex="photoUrl", oicp="ChargingStationImage"
    ),
    "directions": _from(
        "How the station is found.",
        nobil="Description_of_location",
        ocpi="directions",
        datex="locationDescription",
        oicp="ChargingStationLocationReference",
    ),
    "licence": Word("Licence of the register: SPDX's id where there is one (`CC-BY-4.0`)."),
    "attribution": Word("Whom the licence wants to be named."),
    "derived": Word("Members that no register said: they follow from others."),
    "label": _from("What is painted on the EVSE.", ocpi="physical_reference", datex="name"),
    "floor": _from(
        "Floor on which the EVSE is.", ocpi="floor_level", datex="addressLine", oicp="Address.Floor"
    ),
    "capabilities": _from(
        "OCPI 2.2.1 Capability (`RFID_READER`).",
        nobil="attribute 1",
        ocpi="capabilities",
        datex="authenticationAndIdentificationMethods, paymentMeans, reservation",
        oicp="AuthenticationModes",
    ),
    "max_kw": _from(
        "Highest power in kW.",
        {"minimum": 0},
        nobil="attribute 5",
        irve="puissance_nominale",
        ocpi="max_electric_power",
        datex="maxPowerAtSocket, availableChargingPower",
        oicp="ChargingFacilities",
    ),
    "standard": Word("OCPI 2.2.1 ConnectorType (`IEC_62196_T2_COMBO`), or `UNKNOWN`."),
    "format": _from(
        "A cable that is fixed, or a socket.",
        nobil="attribute 25",
        irve="cable_t2_attache",
        ocpi="format",
        datex="connectorFormat",
        oicp="Plugs",
    ),
    "power_type": _from(
        "OCPI 2.2.1 PowerType.",
        nobil="attributes 5 and 20",
        ocpi="power_type",
        datex="chargingMode, currentType",
        oicp="ChargingFacilities",
    ),
    "max_v": _from(
        "Highest voltage in V, line to neutral where there are three phases.",
        {"minimum": 0},
        nobil="attribute 5",
        ocpi="max_voltage",
        datex="voltage, availableVoltage",
        oicp="ChargingFacilities",
    ),
    "max_a": _from(
        "Highest current of one phase, in A.",
        {"minimum": 0},
        nobil="attribute 5",
        ocpi="max_amperage",
        datex="maximumCurrent",
        oicp="ChargingFacilities",
    ),
}
