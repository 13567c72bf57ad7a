"""IRVE dynamique, the French schema of statuses: its words, and its file, pushed or asked for.

Knows version 2.3.1 of the schema and the drafts of version 3, which add a plug and want times in UTC. Must
not know the registry: points are named by their `id_pdc_itinerance`, whatever country they are in.

What a row says of single plugs is not used: an EVSE has one status, and the state of the point decides it.

Source: schema-irve-dynamique 2.3.1.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from functools import partial
from typing import Final

import msgspec

from ladestrom.core.words import Vocabulary
from ladestrom.errors import BadRequest, LadestromError, MalformedBody, TooLarge
from ladestrom.model import Millis, Operator, Reason, Receipt, Status
from ladestrom.problem import MEDIA_TYPE, problem
from ladestrom.protocols import plain
from ladestrom.protocols.conditional import asked, partly, remembered
from ladestrom.protocols.delivery import Delivery, Gathering, ParseLimits, Problem, instant, shown
from ladestrom.protocols.interfaces import Answer, Memory, PullSettings, Request, Round, reading
from ladestrom.quoting import quoted

ID: Final = "id_pdc_itinerance"
STATE: Final = "etat_pdc"
OCCUPATION: Final = "occupation_pdc"
TIME: Final = "horodatage"
REQUIRED: Final = (ID, STATE, OCCUPATION, TIME)

PAIRS: Final[dict[tuple[str, str], Status]] = {
    ("en_service", "libre"): Status.AVAILABLE,
    ("en_service", "occupe"): Status.CHARGING,
    ("en_service", "reserve"): Status.RESERVED,
    ("en_service", "inconnu"): Status.UNKNOWN,
    ("hors_service", "libre"): Status.OUTOFORDER,
    ("hors_service", "occupe"): Status.OUTOFORDER,
    ("hors_service", "reserve"): Status.OUTOFORDER,
    ("hors_service", "inconnu"): Status.OUTOFORDER,
    ("inconnu", "libre"): Status.UNKNOWN,
    ("inconnu", "occupe"): Status.CHARGING,
    ("inconnu", "reserve"): Status.RESERVED,
    ("inconnu", "inconnu"): Status.UNKNOWN,
}
"""`etat_pdc` and `occupation_pdc`. A point that is out of service is so whoever stands there; one that is
taken is taken, whatever is known of its state; that it is free says nothing where its state is unknown."""
_SAID: Final = {words: (status, "/".join(words)) for words, status in PAIRS.items()}
"""Status and raw value."""
_STATES: Final = Vocabulary({state: state for state, _ in PAIRS})
_OCCUPATIONS: Final = Vocabulary({occupation: occupation for _, occupation in PAIRS})
OUT_OF_SERVICE: Final = "hors_service"

_NOT_ALL: Final = "the file is cut off or has rows that cannot be read, so no point was taken for missing"
DELIMITERS: Final = (",", ";", "\t", "|")
EXTENT: Final = "extent"
"""Name of the query parameter and of the option that say what a file holds."""
SNAPSHOT: Final = "snapshot"
DELTA: Final = "delta"


class IrveStatus(msgspec.Struct, frozen=True, gc=False):
    """What is read of a row, or of an object of the same members."""

    id_pdc_itinerance: str
    etat_pdc: str
    occupation_pdc: str
    horodatage: str


def gather(gathering: Gathering, row: IrveStatus | Problem, *, refuses_words: bool = False) -> bool:
    """Takes one row; whether it is taken. `refuses_words` is for senders who read what is refused: no word is
    unmapped there.
    """
    if isinstance(row, Problem):
        gathering.refuse(row.reason, row.detail)
        return False
    said = _SAID.get((row.etat_pdc, row.occupation_pdc)) or _respelled(row)
    if said[0] is None and refuses_words:
        name, value = (
            (STATE, row.etat_pdc) if _STATES.find(row.etat_pdc) is None else (OCCUPATION, row.occupation_pdc)
        )
        gathering.refuse(Reason.INVALID_STATUS, f"{name} {quoted(shown(value))} is not a value of the schema")
        return False
    written = row.horodatage
    try:
        observed_at = instant(written) if written.strip() or refuses_words else None
    except (ValueError, OverflowError):
        gathering.refuse(
            Reason.INVALID_TIME,
            f"{TIME} {quoted(shown(written))} is not ISO 8601; write 2026-11-22T10:00:00+01:00",
        )
        return False
    return gathering.word(row.id_pdc_itinerance.strip(), said[0], observed_at, said[1])


def _respelled(row: IrveStatus) -> tuple[Status | None, str]:
    """What a row says in another spelling; None where one of its words is not the schema's."""
    state = _STATES.find(row.etat_pdc)
    occupation = _OCCUPATIONS.find(row.occupation_pdc)
    status = None if state is None or occupation is None else PAIRS[state, occupation]
    if state == OUT_OF_SERVICE:
        status = Status.OUTOFORDER
    return status, f"{row.etat_pdc}/{row.occupation_pdc}"


def receive(body: bytes, source: str, limits: ParseLimits, *, complete: bool = False) -> Delivery:
    """Reads a file. A row that cannot be read costs no other.

    Times without a zone are UTC, as version 3 has it. Where there is none, the row is as new as its file.

    A file that is `complete` is so only if it has its end, and if each of its rows says which point it is of:
    what is cut off, or cannot be read, may be of any point that is not named.

    Raises:
        MalformedBody: it has no header with the schema's columns; nothing of it is used.
        TooLarge: it has more than `limits.items_max` rows; nothing of it is used.
    """
    gathering, rows = Gathering(source), _Rows(body)
    is_taken = True
    for count, row in enumerate(rows, start=1):
        if count > limits.items_max:
            raise TooLarge(f"the file has more than {limits.items_max} rows: split it")
        is_taken = gather(gathering, row)
        complete = complete and isinstance(row, IrveStatus) and bool(row.id_pdc_itinerance.strip())
    is_cut = rows.is_cut or not (is_taken or rows.has_line_end)
    return gathering.delivery(complete=complete and not is_cut)


class IrveDynamique:
    """`POST /push/irve`: a file; with `?extent=snapshot` it has all points of its sender."""

    name = "irve"

    def receive(self, request: Request, operator: Operator, limits: ParseLimits) -> Delivery:
        """Implements `Push.receive`."""
        complete = _is_complete(request.query.get(EXTENT, DELTA))
        return receive(request.body, operator.name, limits, complete=complete)

    def answer(self, request: Request, delivery: Delivery, receipt: Receipt) -> Answer:  # noqa: ARG002 - a push
        """The receipt of the plain interface; `index` counts the file's rows from 0, its header left out."""
        return Answer(200, plain.answer(receipt))

    def refuse(self, request: Request, error: LadestromError) -> Answer:  # noqa: ARG002 - a push
        """Problem details."""
        return Answer(error.status, problem(error), MEDIA_TYPE)


def pull(settings: PullSettings, memory: Memory, now: Millis) -> Round:
    """Asks for a file at an address, and for its whole only where it changed or was not read for long.

    Options: `extent` is `delta` where the file does not have all points of its source.

    Raises:
        SourceFailure: the answer is neither a file nor says that there is nothing new.
        MalformedBody, TooLarge: as `receive`.
    """
    answered = yield from asked(settings, memory, now, "text/csv")
    if answered is None:
        return memory
    complete = _is_complete(settings.options.get(EXTENT, SNAPSHOT))
    body = answered.body
    delivery = yield from reading(
        body, partial(receive, body, settings.source, settings.limits, complete=complete)
    )
    yield delivery
    return partly(now, _NOT_ALL) if complete and not delivery.complete else remembered(answered, now)


def _is_complete(extent: str) -> bool:
    if extent not in {SNAPSHOT, DELTA}:
        raise BadRequest(f"{EXTENT} is {quoted(shown(extent))}; it is {SNAPSHOT} or {DELTA}")
    return extent == SNAPSHOT


class _Rows:
    """The rows of a file, and whether its end is there, which is known when all were gone through."""

    def __init__(self, body: bytes) -> None:
        self._text = _text(body).lstrip("\ufeff\r\n")
        self.has_line_end = self._text.endswith(("\n", "\r"))
        """Whether the last row has. It need not: a row that has all of its fields is taken for whole."""
        self.is_cut = False
        """Whether the last row has neither that nor as many fields as the one before it, or as the header.
        Rows that cannot be read are left out."""

    def __iter__(self) -> Iterator[IrveStatus | Problem]:
        text = self._text
        head = text[: text.find("\n") if "\n" in text else len(text)]
        lines = io.StringIO(text, newline="")
        delimiter = max(DELIMITERS, key=head.count)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        places, width = _places(reader)
        most = max(places)
        evse, state, occupation, time = places
        usual = last = width
        while True:
            begin = lines.tell()
            try:
                for row in reader:
                    if len(row) > most:
                        usual, last = last, len(row)
                        yield IrveStatus(row[evse], row[state], row[occupation], row[time])
                    elif any(row):
                        yield Problem(
                            Reason.INVALID_ITEM, f"the row has {len(row)} fields, fewer than its header"
                        )
                    begin = lines.tell()
                break
            except csv.Error as error:
                yield Problem(Reason.INVALID_ITEM, f"the row is not valid CSV: {error}")
                # A quote that is not closed takes lines that follow, to the next one: they are rows of their
                # own.
                lines.seek(begin)
                lines.readline()
                reader = csv.reader(lines, delimiter=delimiter, strict=True)
        self.is_cut = not self.has_line_end and last < usual


def _text(body: bytes) -> str:
    """A file in UTF-8, or as spreadsheets save it: UTF-16 with its mark, or Windows-1252 (`occupé`)."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16", errors="replace")
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("windows-1252", errors="replace")


def _places(reader: Iterator[list[str]]) -> tuple[tuple[int, ...], int]:
    """Where in a row the required columns stand, and how many columns there are."""
    try:
        header = [name.strip().lower() for name in next(reader, [])]
    except csv.Error as error:
        raise MalformedBody(f"the header cannot be read as CSV: {error}") from error
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise MalformedBody(f"the file has no column {', '.join(missing)}: it is not IRVE dynamique")
    return tuple(header.index(name) for name in REQUIRED), len(header)
