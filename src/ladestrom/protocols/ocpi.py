"""OCPI 2.1.1, 2.2.1 and 2.3.0: what all of its modules share. Tokens, envelopes, versions and endpoints.

Knows the transport of OCPI. Must not know what the modules say.

Source: OCPI 2.2.1 and 2.3.0, sections 4 (transport and format), 6 (versions); 2.1.1 likewise.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

import msgspec

from ladestrom.errors import LadestromError, SourceFailure
from ladestrom.model import Millis
from ladestrom.protocols import CONVERSATIONS
from ladestrom.protocols.delivery import UNREADABLE, json_text
from ladestrom.protocols.interfaces import Answer

VERSIONS: Final = ("2.3.0", "2.2.1", "2.1.1")
"""Those that we speak, the best first."""
ROLELESS: Final = frozenset({"2.1.1"})
"""Versions in which an endpoint has no role."""
PREFIX: Final = CONVERSATIONS["ocpi"].path
TOKEN_CHARACTERS_MAX: Final = 64
"""OCPI 2.2.1, section 7.3.1: `token` is a string(64) of printable ASCII."""
URL_CHARACTERS_MAX: Final = 255
"""OCPI 2.2.1, section 16.5: the type URL is a string(255)."""
ENDPOINTS_MAX: Final = 100
"""OCPI 2.3.0 has a dozen modules, each with two roles."""
ECHOED: Final = ("x-request-id", "x-correlation-id")
"""OCPI 2.2.1, section 4.1.3: sent with every request, and returned as they came."""

HTTP_OK: Final = 200
HTTP_CREATED: Final = 201
HTTP_NO_CONTENT: Final = 204
HTTP_BAD_REQUEST: Final = 400
HTTP_UNAUTHORIZED: Final = 401
HTTP_FORBIDDEN: Final = 403
HTTP_NOT_FOUND: Final = 404
HTTP_GONE: Final = 410
HTTP_TOO_MANY_REQUESTS: Final = 429
HTTP_INTERNAL_SERVER_ERROR: Final = 500
"""RFC 9110, section 15."""

SUCCESS: Final = 1000
CLIENT_ERROR: Final = 2000
INVALID_PARAMETERS: Final = 2001
UNKNOWN_LOCATION: Final = 2003
SERVER_ERROR: Final = 3000
UNUSABLE_API: Final = 3001
UNSUPPORTED_VERSION: Final = 3002
MISSING_ENDPOINTS: Final = 3003
"""OCPI 2.2.1, section 5: status codes."""

T = TypeVar("T")

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,64}")
_UNENCODED: Final = "2.1.1"
"""The last version in which a token was sent as it is."""


class Reply(msgspec.Struct, frozen=True):
    """What a request is told, before it is an envelope."""

    data: object = None
    code: int = SUCCESS
    message: str = "Success"
    status: int = HTTP_OK

    @property
    def is_success(self) -> bool:
        return self.code // 1000 == 1


class Refused(LadestromError):
    """A request of OCPI that is answered with another status code than 1000."""

    means = (
        "An OCPI request was answered with a status code other than 1000, with HTTP status 200, 400 or 404. "
        "The response is an OCPI message and does not contain this code."
    )
    advice = (
        "Read `status_code` and `status_message` in the response. The guide for operators lists the values "
        "of `status_code`."
    )
    code = "ocpi_refused"
    on_websocket = False
    status = 200

    def __init__(self, message: str, code: int = CLIENT_ERROR, status: int = HTTP_OK) -> None:
        super().__init__(message)
        self.reply = Reply(None, code, message, status)


class PeerFailed(SourceFailure):
    means = "The OCPI system of an operator refused a request of this server, or its response cannot be read."
    advice = "The server retries automatically. Administrators see the reason in `ladestrom sources list`."
    code = "peer_failed"
    status_code = 0
    """Of OCPI, where the peer said one."""
    http_status = 0
    """Likewise."""


class PeerDenies(PeerFailed):
    means = "The OCPI system of an operator rejected this server's token."
    advice = (
        "Administrators: check the token with the operator, then run `ladestrom ocpi register` again or, if "
        "the operator registered with this server, send it a new invitation."
    )
    code = "peer_denies"
    retry = False


class Endpoint(msgspec.Struct, frozen=True):
    """Where a module of a peer is."""

    identifier: str
    url: str
    role: str | None = None
    """SENDER or RECEIVER; OCPI 2.1.1 has none."""


class Version(msgspec.Struct, frozen=True):
    """One of the versions that a peer speaks, and where its details are."""

    version: str
    url: str


class _Envelope(msgspec.Struct, frozen=True):
    status_code: int | None = None
    """Some write it as text, and some leave it out where all is well."""
    data: msgspec.Raw = msgspec.Raw(b"null")
    status_message: Any = None


class _Details(msgspec.Struct, frozen=True):
    endpoints: list[msgspec.Raw]


_encode = msgspec.json.Encoder().encode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_envelope = msgspec.json.Decoder(_Envelope, strict=False).decode


def envelope(reply: Reply, now: Millis) -> Answer:
    """The reply as it is sent. `data` is left out where there is none (OCPI 2.2.1-d2, section 4.1.7)."""
    body: dict[str, object] = {} if reply.data is None else {"data": reply.data}
    body |= {"status_code": reply.code, "status_message": reply.message, "timestamp": written(now)}
    return Answer(reply.status, _encode(body))


def echoed(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Those of a request that an answer has too."""
    return tuple((name, headers[name]) for name in ECHOED if _is_echo(headers.get(name, "")))


def opened(status: int, body: bytes, what: str) -> msgspec.Raw:
    """The `data` of what a peer answered.

    A status code from 2000 on is a failure, whatever HTTP says: some peers say so of a wrong token.

    Raises:
        PeerDenies: it rejects our token.
        PeerFailed: it says no, or what it says is no envelope.
    """
    if status in {HTTP_UNAUTHORIZED, HTTP_FORBIDDEN}:
        raise PeerDenies(f"{what} answers {status}: it rejects our token")
    if status == HTTP_NO_CONTENT:
        return msgspec.Raw(b"null")
    try:
        said = _decode_envelope(json_text(body))
    except UNREADABLE as error:
        raise PeerFailed(f"{what} answers {status}, but not with an OCPI envelope ({error})") from error
    code = said.status_code
    if code is None and bytes(said.data) != b"null":
        code = SUCCESS
    if status >= HTTP_BAD_REQUEST or code is None or code // 1000 != 1:
        told = str(said.status_message or "")[:200]
        failed = PeerFailed(f"{what} answers {status} with status code {code}: {told}")
        failed.status_code, failed.http_status = code or 0, status
        raise failed
    return said.data


def written(at: Millis) -> str:
    """An instant as a DateTime of OCPI: UTC, to the second, with `Z`."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- tokens ----------------------------------------------------------------------------------------------


def request_ids(seed: str) -> dict[str, str]:
    """The headers of a request (OCPI 2.2.1, section 4.1.3). `seed` is another one for each request."""
    name = str(uuid5(NAMESPACE_URL, seed))
    return dict.fromkeys(ECHOED, name)


def routing(version: str, sender: str, receiver: str) -> dict[str, str]:
    """The headers that say whose a message of a functional module is, and whom it is for: parties such as
    `NOABC`, empty where they are not known.

    OCPI 2.2.1, section 4.1.3.2 (message routing headers). OCPI 2.1.1 has none.
    """
    ends = (("from", sender), ("to", receiver)) if version != _UNENCODED else ()
    headers = {}
    for way, party in ends:
        if party:
            headers[f"ocpi-{way}-country-code"] = party[:2]
            headers[f"ocpi-{way}-party-id"] = party[2:]
    return headers


def is_token(text: str) -> bool:
    """Whether it can be a token of OCPI."""
    return _TOKEN.fullmatch(text) is not None


def authorization(token: str, version: str | None) -> str:
    """The header that shows a token: as it is in OCPI 2.1.1, in Base64 from 2.2-d2 on (section 4.1.1)."""
    shown = token if version == _UNENCODED else base64.b64encode(token.encode()).decode()
    return f"Token {shown}"


def presented(header: str | None) -> tuple[str, ...]:
    """The tokens that an Authorization header may mean, the likelier first.

    Peers of every version send both forms; the specification's own example encodes a line feed too, as
    `echo` gives it, so white space at the end does not count.
    """
    scheme, _, shown = (header or "").strip().partition(" ")
    shown = shown.strip()
    if scheme.lower() != "token" or not shown:
        return ()
    found = [shown] if is_token(shown) else []
    try:
        decoded = base64.b64decode(shown, validate=True).decode("ascii").rstrip()
    except (binascii.Error, ValueError):
        decoded = ""
    if is_token(decoded):
        found.append(decoded)
    return tuple(found)


# -- versions --------------------------------------------------------------------------------------------


def versions(root: str) -> list[dict[str, str]]:
    """What `/ocpi/versions` says; `root` is our address, without a slash at its end."""
    return [{"version": version, "url": f"{root}{PREFIX}/{version}"} for version in VERSIONS]


def read_versions(data: msgspec.Raw, what: str) -> list[Version]:
    """The versions that a peer speaks.

    Raises:
        PeerFailed: it is no list of them.
    """
    try:
        return _each(listed(data), Version)
    except UNREADABLE as error:
        raise PeerFailed(f"{what} answers, but not with a list of versions ({error})") from error


def read_details(data: msgspec.Raw, what: str) -> tuple[Endpoint, ...]:
    """The endpoints of version details. Some peers answer with a list that has these alone.

    Raises:
        PeerFailed: it is none.
    """
    try:
        found = [raw for each in _each(listed(data), _Details) for raw in each.endpoints]
        if len(found) > ENDPOINTS_MAX:
            raise PeerFailed(f"{what} has {len(found)} endpoints; at most {ENDPOINTS_MAX} are taken")
        return tuple(_each(found, Endpoint))
    except UNREADABLE as error:
        raise PeerFailed(f"{what} answers, but not with version details ({error})") from error


def listed(data: msgspec.Raw) -> list[msgspec.Raw]:
    """The items of a list; an object that stands alone is one.

    Raises:
        msgspec.ValidationError: it is neither.
    """
    try:
        return _decode_items(data)
    except msgspec.ValidationError:
        _decode_object(data)
        return [data]


def _each(items: Sequence[msgspec.Raw], kind: type[T]) -> list[T]:
    """Those that can be read; one that cannot be costs no other.

    Raises:
        msgspec.ValidationError: there are some, and none can be read.
    """
    found, failed = [], None
    for each in items:
        try:
            found.append(msgspec.json.decode(each, type=kind))
        except UNREADABLE as error:
            failed = error
    if failed is not None and not found:
        raise failed
    return found


def best(offered: Sequence[Version], wanted: Sequence[str] = VERSIONS) -> Version | None:
    """The best of the versions that both speak; None where there is none."""
    by_version = {each.version.strip(): each for each in offered}
    return next((by_version[version] for version in wanted if version in by_version), None)


def endpoint(endpoints: Sequence[Endpoint], identifier: str, role: str) -> Endpoint | None:
    """The endpoint of a module in this role; one that names no role will do."""
    return next(
        (
            each
            for each in endpoints
            if each.identifier.lower() == identifier and (each.role or role).upper() == role
        ),
        None,
    )


def is_address(url: str) -> bool:
    """Whether it is an http or https address that can be asked."""
    if (
        not 0 < len(url) <= URL_CHARACTERS_MAX
        or not url.isascii()
        or not url.isprintable()
        or {*" \\"} & {*url}
    ):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None and port != 0


def _is_echo(value: str) -> bool:
    """Whether a header's value may be sent back: no line of it begins another header."""
    return 0 < len(value) <= URL_CHARACTERS_MAX and value.isascii() and value.isprintable()
