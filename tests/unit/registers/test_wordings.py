from __future__ import annotations

import pytest

from ladestrom.core.fields import Notes
from ladestrom.registers import wordings
from ladestrom.registers.wordings import Wordings


def reader(read: list[tuple[object, ...]]) -> Wordings[list[object]]:
    def once(said: tuple[object, ...], notes: Notes) -> list[object]:
        read.append(said)
        notes.add(f"read {said[0]}")
        return list(said)

    return Wordings(once, 5)


def test_equal_values_are_read_once_and_noted_each_time() -> None:
    read: list[tuple[object, ...]] = []
    own = reader(read)
    first, second = Notes(5), Notes(5)
    assert own.of(("a", None), first) is own.of(("a", None), second)
    assert read == [("a", None)]
    assert first.all() == second.all() == ("read a",)


def test_equal_values_of_other_types_are_not_the_same() -> None:
    read: list[tuple[object, ...]] = []
    own = reader(read)
    for value in (1, True, 1.0):
        own.of((value,), Notes(5))
    assert len(read) == 3


def test_a_list_is_read_each_time() -> None:
    read: list[tuple[object, ...]] = []
    own = reader(read)
    notes = Notes(5)
    assert own.of(([1],), notes) is not own.of(([1],), notes)
    assert notes.all() == ("read [1]",)


def test_they_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordings, "WORDINGS_MAX", 2)
    read: list[tuple[object, ...]] = []
    own = reader(read)
    for value in "abca":
        own.of((value,), Notes(5))
    assert [said[0] for said in read] == ["a", "b", "c", "a"]
