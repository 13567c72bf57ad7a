"""How we trust and show certificates when we connect, and until when those are good.

Knows files of certificates. Must not know who is connected to.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ladestrom.errors import InvalidSetting
from ladestrom.model import Millis

PEM_MIB_MAX: Final = 4
BEGIN: Final = "-----BEGIN CERTIFICATE-----"
END: Final = "-----END CERTIFICATE-----"

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_LONG_FORM: Final = 0x80
_YEAR_DIGITS: Final = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}


def context(
    ca: str | None = None, certificate: str | None = None, certificate_key: str | None = None
) -> ssl.SSLContext:
    """What a connection is made with: TLS 1.2 or newer, certificates and names verified.

    Args:
        ca: file of the authorities that are believed; the system's where it is None.
        certificate: file of the certificate that we show, with those up to its root; PEM.
        certificate_key: file of its key, where it is not in the same one. Without a passphrase.

    Raises:
        InvalidSetting: a file cannot be used.
    """
    try:
        made = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSetting(f"the certificate authorities in {ca} cannot be read ({_why(error)})") from error
    if certificate is not None:
        try:
            made.load_cert_chain(certificate, certificate_key, password=_no_passphrase)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise InvalidSetting(
                f"the certificate {certificate} cannot be shown ({_why(error)}); it and its key are "
                "needed as PEM, without passphrase"
            ) from error
    return made


def expires_at(certificate: str) -> Millis:
    """Until when the first certificate of a PEM file is good.

    Raises:
        InvalidSetting: the file has none.
    """
    try:
        with Path(certificate).open(encoding="ascii", errors="replace") as file:
            text = file.read(PEM_MIB_MAX * 1024 * 1024)
    except OSError as error:
        raise InvalidSetting(f"the certificate {certificate} cannot be read ({_why(error)})") from error
    begin = text.find(BEGIN)
    end = text.find(END, begin)
    if begin < 0 or end < 0:
        raise InvalidSetting(f"{certificate} has no certificate in it (PEM)")
    try:
        return not_after(ssl.PEM_cert_to_DER_cert(text[begin : end + len(END)]))
    except (ValueError, IndexError) as error:
        raise InvalidSetting(f"the certificate in {certificate} cannot be read ({error})") from error


def not_after(der: bytes) -> Millis:
    """Until when a certificate is good: RFC 5280, section 4.1: tbsCertificate.validity.notAfter.

    Raises:
        ValueError, IndexError: it is no certificate.
    """
    certificate = _content(der, _SEQUENCE)
    fields = _elements(_content(certificate, _SEQUENCE))
    # version (left out in the first), serialNumber, signature, issuer, validity
    validity = fields[4] if fields[0][0] == _VERSION else fields[3]
    tag, written = _elements(validity[1])[1]
    at = datetime.strptime(written.decode("ascii"), _YEAR_DIGITS[tag]).replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)


def server_expires_at(connection: object) -> Millis | None:
    """Until when the certificate is good that the other side showed; None where it showed none."""
    if not isinstance(connection, ssl.SSLObject | ssl.SSLSocket):
        return None
    shown = connection.getpeercert()
    written = shown.get("notAfter") if shown else None
    return ssl.cert_time_to_seconds(written) * 1000 if isinstance(written, str) else None


def _no_passphrase() -> str:
    raise ValueError("its key has a passphrase")


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _content(der: bytes, tag: int) -> bytes:
    found = _elements(der)[0]
    if found[0] != tag:
        raise ValueError("it is no X.509 certificate")
    return found[1]


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each element: X.690, section 8.1, as DER has it (definite lengths, short tags)."""
    found: list[tuple[int, bytes]] = []
    place = 0
    while place < len(der):
        tag, length = der[place], der[place + 1]
        place += 2
        if length >= _LONG_FORM:
            size = length - _LONG_FORM
            length = int.from_bytes(der[place : place + size], "big")
            place += size
        if place + length > len(der):
            raise ValueError("it is cut off")
        found.append((tag, der[place : place + length]))
        place += length
    return found
