"""Charge points that report for themselves: their passwords, and how these are shown.

Knows the record of a charge point and HTTP basic authentication (RFC 7617). Must not know where records are
kept, nor what a charge point says.

A password is twenty letters and digits: OCPP 2 takes 16 to 64 characters, and 1.6 (white paper on security)
16 to 20 bytes, so that it fits all versions.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import string
from collections.abc import Mapping
from typing import Final

from ladestrom.errors import BadRequest, Unauthenticated
from ladestrom.model import Millis
from ladestrom.ports.charge_points import ChargePoint

PASSWORD_CHARACTERS: Final = 20
"""119 random bits: out of reach of guessing, so that one fast hash is enough."""
PASSWORD_BYTES_MIN: Final = 20
ID_CHARACTERS_MAX: Final = 48
"""OCPP 2.0.1, part 2, section 1.1: the identity of a charging station has at most 48 characters."""
EVSES_MAX: Final = 256
NUMBER_MAX: Final = 9_999
AUTHORIZATION_CHARACTERS_MAX: Final = 512

_ALPHABET: Final = string.ascii_letters + string.digits
_NO_DIGEST: Final = bytes(hashlib.sha256().digest_size)


def enrol(
    random_bytes: bytes,
    *,
    charge_point: str,
    operator: str,
    station: str,
    evses: Mapping[int, str],
    added_at: Millis,
) -> tuple[str, ChargePoint]:
    """Makes a password, to be shown once, and the record of a charge point, which does not hold it.

    `random_bytes` (at least 20) are from the operating system.

    Raises:
        BadRequest: the id or the numbers cannot be so; says which and why.
        ValueError: too few random bytes, a mistake of the caller.
    """
    if not 0 < len(charge_point) <= ID_CHARACTERS_MAX or not charge_point.isprintable():
        raise BadRequest(f"a charge point's id has 1 to {ID_CHARACTERS_MAX} printable characters")
    if ":" in charge_point:
        raise BadRequest(
            "a charge point's id must not contain a colon, which ends the user name in basic authentication"
        )
    if charge_point != charge_point.strip():
        raise BadRequest("a charge point's id must not begin or end with a space")
    if len(evses) > EVSES_MAX:
        raise BadRequest(f"a charge point has at most {EVSES_MAX} EVSEs")
    for number in evses:
        if not 0 < number <= NUMBER_MAX:
            raise BadRequest(f"{number} is no number of a connector or EVSE; they go from 1 to {NUMBER_MAX}")
    password, digest = new_password(random_bytes)
    return password, ChargePoint(
        id=charge_point,
        operator=operator,
        station=station,
        evses=tuple(sorted(evses.items())),
        secret_sha256=digest,
        added_at=added_at,
        last_seen_at=None,
    )


def new_password(random_bytes: bytes) -> tuple[str, bytes]:
    """A password and its SHA-256.

    Raises:
        ValueError: too few random bytes.
    """
    if len(random_bytes) < PASSWORD_BYTES_MIN:
        raise ValueError(f"a password needs {PASSWORD_BYTES_MIN} random bytes")
    number = int.from_bytes(random_bytes, "big")
    characters = []
    for _ in range(PASSWORD_CHARACTERS):
        number, place = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[place])
    password = "".join(characters)
    return password, _digest(password.encode())


def as_hexadecimal(password: str) -> str:
    """A password as the setting AuthorizationKey of OCPP 1.6 is written."""
    return password.encode().hex().upper()


def admit(point: ChargePoint, authorization: str | None) -> None:
    """Checks the header Authorization of a charge point that calls itself so in its path.

    The password is taken as it is and in hexadecimal, as some charge points of 1.6 send it as it was set.

    Raises:
        Unauthenticated: it is missing, names another charge point, or has another password.
    """
    if not authorization:
        raise Unauthenticated("the password is missing; use basic authentication")
    scheme, _, rest = authorization[:AUTHORIZATION_CHARACTERS_MAX].partition(" ")
    if scheme.lower() != "basic":
        raise Unauthenticated("Authorization does not use the scheme Basic")
    try:
        name, _, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        raise Unauthenticated("Authorization is not valid Base64") from None
    is_right = any(
        [hmac.compare_digest(_digest(form), point.secret_sha256) for form in _forms(password)]  # noqa: C419 - all of them, whichever is right
    )
    if not is_right or not hmac.compare_digest(name, point.id.encode()):
        raise Unauthenticated("wrong user name or password for this charge point")


def _forms(password: bytes) -> tuple[bytes, bytes]:
    try:
        return password, bytes.fromhex(password.decode("ascii"))
    except ValueError:
        return password, _NO_DIGEST


def _digest(password: bytes) -> bytes:
    return hashlib.sha256(password).digest()
