"""What an import tells: the summary on standard output, and every single thing in a file.

Knows how it is written. What there is to tell is decided by `core.merge`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import msgspec

from ladestrom.cli.where import say
from ladestrom.errors import InvalidSetting
from ladestrom.ports.registry import Difference, Fate, RecordNote, StationOutcome
from ladestrom.quoting import cause, quoted

if TYPE_CHECKING:
    from typing import BinaryIO

    from ladestrom.ports.registry import ImportReport, Told

REASONS_SHOWN_MAX: Final = 20
FIELDS_SHOWN_MAX: Final = 12
LISTED_MAX: Final = 1_000
"""Stations listed of each kind, as many as refusals and notes are kept of."""
DIFFERENCES_LISTED_MAX: Final = 20
"""Of one station. All of them are in the file of `--report`."""
DIFFERENCES_KEPT_MAX: Final = DIFFERENCES_LISTED_MAX + 1
UNSEEN: Final = "what is not kept"
"""The field of a station that says something else than before only in what is not taken."""

_PARTICULAR: Final = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"|\([^)]*\)|\b\w*[0-9][\w.*:-]*")
"""What differs between two refusals for the same reason: quotations, ids, numbers."""
_encode = msgspec.json.Encoder().encode


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the file: one refusal, one note, or what became of one station."""

    kind: str
    record: str = ""
    reason: str = ""
    note: str = ""
    uuid: str = ""
    native_id: str = ""
    fields: tuple[Difference, ...] = ()


class _Summary(msgspec.Struct, frozen=True):
    """The last line of the file. A file without it is not complete."""

    kind: str
    register: str
    dry_run: bool
    added: int
    changed: int
    unchanged: int
    removed: int
    returned: int
    refused: int
    noted: int
    evses: int
    changed_fields: dict[str, int]


class Telling:
    """Hears of everything that an import does: counts it, keeps the beginning for `--list`, and writes it to
    the file of `--report` as it comes. A context manager.

    Raises:
        InvalidSetting: on entry: the file cannot be written. What fails later is said at the end; the import
            may have been done by then.
    """

    def __init__(self, file: Path | None) -> None:
        self.fields: Counter[str] = Counter()
        """How many stations changed in each field."""
        self.changed: list[StationOutcome] = []
        """The first ones."""
        self._file = file
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Self:
        if self._file is not None:
            try:
                self._stream = self._file.open("wb")
            except OSError as error:
                told = f"--report {quoted(str(self._file))} cannot be written: {cause(error)}"
                raise InvalidSetting(f"{told}; nothing was changed") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __call__(self, told: Told) -> None:
        """Takes in one thing."""
        if isinstance(told, StationOutcome):
            if told.fate is Fate.CHANGED:
                # By their order in the record, where as many stations changed in each.
                self.fields.update(list(dict.fromkeys(each.field for each in told.differences)) or [UNSEEN])
                if len(self.changed) < LISTED_MAX:
                    self.changed.append(
                        msgspec.structs.replace(told, differences=told.differences[:DIFFERENCES_KEPT_MAX])
                    )
            line = _Line(told.fate, uuid=told.uuid, native_id=told.native_id, fields=told.differences)
        elif isinstance(told, RecordNote):
            line = _Line("noted", record=told.record, note=told.note)
        else:
            line = _Line("refused", record=told.record, reason=told.reason)
        self._write(line)

    def end(self, register: str, report: ImportReport, *, dry_run: bool) -> None:
        """Writes the last line."""
        self._write(
            _Summary(
                "summary",
                register,
                dry_run,
                added=len(report.added),
                changed=len(report.changed),
                unchanged=report.unchanged,
                removed=len(report.vanished),
                returned=len(report.returned),
                refused=report.refused_count,
                noted=report.notes_count,
                evses=report.evses,
                changed_fields=dict(self.fields.most_common()),
            )
        )
        self._close()

    def _write(self, line: _Line | _Summary) -> None:
        if self._stream is not None:
            try:
                self._stream.write(_encode(line) + b"\n")
            except OSError as error:
                self._fail(error)

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.close()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        stream, self._stream = self._stream, None
        say(f"the report {self._file} is incomplete: {cause(error)}")
        if stream is not None:
            with suppress(OSError):
                stream.close()


def show(register: str, report: ImportReport, telling: Telling, *, dry_run: bool, listing: bool) -> None:
    """Prints the summary, with `listing` every station, refusal and note (the first 1,000 of each)."""
    if dry_run:
        print("dry run: nothing was changed. The import would result in")
    rows = (
        ("added", len(report.added)),
        ("changed", len(report.changed)),
        ("unchanged", report.unchanged),
        ("removed", len(report.vanished)),
        ("returned", len(report.returned)),
        ("refused", report.refused_count),
        ("noted", report.notes_count),
    )
    for word, count in rows:
        print(f"{word:<9}  {count:>9,}{_fields(telling.fields) if word == 'changed' else ''}")
    print(f"the register {register} now has {report.evses:,} EVSEs")
    _print_kinds(
        "refused", [(each.record, each.reason) for each in report.refused], report.refused_count, listing
    )
    _print_kinds("noted", [(each.record, each.note) for each in report.notes], report.notes_count, listing)
    if not listing:
        if report.changed or report.refused_count or report.notes_count:
            print("\n--list shows every record with its refusals, notes and changes")
        return
    _print_uuids("added", report.added)
    _print_changed(telling.changed, len(report.changed))
    _print_uuids("removed", report.vanished)
    _print_uuids("returned", report.returned)


def _fields(counts: Counter[str]) -> str:
    """In how many stations each field changed, as it stands behind the number of stations that did."""
    shown = [f"{field} {count:,}" for field, count in counts.most_common(FIELDS_SHOWN_MAX)]
    if len(counts) > FIELDS_SHOWN_MAX:
        shown.append(f"and {len(counts) - FIELDS_SHOWN_MAX} more")
    return f": {', '.join(shown)}" if shown else ""


def _print_uuids(word: str, uuids: Sequence[str]) -> None:
    if uuids:
        print(f"\n{word}:")
        for uuid in uuids[:LISTED_MAX]:
            print(f"  {uuid}")
        _print_rest(len(uuids) - LISTED_MAX)


def _print_changed(changed: Sequence[StationOutcome], count: int) -> None:
    if changed:
        print("\nchanged:")
        for station in changed:
            print(f"  {station.uuid}")
            for each in station.differences[:DIFFERENCES_LISTED_MAX]:
                print(f"    {_of(each)}: {quoted(each.before)} -> {quoted(each.after)}")
            if len(station.differences) > DIFFERENCES_LISTED_MAX:
                print("    and more; --report FILE writes all of them")
            if not station.differences:
                print(f"    {UNSEEN}")
        _print_rest(count - LISTED_MAX)


def _print_rest(count: int) -> None:
    if count > 0:
        print(f"  and {count:,} more")


def _of(difference: Difference) -> str:
    place = "" if difference.connector is None else f", connector {difference.connector}"
    return f"{difference.field} of {difference.evse}{place}" if difference.evse else difference.field


def _print_kinds(what: str, told: Sequence[tuple[str, str]], count: int, listing: bool) -> None:
    """What was refused or noted: how often each reason, with an example, or every record."""
    if not count:
        return
    of_all = "" if len(told) == count else f" (of the first {len(told):,})"
    if listing:
        print(f"\n{what}{of_all}:")
        for record, text in told:
            print(f"  {record}: {text}")
        return
    kinds = Counter(_PARTICULAR.sub("...", text) for _, text in told)
    examples = {_PARTICULAR.sub("...", text): (record, text) for record, text in reversed(told)}
    print(f"\n{what}, by reason{of_all}:")
    for kind, number in kinds.most_common(REASONS_SHOWN_MAX):
        record, text = examples[kind]
        print(f"  {number:>7,}  {kind}")
        print(f"           for example {record}: {text}")
    if len(kinds) > REASONS_SHOWN_MAX:
        print(f"  and {len(kinds) - REASONS_SHOWN_MAX} more reasons")
