"""What EMPs ask by OICP: eRoamingPullEvseStatus with its two sisters, and eRoamingPullEvseData.

Knows the messages, and in which words a request that cannot be answered is refused. Members that are not
known are ignored, as senders have more of them.

Source: OICP 2.3 for EMPs, "Services and Operations".
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from ladestrom.core import oicp
from ladestrom.core.fields import Unusable
from ladestrom.core.selection import Selection
from ladestrom.countries import country
from ladestrom.model import Status, evse_key
from ladestrom.outputs.oicp.circles import RADIUS_KM_MAX, Circle
from ladestrom.outputs.oicp.encoder import WORDS, StatusCode
from ladestrom.outputs.oicp.records import Notation
from ladestrom.quoting import quoted

T = TypeVar("T")

CODES: Final = (oicp.SUCCESS, oicp.UNAUTHORIZED, oicp.INCONSISTENT_EVSE, oicp.DATA_ERROR)
"""What answers say."""
IDS_MAX: Final = 100
"""eRoamingPullEvseStatusByID: "the list must not contain more than 100 EvseIDs"."""
OPERATORS_MAX: Final = 1_000
NO_STATUS: Final = "EvseNotFound"
"""EvseStatusType: no EVSE that there is has it."""
NOBODY: Final = Selection(station=frozenset({""}))
_PROVIDER: Final = re.compile(r"[A-Za-z]{2}[*|-]?[A-Za-z0-9]{3}", re.ASCII)
"""ProviderIDType."""
_OPERATOR: Final = re.compile(r"[A-Za-z]{2}\*?[A-Za-z0-9]{3}|\+?[0-9]{1,3}\*[0-9]{3}", re.ASCII)
"""OperatorIDType."""
EVSE: Final = re.compile(
    r"[A-Za-z]{2}\*?[A-Za-z0-9]{3}\*?E[A-Za-z0-9*]{1,30}|\+?[0-9]{1,3}\*[0-9]{3}\*[0-9*]{1,32}", re.ASCII
)
"""EvseIDType."""
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Refused(Exception):
    """A request that OICP refuses, with one of its codes. Never leaves this output."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.status = StatusCode(code, oicp.DESCRIPTIONS[code], text[: oicp.ADDITIONAL_CHARACTERS_MAX])


class SearchCenter(msgspec.Struct, frozen=True):
    """SearchCenterType."""

    coordinates: dict[str, Any] = msgspec.field(name="GeoCoordinates")
    radius: float = msgspec.field(name="Radius")
    """Kilometres."""


class PullStatuses(msgspec.Struct, frozen=True):
    """eRoamingPullEvseStatus."""

    provider: str = msgspec.field(name="ProviderID")
    center: SearchCenter | None = msgspec.field(default=None, name="SearchCenter")
    status: str | None = msgspec.field(default=None, name="EvseStatus")
    status_capitals: str | None = msgspec.field(default=None, name="EVSEStatus")
    """As the text of the specification has it, beside its schemas."""


class PullStatusesById(msgspec.Struct, frozen=True):
    """eRoamingPullEvseStatusByID."""

    provider: str = msgspec.field(name="ProviderID")
    evses: list[str] = msgspec.field(name="EvseID")


class PullStatusesByOperator(msgspec.Struct, frozen=True):
    """eRoamingPullEvseStatusByOperatorID."""

    provider: str = msgspec.field(name="ProviderID")
    operators: list[str] = msgspec.field(name="OperatorID")


class PullData(msgspec.Struct, frozen=True):
    """eRoamingPullEvseData."""

    provider: str = msgspec.field(name="ProviderID")
    notation: Notation = msgspec.field(name="GeoCoordinatesResponseFormat")
    center: SearchCenter | None = msgspec.field(default=None, name="SearchCenter")
    last_call: str | None = msgspec.field(default=None, name="LastCall")
    operators: list[str] | None = msgspec.field(default=None, name="OperatorIds")
    countries: list[str] | None = msgspec.field(default=None, name="CountryCodes")
    accessibility: list[str] | None = msgspec.field(default=None, name="Accessibility")
    modes: list[str] | None = msgspec.field(default=None, name="AuthenticationModes")
    calibration: list[str] | None = msgspec.field(default=None, name="CalibrationLawDataAvailability")
    renewable: bool | None = msgspec.field(default=None, name="RenewableEnergy")
    compatible: bool | None = msgspec.field(default=None, name="IsHubjectCompatible")
    open_always: bool | None = msgspec.field(default=None, name="IsOpen24Hours")


def read(body: bytes, kind: type[T], provider: str) -> T:
    """A request's message; `provider` is the one of its path.

    Raises:
        Refused: it is no such message, or of another provider.
    """
    try:
        found = msgspec.json.decode(body, type=kind)
    except UNREADABLE as error:
        raise data_error(f"the body is not what is asked with here: {error}") from error
    named: str = getattr(found, "provider")  # noqa: B009 - of every question
    for written in (provider, named):
        if _PROVIDER.fullmatch(written) is None:
            raise data_error(f"{quoted(written, 40)} is not a ProviderID; write one such as NO-ABC")
    if _bare(provider) != _bare(named):
        raise data_error(
            f"ProviderID is {quoted(named, 40)}, and the path names {quoted(provider, 40)}; write the same"
        )
    return found


def _bare(provider: str) -> str:
    return "".join(filter(str.isalnum, provider)).upper()


def data_error(text: str) -> Refused:
    """A request that says something that cannot be."""
    return Refused(oicp.DATA_ERROR, text)


def circle(center: SearchCenter | None) -> Circle | None:
    """What a SearchCenter means.

    Raises:
        Refused: its place is none, or its radius.
    """
    if center is None:
        return None
    if not 0 < center.radius <= RADIUS_KM_MAX:
        raise data_error(f"Radius is {center.radius:g}; write kilometres, more than 0")
    try:
        place = oicp.position(center.coordinates)
    except Unusable as error:
        raise data_error(f"GeoCoordinates of SearchCenter: {error}") from error
    return Circle(place.latitude, place.longitude, center.radius)


def selected(within: Circle | None, status: str | None = None) -> Selection:
    """A selection that has all that is asked for, and little else.

    Raises:
        Refused: the status is none.
    """
    box = None if within is None else within.box()
    if status is None:
        return Selection(box=box)
    if status == NO_STATUS:
        return NOBODY
    statuses = frozenset(each for each, word in WORDS.items() if word == status)
    if not statuses:
        words = ", ".join(dict.fromkeys((*WORDS.values(), NO_STATUS)))
        raise data_error(f"EvseStatus is {quoted(status, 40)}; the words are {words}")
    return Selection(box=box, status=statuses)


def operators(written: list[str]) -> frozenset[str]:
    """Operator ids as keys.

    Raises:
        Refused: there are none or too many, or one is none.
    """
    if not 0 < len(written) <= OPERATORS_MAX:
        raise data_error(f"OperatorID lists {len(written)} ids; write 1 to {OPERATORS_MAX}")
    for each in written:
        if _OPERATOR.fullmatch(each) is None:
            raise data_error(f"{quoted(each, 40)} is not an OperatorID; write one such as NO*ABC")
    return frozenset(map(evse_key, written))


def evse_ids(written: list[str]) -> list[str]:
    """The ids of EVSEs, each once.

    Raises:
        Refused: there are none or too many, or one is none.
    """
    if not 0 < len(written) <= IDS_MAX:
        raise data_error(f"EvseID lists {len(written)} ids; write 1 to {IDS_MAX}")
    for each in written:
        if EVSE.fullmatch(each) is None:
            raise Refused(oicp.INCONSISTENT_EVSE, f"{quoted(each, 60)} is not an EvseID")
    return list(dict.fromkeys(written))


def countries(written: list[str]) -> frozenset[str]:
    """Countries, as records write them.

    Raises:
        Refused: one is none.
    """
    found = set()
    for each in written:
        code = country(each)
        if code is None:
            raise data_error(f"{quoted(each, 20)} is not a country; write ISO 3166-1 alpha-3, such as NOR")
        found.add(code)
    return frozenset(found)


def word_of(status: Status) -> str | None:
    """The word of a status; None where it has none, as such an EVSE is not listed."""
    return WORDS.get(status)
