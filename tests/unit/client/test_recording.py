"""Recordings: two forms, in order of time, with the bad lines named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.client.recording import BAD_LINES_KEPT_MAX, read_recording
from ladestrom.client.reports import Observation
from ladestrom.errors import TooLarge
from ladestrom.model import Status

C, A = Status.CHARGING, Status.AVAILABLE


def told(*lines: str) -> list[tuple[int, str, Status]]:
    recording = read_recording(line.encode() for line in lines)
    assert recording.bad_count == 0
    return [(each.observed_at, each.evse, each.status) for each in recording.observations]


def test_a_session_is_charging_from_its_start_and_available_from_its_end() -> None:
    line = '{"energy":46.5,"start":1733848096000,"end":1733850582000,"id_pdc_itinerance":"FRHPCE1"}'
    assert told(line) == [(1733848096000, "FRHPCE1", C), (1733850582000, "FRHPCE1", A)]


def test_sessions_are_merged_in_order_of_time() -> None:
    lines = (
        '{"start":5,"end":9,"id_pdc_itinerance":"B"}',
        "",
        '{"start":1,"end":7,"id_pdc_itinerance":"A"}',
    )
    assert told(*lines) == [(1, "A", C), (5, "B", C), (7, "A", A), (9, "B", A)]


def test_a_place_that_is_handed_over_ends_before_it_starts_again() -> None:
    lines = (
        '{"start":5,"end":9,"id_pdc_itinerance":"A"}',
        '{"start":1,"end":5,"id_pdc_itinerance":"A"}',
    )
    assert told(*lines) == [(1, "A", C), (5, "A", A), (5, "A", C), (9, "A", A)]


@pytest.mark.parametrize(
    "lines",
    [
        ("ts_ms,id,occupied", "7,FR*A*E1,1", "3,FR*A*E1,0"),
        ("7,FR*A*E1,1", "3,FR*A*E1,0"),
        ("\ufeffts_ms,id,occupied\r\n", "7,FR*A*E1,true\r\n", "3,FR*A*E1,False\r\n"),
        ('"occupied","source","id","ts_ms"', '1,x,"FR*A*E1",7', "0,x,FR*A*E1, 3"),
    ],
)
def test_csv_is_read_with_and_without_header(lines: tuple[str, ...]) -> None:
    assert told(*lines) == [(3, "FR*A*E1", A), (7, "FR*A*E1", C)]


@pytest.mark.parametrize(
    "line",
    [
        b'{"start":5,"end":5,"id_pdc_itinerance":"A"}',
        b'{"start":5,"end":4,"id_pdc_itinerance":"A"}',
        b'{"start":-5,"end":4,"id_pdc_itinerance":"A"}',
        b'{"start":5,"end":9999999999999999,"id_pdc_itinerance":"A"}',
        b'{"start":5,"end":6,"id_pdc_itinerance":""}',
        b'{"start":"5","end":6,"id_pdc_itinerance":"A"}',
        b'{"start":5,"end":6}',
        b'{"start":5,',
        b'{"start":5,"end":6,"id_pdc_itinerance":"\xff"}',
        b"1,A,1",
    ],
)
def test_a_bad_session_is_named_by_its_line_and_the_rest_is_read(line: bytes) -> None:
    recording = read_recording(
        [
            b'{"start":1,"end":2,"id_pdc_itinerance":"G"}',
            line,
            b"",
            b'{"start":3,"end":4,"id_pdc_itinerance":"G"}',
        ]
    )
    assert len(recording.observations) == 4
    assert [bad.line for bad in recording.bad] == [2]
    assert recording.bad[0].why
    assert recording.lines == 4


@pytest.mark.parametrize(
    "line",
    [b"1,A", b"x,A,1", b"1,,1", b"1,A,2", b"1," + b"A" * 256 + b",1", b"1,\xff,1", b"9" * 40 + b",A,1"],
)
def test_a_bad_row_is_named_by_its_line_and_the_rest_is_read(line: bytes) -> None:
    recording = read_recording([b"ts_ms,id,occupied", line, b"1,G,1"])
    assert [each.evse for each in recording.observations] == ["G"]
    assert [bad.line for bad in recording.bad] == [2]


def test_a_header_that_lacks_a_column_is_a_bad_line() -> None:
    recording = read_recording([b"ts_ms,id", b"1,A,1"])
    assert [bad.why for bad in recording.bad] == ["the header lacks occupied"]


def test_only_so_many_bad_lines_are_kept_but_all_are_counted() -> None:
    recording = read_recording([b"x"] * (BAD_LINES_KEPT_MAX + 5))
    assert (len(recording.bad), recording.bad_count) == (BAD_LINES_KEPT_MAX, BAD_LINES_KEPT_MAX + 5)


def test_a_recording_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge, match="line 3"):
        read_recording([b"1,A,1"] * 3, observations_max=2)


def test_an_empty_recording_holds_nothing() -> None:
    assert read_recording([]).observations == []


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.sampled_from("AB")), max_size=30),
)
def test_the_order_of_the_lines_does_not_matter(rows: list[tuple[int, int, str]]) -> None:
    lines = [
        b'{"start":%d,"end":%d,"id_pdc_itinerance":"%s"}' % (at, at + length, evse.encode())
        for at, length, evse in rows
    ]

    def by_evse(observations: list[Observation]) -> list[list[Observation]]:
        return [[each for each in observations if each.evse == evse] for evse in "AB"]

    forwards = read_recording(lines)
    backwards = read_recording(reversed(lines))
    assert by_evse(list(forwards.observations)) == by_evse(list(backwards.observations))


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_bytes_are_lines_or_bad_lines(lines: list[bytes]) -> None:
    recording = read_recording(lines)
    assert recording.lines == len(lines)
    assert recording.bad_count <= len(lines)
