"""What goes between the processes of one server: frames, paths, metrics."""

from __future__ import annotations

import pytest

from ladestrom.inner.forwarding import Local
from ladestrom.inner.frames import FRAME_BYTES_MAX, Confirmed, Frame, Hello, Stands, Unpacker, encoded
from ladestrom.inner.merging import Exposition

FRAMES: list[Frame] = [
    Hello("epoch", 1),
    Stands(5, 1, None, {"log": "full"}),
    Confirmed([("S", "E", 3, 4)]),
]


@pytest.mark.parametrize("size", [1, 3, 7, 1_000])
def test_frames_are_found_in_whatever_pieces_they_come(size: int) -> None:
    data = b"".join(map(encoded, FRAMES))
    unpacker = Unpacker()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert [frame for piece in pieces for frame in unpacker.feed(piece)] == FRAMES


@pytest.mark.parametrize("data", [(FRAME_BYTES_MAX + 1).to_bytes(4, "big"), b"\0\0\0\x01\xc1"])
def test_what_is_no_frame_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        Unpacker().feed(data)


def test_a_process_answers_its_own_paths_and_those_below_them() -> None:
    local = Local(
        ["/", "/api/v2/stations", "/api/v2/stations/{uuid}", "/api/v2/tickets"], ["/api/v2/tickets"]
    )
    for path in ("/", "/api/v2/stations", "/api/v2/stations/", "/api/v2/stations/NOR_01333/history"):
        assert path in local
    for path in ("/api/v2/tickets", "/api/v2/stationsx", "/api/v2", "/api/v2/reports", "/inner/x", "//"):
        assert path not in local


def test_metrics_of_several_processes_are_labelled_and_said_once() -> None:
    merged = Exposition()
    text = b"# HELP a_total What.\n# TYPE a_total counter\na_total 1.0\n# HELP b Other {x}.\n# TYPE b gauge\n"
    merged.add("writer", text + b'b{of="a b"} 2.0\n')
    merged.add("reader-1", text + b'b{of="c"} 3.0\n# HELP c C.\n# TYPE c gauge\nc 4.0\n')
    assert merged.text().decode().splitlines() == [
        "# HELP a_total What.",
        "# TYPE a_total counter",
        'a_total{process="writer",role="writer"} 1.0',
        'a_total{process="reader-1",role="reader"} 1.0',
        "# HELP b Other {x}.",
        "# TYPE b gauge",
        'b{process="writer",role="writer",of="a b"} 2.0',
        'b{process="reader-1",role="reader",of="c"} 3.0',
        "# HELP c C.",
        "# TYPE c gauge",
        'c{process="reader-1",role="reader"} 4.0',
    ]
