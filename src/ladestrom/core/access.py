"""Keys, their scopes, and what an operator may report on.

Knows the text form of a key and how records of keys answer for it. Must not know where records are
kept, what time it is or where random bytes come from: all three are passed in.

A key is `lst_ID_SECRET`: ten public characters, and 36 that are secret: 30 of them random, then six
that are the CRC-32 of everything before them, so that a scanner, or a person who lost the end of it
while copying, can tell without asking a server. Underscores keep it one word to a double click.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal

import msgspec

from ladestrom.errors import BadRequest, KeyPending, NotAllowed, Unauthenticated
from ladestrom.model import WIRE_SEPARATORS, Evse, Millis, Operator, Station, evse_key, local_key, party_in
from ladestrom.ports.keys import KeyRecord
from ladestrom.ports.registry import StationDraft
from ladestrom.quoting import quoted

KEY_PREFIX: Final = "lst"
ID_LENGTH: Final = 10
SECRET_LENGTH: Final = 30
CHECKSUM_LENGTH: Final = 6
SECRET_BYTES_MIN: Final = 20
"""160 random bits: out of reach of guessing, so that one fast hash of the secret is enough."""
ID_BYTES_MIN: Final = 8
"""64 bits fill the ten public characters."""

NAME_CHARACTERS_MAX: Final = 100
"""Fits one line of a list; a name is for people."""
PARTIES_MAX: Final = 1000
PREFIXES_MAX: Final = 1000
"""More than any operator has."""
PREFIX_CHARACTERS_MIN: Final = 2
"""A country. One letter would be a slip that hands out half of Europe."""
PREFIX_CHARACTERS_MAX: Final = 48
"""The longest EVSE id of OCPI 2.2.1, section 8.3.2."""
STALE_AFTER_S_MAX: Final = 366 * 86_400
REGISTER_SOURCE: Final = "register"
"""The source of statuses that a register carries. An operator of that name would speak for all registers."""

DEMO_KEY: Final = "demo"

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(
    rf"{KEY_PREFIX}_([0-9A-Za-z]{{{ID_LENGTH}}})"
    rf"_([0-9A-Za-z]{{{SECRET_LENGTH}}})([0-9A-Za-z]{{{CHECKSUM_LENGTH}}})"
)
_PARTY = re.compile(r"[A-Z]{2}[A-Z0-9]{3}")
_PREFIX = re.compile(r"[A-Z0-9_]+")
_NO_DIGEST: Final = bytes(hashlib.sha256().digest_size)


class Scope(StrEnum):
    """What a key is for."""

    STREAM = "stream"
    """Read the streams and the REST interface."""
    REPORT = "report"
    """Report statuses for the key's operator."""
    ADMIN = "admin"
    """Everything else: keys, operators, metrics; and all that `stream` may."""


GRANTS: Final[Mapping[str, frozenset[Scope]]] = {
    Scope.STREAM: frozenset({Scope.STREAM}),
    Scope.REPORT: frozenset({Scope.REPORT}),
    Scope.ADMIN: frozenset({Scope.ADMIN, Scope.STREAM}),
}
"""What each scope lets its holder do. Reports need an operator, so `admin` does not bring them."""
SCOPES_MAX: Final = 64
"""Sets of scopes of which it is kept what they grant: more than there are."""


@lru_cache(SCOPES_MAX)
def _granted(scopes: tuple[str, ...]) -> frozenset[str]:
    return frozenset(granted for own in scopes for granted in GRANTS.get(own, ()))


class Credential(msgspec.Struct, frozen=True):
    """Who is asking: a key that was found to be good."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    operator: str | None
    """Name of the operator that it reports for. Its rights are looked up when they are used
    (`Keyring.reporter`): a credential may be as old as its connection."""

    def may(self, scope: Scope) -> bool:
        """Whether one of its scopes grants this one."""
        return scope in _granted(self.scopes)


DEMO_CREDENTIAL: Final = Credential(
    key_id=DEMO_KEY, name=DEMO_KEY, scopes=(Scope.STREAM.value,), operator=None
)
DEMO_RECORD: Final = KeyRecord(
    id=DEMO_KEY,
    name=DEMO_KEY,
    secret_sha256=b"",
    scopes=DEMO_CREDENTIAL.scopes,
    operator=None,
    created_at=0,
    expires_at=None,
    revoked_at=None,
    last_used_at=None,
)
"""What the demonstration's key would be in a store."""

VISITOR: Final = Credential(key_id="visitor", name="visitor", scopes=(Scope.STREAM.value,), operator=None)
"""Whoever looks without a key, where that is allowed. No key has this id: those of keys are longer."""


def create_key(
    secret_bytes: bytes,
    id_bytes: bytes,
    *,
    name: str,
    scopes: Iterable[str],
    operator: str | None,
    created_at: Millis,
    expires_at: Millis | None,
) -> tuple[str, KeyRecord]:
    """Makes a key: its text, to be shown once, and the record of it, which does not hold the secret.

    `secret_bytes` (at least 20) and `id_bytes` (at least 8) are random bytes from the operating system.

    Raises:
        BadRequest: the name, the scopes, the operator or the expiry cannot be so; says which and why.
        ValueError: too few random bytes, a mistake of the caller.
    """
    if len(secret_bytes) < SECRET_BYTES_MIN or len(id_bytes) < ID_BYTES_MIN:
        raise ValueError(
            f"a key needs {SECRET_BYTES_MIN} random bytes for its secret and {ID_BYTES_MIN} for its id"
        )
    granted = _scopes(scopes)
    if Scope.REPORT in granted and operator is None:
        raise BadRequest("the scope report needs an operator: a key reports for one operator only")
    if expires_at is not None and expires_at <= created_at:
        raise BadRequest("a key must expire after it was created")
    key_id = _base62(id_bytes, ID_LENGTH)
    secret = _base62(secret_bytes, SECRET_LENGTH)
    text = f"{KEY_PREFIX}_{key_id}_{secret}"
    record = KeyRecord(
        id=key_id,
        name=_name(name, "a key"),
        secret_sha256=_digest(secret),
        scopes=tuple(scope.value for scope in granted),
        operator=operator,
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=None,
        last_used_at=None,
    )
    return text + _checksum(text), record


def looks_like_key(text: str) -> bool:
    """Whether the text has the form and the checksum of a key. Says nothing of whether one was made."""
    return _FORM.fullmatch(text) is not None and text[-CHECKSUM_LENGTH:] == _checksum(text[:-CHECKSUM_LENGTH])


class Keyring:
    """All keys of one moment, found by their id. Made anew when the store's revision has grown."""

    def __init__(
        self, records: Iterable[KeyRecord], operators: Iterable[Operator], *, demo: bool = False
    ) -> None:
        self._operators = {operator.name: operator for operator in operators}
        self._demo = demo
        self._checksums: dict[str, str] = {}
        """Of keys that were shown, by their ids: each is computed once."""
        self._held = {
            record.id: (record, Credential(record.id, record.name, record.scopes, record.operator))
            for record in records
        }

    def __len__(self) -> int:
        """Number of keys, those that are revoked or expired too."""
        return len(self._held)

    def authenticate(self, text: str | None, now: Millis, scope: Scope) -> Credential:
        """Says whose key it is. Whether it was revoked or has expired is told to who knows the secret only.

        Raises:
            Unauthenticated: it is missing, is no key, is not one of ours, was revoked, or has expired.
            KeyPending: it waits to be approved.
            NotAllowed: it is good, but not for `scope`.
        """
        record, credential = self._known(text)
        _check_good(record, credential, now, scope)
        if scope is Scope.REPORT:
            self._operator(credential)
        return credential

    def reporter(self, key_id: str, now: Millis) -> Operator:
        """The operator that a key reports for, with the rights that it has now.

        Raises:
            Unauthenticated: the key is gone, was revoked, or has expired.
            KeyPending: it waits to be approved.
            NotAllowed: it does not report.
        """
        held = self._held.get(key_id)
        if held is None:
            raise Unauthenticated("the key no longer exists")
        record, credential = held
        _check_good(record, credential, now, Scope.REPORT)
        return self._operator(credential)

    def _operator(self, credential: Credential) -> Operator:
        found = None if credential.operator is None else self._operators.get(credential.operator)
        if found is None:
            raise NotAllowed("the key reports for an operator that does not exist")
        return found

    def is_live(self, key_id: str, now: Millis) -> bool:
        """Whether connections that were opened with this key may stay open."""
        if self._demo and key_id == DEMO_KEY:
            return True
        held = self._held.get(key_id)
        return held is not None and key_state(held[0], now) == "live"

    def holder(self, text: str | None, now: Millis) -> KeyRecord:
        """The record of a key that is good, for whatever, or waits to be approved.

        Raises:
            Unauthenticated: it is missing, is no key, is not one of ours, was revoked, or has expired.
        """
        record, _ = self._known(text)
        _check_live(record, now)
        return record

    def owner(self, text: str | None) -> str | None:
        """Id of the key whose text this is, whatever became of it; None where it is none of ours."""
        try:
            return self._known(text)[0].id
        except Unauthenticated:
            return None

    def __contains__(self, key_id: str) -> bool:
        """Whether there is a key with this id, one that ended too."""
        return key_id in self._held or (self._demo and key_id == DEMO_KEY)

    def _known(self, text: str | None) -> tuple[KeyRecord, Credential]:
        if not text:
            raise Unauthenticated("the key is missing")
        if self._demo and text == DEMO_KEY:
            return DEMO_RECORD, DEMO_CREDENTIAL
        form = _FORM.fullmatch(text)
        if form is None:
            raise _no_key()
        key_id, secret, checksum = form.groups()
        held = self._held.get(key_id)
        expected = held[0].secret_sha256 if held is not None else _NO_DIGEST
        is_right = hmac.compare_digest(_digest(secret), expected)
        if not (is_right and self._checksums.get(key_id) == checksum) and not looks_like_key(text):
            raise _no_key()
        if not is_right or held is None:
            raise Unauthenticated("not a valid key")
        self._checksums[key_id] = checksum
        return held


def _no_key() -> Unauthenticated:
    return Unauthenticated("not a valid key: it is incomplete, mistyped, or from another server")


def key_state(record: KeyRecord, now: Millis) -> Literal["live", "pending", "expired", "revoked"]:
    """A key in one word."""
    if record.revoked_at is not None:
        return "revoked"
    if record.expires_at is not None and record.expires_at <= now:
        return "expired"
    return "pending" if record.pending else "live"


class Reach:
    """Which EVSEs an operator may report on: all, those of its parties, those whose ids begin with a prefix.

    Made once for many EVSEs: each costs a few looks, however many parties and prefixes there are.
    """

    __slots__ = ("_all", "_parties", "_prefixes", "operator")

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self._all = operator.all
        self._parties = frozenset(operator.parties)
        self._prefixes: list[str] = []
        """Sorted, and none begins with another: an id begins with the last one that is not after it, or with
        none."""
        for prefix in sorted(operator.prefixes):
            if not self._prefixes or not prefix.startswith(self._prefixes[-1]):
                self._prefixes.append(prefix)

    def covers(self, evse: Evse) -> bool:
        """Whether the operator may report on an EVSE.

        The party is what the register says, never what the EVSE id seems to say.
        """
        if self._all or evse.party in self._parties:
            return True
        prefixes = self._prefixes
        if not prefixes:
            return False
        key = evse.key
        # What is before all of them is compared with the last one (-1), which does not begin it either.
        if key.startswith(prefixes[bisect_right(prefixes, key) - 1]):
            return True
        return any(form.startswith(prefixes[bisect_right(prefixes, form) - 1]) for form in prefixed(evse)[1:])


def prefixed(evse: Evse) -> tuple[str, ...]:
    """What a prefix is the beginning of: the EVSE's key, and its EVSE id where it is not held by that."""
    key = evse_key(evse.evse_id or "")
    return (evse.key, key) if key and key != evse.key else (evse.key,)


def may_register(operator: Operator, station: Station) -> bool:
    """Whether the operator may bring the station into the registry, or change it there.

    It has that right at all, and the party of each of the station's EVSEs. A prefix is not enough: it says
    nothing of EVSEs that have no id yet.
    """
    return operator.may_register and (
        operator.all or all(evse.party in operator.parties for evse in station.evses)
    )


def rightful(operator: Operator, draft: StationDraft) -> StationDraft:
    """The operator's description of a station, without EVSE ids of others: each is noted.

    It may give its EVSEs ids of its own parties and prefixes. An EVSE whose id names one of its parties is
    that party's, whoever the station is of.
    """
    if operator.all:
        return draft
    evses: list[Evse] = []
    notes: list[str] = []
    for evse in draft.station.evses:
        key = evse_key(evse.evse_id or evse.key)
        party = party_in(key)
        own = evse
        if party is not None and party in operator.parties:
            own = msgspec.structs.replace(evse, party=party)
        elif key and not key.startswith(operator.prefixes):
            own = msgspec.structs.replace(evse, key="", evse_id=None)
            written = quoted(evse.evse_id or key, PREFIX_CHARACTERS_MAX)
            notes.append(f"the EVSE id {written} was left out: it is of no party or prefix of the operator")
        evses.append(own)
    station = msgspec.structs.replace(draft.station, evses=tuple(evses))
    return msgspec.structs.replace(draft, station=station, notes=(*draft.notes, *notes))


def operator_from(
    name: str,
    *,
    parties: Sequence[str] = (),
    prefixes: Sequence[str] = (),
    all_evses: bool = False,
    stale_after_s: int | None = None,
    may_register: bool = False,
) -> Operator:
    """An operator from what people write: `FR*ABC`, `fr-abc` and `FRABC` are one party.

    Raises:
        BadRequest: says which of them cannot be so, and why.
    """
    if local_key(name) == local_key(REGISTER_SOURCE):
        raise BadRequest(
            f"{quoted(REGISTER_SOURCE)} is the source of statuses that registers carry; choose another name"
        )
    if not (all_evses or parties or prefixes):
        raise BadRequest("an operator needs a party, a prefix or the right to report on all EVSEs")
    if len(parties) > PARTIES_MAX or len(prefixes) > PREFIXES_MAX:
        raise BadRequest(f"an operator has at most {PARTIES_MAX} parties and {PREFIXES_MAX} prefixes")
    if stale_after_s is not None and not 0 < stale_after_s <= STALE_AFTER_S_MAX:
        raise BadRequest(f"stale_after_s is {stale_after_s}; it must be from 1 to {STALE_AFTER_S_MAX}")
    if may_register and not (all_evses or parties):
        raise BadRequest(
            "an operator that registers stations needs a party; a prefix does not identify the owner"
        )
    return Operator(
        name=_name(name, "an operator"),
        parties=tuple(dict.fromkeys(map(_party, parties))),
        prefixes=tuple(dict.fromkeys(map(_prefix, prefixes))),
        all=all_evses,
        stale_after_s=stale_after_s,
        may_register=may_register,
    )


def _check_good(record: KeyRecord, credential: Credential, now: Millis, scope: Scope) -> None:
    _check_live(record, now)
    if record.pending:
        raise KeyPending("the key is waiting for the administrator's approval")
    if not credential.may(scope):
        raise NotAllowed(f"the key is not for {scope}: it has the scope {' and '.join(credential.scopes)}")


def _check_live(record: KeyRecord, now: Millis) -> None:
    match key_state(record, now):
        case "revoked":
            raise Unauthenticated("the key was revoked")
        case "expired":
            raise Unauthenticated("the key has expired")


def _scopes(scopes: Iterable[str]) -> tuple[Scope, ...]:
    given = set(scopes)
    unknown = given - set(Scope)
    if unknown or not given:
        what = f"{quoted(min(unknown), 40)} is no scope" if unknown else "a key needs a scope"
        raise BadRequest(f"{what}; write one or more of {', '.join(Scope)}")
    return tuple(scope for scope in Scope if scope in given)


def _name(name: str, what: str) -> str:
    name = name.strip()
    if not name or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise BadRequest(f"{what} needs a name of 1 to {NAME_CHARACTERS_MAX} printable characters")
    return name


def _party(written: str) -> str:
    party = evse_key("".join(written.split()))
    if _PARTY.fullmatch(party) is None:
        raise BadRequest(
            f"{quoted(written, 40)} is no party; write the two letters of the country"
            " and the three letters or digits of the operator, such as FR*ABC"
        )
    return party


def _prefix(written: str) -> str:
    prefix = written.strip().upper().translate(WIRE_SEPARATORS).removeprefix("+")
    if len(prefix) < PREFIX_CHARACTERS_MIN or len(prefix) > PREFIX_CHARACTERS_MAX:
        raise BadRequest(
            f"the prefix {quoted(written, 60)} has {len(prefix)} characters without separators;"
            f" {PREFIX_CHARACTERS_MIN} to {PREFIX_CHARACTERS_MAX} are possible"
        )
    if not written.isascii() or _PREFIX.fullmatch(prefix) is None:
        raise BadRequest(f"the prefix {quoted(written, 60)} has characters that no EVSE id begins with")
    return prefix


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("ascii")).digest()


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode("ascii")).to_bytes(4, "big"), CHECKSUM_LENGTH)


def _base62(content: bytes, length: int) -> str:
    """The lowest `length` digits of the bytes read as one number."""
    number = int.from_bytes(content, "big")
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
