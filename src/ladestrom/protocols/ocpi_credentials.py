"""The module credentials of OCPI: who somebody is, and what two sides ask of each other to register.

Knows credentials objects of 2.1.1 and of 2.2.1 and later, and the requests of a registration as a generator.
Must not know where tokens are from or where they are kept.

Source: OCPI 2.2.1 and 2.3.0, section 7; 2.1.1, `credentials`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import msgspec

from ladestrom.core.locations import party_of
from ladestrom.model import evse_key
from ladestrom.ports.calls import Answered, Ask
from ladestrom.protocols.delivery import UNREADABLE, json_text
from ladestrom.protocols.ocpi import (
    INVALID_PARAMETERS,
    MISSING_ENDPOINTS,
    UNSUPPORTED_VERSION,
    UNUSABLE_API,
    VERSIONS,
    Endpoint,
    PeerDenies,
    PeerFailed,
    Refused,
    authorization,
    best,
    endpoint,
    is_address,
    is_token,
    opened,
    read_details,
    read_versions,
)
from ladestrom.quoting import quoted

ROLES_MAX: Final = 1_000
"""A hub reports every party behind it as a role (OCPI 2.3.0, section 7.3.1)."""
FLAT: Final = frozenset({"2.1.1"})
"""Versions whose credentials object is one party, without roles."""
NAP: Final = "NAP"
"""OCPI 2.2.1, section 16.2: National Access Point, a national database with all location information."""


class Self(msgspec.Struct, frozen=True):
    """Who we say that we are."""

    country_code: str
    party_id: str
    name: str


class Role(msgspec.Struct, frozen=True):
    """One of the parties that a peer speaks for."""

    role: str
    party: str
    """Country and party without separator, `NOABC`."""
    name: str = ""


class Credentials(msgspec.Struct, frozen=True):
    """What a peer says of itself, and the token with which it is to be called."""

    token: str
    url: str
    roles: tuple[Role, ...]


class Introduction(msgspec.Struct, frozen=True):
    """What was found out by calling a peer."""

    version: str
    endpoints: tuple[Endpoint, ...]


class _Role(msgspec.Struct, frozen=True):
    party_id: str
    country_code: str
    role: Any = None
    business_details: Any = None


class _Credentials(msgspec.Struct, frozen=True):
    token: str
    url: str
    roles: list[_Role] | None = None
    party_id: str | None = None
    country_code: str | None = None
    business_details: Any = None


Registering = Generator[Ask, Answered, Introduction]
"""Sends each request that is yielded, and returns what they brought."""


def read(body: bytes | msgspec.Raw) -> Credentials:
    """A credentials object, of any version.

    Raises:
        Refused: it is none.
    """
    try:
        said = msgspec.json.decode(json_text(bytes(body)), type=_Credentials)
    except msgspec.ValidationError as error:
        raise Refused(f"these are not valid credentials: {error}", INVALID_PARAMETERS) from error
    except UNREADABLE as error:
        raise Refused(f"the body is not JSON: {error}", INVALID_PARAMETERS, 400) from error
    token, url = said.token.strip(), said.url.strip()
    if not is_token(token):
        raise Refused("the token must have 1 to 64 printable ASCII characters", INVALID_PARAMETERS)
    if not is_address(url):
        raise Refused("the url is not an http or https address", INVALID_PARAMETERS)
    if said.roles is None:
        said_roles = [_Role(said.party_id or "", said.country_code or "", "", said.business_details)]
    else:
        said_roles = said.roles
    if len(said_roles) > ROLES_MAX:
        raise Refused(f"{len(said_roles)} roles; at most {ROLES_MAX} are taken", INVALID_PARAMETERS)
    return Credentials(token, url, tuple(map(_role, said_roles)))


def _role(said: _Role) -> Role:
    party = party_of(said.country_code, said.party_id)
    if party is None:
        raise Refused(
            f"{quoted(said.country_code, 10)} and {quoted(said.party_id, 10)} are no country and party: "
            "two letters, and three letters or digits",
            INVALID_PARAMETERS,
        )
    details = said.business_details
    name = details.get("name") if isinstance(details, dict) else None
    return Role(_text(said.role).upper()[:10], party, _text(name)[:100])


def _text(value: object) -> str:
    """What decides nothing may be of any type."""
    return value if isinstance(value, str) else ""


def write(own: Self, token: str, url: str, version: str) -> dict[str, object]:
    """Our credentials object, as a version has it."""
    business_details = {"name": own.name}
    party = {"party_id": own.party_id, "country_code": own.country_code}
    if version in FLAT:
        return {"token": token, "url": url, "business_details": business_details, **party}
    role = {"role": NAP, "business_details": business_details, **party}
    return {"token": token, "url": url, "roles": [role]}


def introduce(url: str, token: str, version: str | None = None) -> Registering:
    """Asks a peer for its versions and for the details of one: the best that both speak, or the one given.

    Whether it wants our token in Base64 is not known before its version is: both are tried.

    Raises:
        Refused: with 3001 it cannot be used, 3002 it does not speak the version, 3003 it has no Locations.
    """
    data, encoding = yield from _ask_both(url, token, version)
    try:
        offered = read_versions(data, "your versions endpoint")
    except PeerFailed as error:
        raise Refused(str(error), UNUSABLE_API) from error
    chosen = best(offered, VERSIONS if version is None else (version,))
    if chosen is None:
        have = ", ".join(each.version[:10] for each in offered[:10]) or "none"
        raise Refused(
            f"you speak {have}; we speak {', '.join(VERSIONS) if version is None else version} here",
            UNSUPPORTED_VERSION,
        )
    if not is_address(chosen.url):
        raise Refused("the url of your version is not an http or https address", UNUSABLE_API)
    data, _ = yield from _ask_both(chosen.url, token, encoding)
    try:
        endpoints = read_details(data, "your version details")
    except PeerFailed as error:
        raise Refused(str(error), UNUSABLE_API) from error
    if endpoint(endpoints, "locations", "SENDER") is None:
        raise Refused("your version details have no Locations module with role SENDER", MISSING_ENDPOINTS)
    return Introduction(chosen.version.strip(), endpoints)


def register(
    url: str, token: str, own: Self, our_token: str, our_url: str
) -> Generator[Ask, Answered, tuple[Introduction, Credentials]]:
    """Registers with a peer that invited us; it calls us back before it answers.

    Args:
        url: of its versions.
        token: with which it invited us.
        own: who we are.
        our_token: what it is to show us, known to our server already.
        our_url: of our versions.

    Raises:
        Refused: it cannot be used, or does not take us.
    """
    met = yield from introduce(url, token)
    said = yield from _exchange("POST", met, token, write(own, our_token, our_url, met.version))
    return met, said


def renew(
    url: str, token: str, own: Self, our_token: str, our_url: str
) -> Generator[Ask, Answered, tuple[Introduction, Credentials]]:
    """Exchanges new tokens with a peer, at the best version that both speak now.

    Raises:
        Refused: it cannot be used, or does not take them.
    """
    met = yield from introduce(url, token)
    said = yield from _exchange("PUT", met, token, write(own, our_token, our_url, met.version))
    return met, said


def unregister(endpoints: tuple[Endpoint, ...], version: str, token: str) -> Generator[Ask, Answered, None]:
    """Tells a peer that we are gone. One that does not know us any more is told nothing new.

    Raises:
        Refused: it has no credentials endpoint, or does not understand.
    """
    target = _credentials_endpoint(endpoints)
    answered = yield Ask(target, "DELETE", {"authorization": authorization(token, version)})
    if answered.status in {401, 404, 405}:
        return
    try:
        opened(answered.status, answered.body, "the peer")
    except PeerFailed as error:
        raise Refused(str(error), UNUSABLE_API) from error


def _exchange(
    method: str, met: Introduction, token: str, credentials: dict[str, object]
) -> Generator[Ask, Answered, Credentials]:
    headers = {"authorization": authorization(token, met.version), "content-type": "application/json"}
    body = msgspec.json.encode(credentials)
    answered = yield Ask(_credentials_endpoint(met.endpoints), method, headers, body)
    try:
        return read(opened(answered.status, answered.body, "the peer"))
    except PeerFailed as error:
        raise Refused(str(error), UNUSABLE_API) from error


def _credentials_endpoint(endpoints: tuple[Endpoint, ...]) -> str:
    """Its role says nothing (OCPI 2.2.1, section 6.2.3)."""
    found = endpoint(endpoints, "credentials", "SENDER") or endpoint(endpoints, "credentials", "RECEIVER")
    if found is None or not is_address(found.url):
        raise Refused("the peer has no module credentials", MISSING_ENDPOINTS)
    return found.url


def _ask_both(
    url: str, token: str, version: str | None
) -> Generator[Ask, Answered, tuple[msgspec.Raw, str | None]]:
    """The data at an address, and the version whose encoding of the token it took."""
    forms = (version, None) if version in FLAT else (version, "2.1.1")
    failed: PeerFailed = PeerDenies("it was not asked")
    for form in forms:
        answered = yield Ask(url, headers={"authorization": authorization(token, form)})
        try:
            return opened(answered.status, answered.body, urls_host(url)), form
        except PeerFailed as error:
            failed = error
    raise Refused(str(failed), UNUSABLE_API)


def urls_host(url: str) -> str:
    """How an address is called in what is told about it: without what may be secret in it."""
    return url.partition("?")[0][:200]


def allowed(roles: tuple[Role, ...], parties: tuple[str, ...], party: str) -> bool:
    """Whether a peer may speak for a party: it is one of its roles, or one of its operator's."""
    key = evse_key(party)
    return key in parties or any(role.party == key for role in roles)
