"""What the process that writes tells the others beside the log: its frames, and their bytes.

A frame is its length, 4 bytes, and MessagePack.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ladestrom.model import Millis, StatusReport
from ladestrom.ports.signals import Confirmation

FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of one frame: 2,000 confirmations are 120 KB, and raw messages are sent in parts."""
_LENGTH_BYTES: Final = 4


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The first frame: which log it is, and whom the writer takes this connection for."""

    epoch: str
    number: int


class Stands(msgspec.Struct, frozen=True, tag="stands"):
    """Where the log stands: said after each append, and twice a second."""

    last: int
    first: int
    oldest_at: Millis | None
    reasons: dict[str, str] | None = None
    """Why the writer is not ready, by check; None where the frame does not say."""


class Confirmed(msgspec.Struct, frozen=True, tag="confirmed"):
    """States that were observed again (`ports.signals.Listener`)."""

    confirmations: list[Confirmation]


class Heard(msgspec.Struct, frozen=True, tag="heard"):
    """Reports that were received: key of the EVSE, the report, when it was observed."""

    reports: list[tuple[str, StatusReport, Millis]]


class Rights(msgspec.Struct, frozen=True, tag="rights"):
    """Who may do what is something else from this revision of the store on."""

    revision: int


class Measure(msgspec.Struct, frozen=True, tag="measure"):
    """Somebody asks for metrics: tell yours, with this number."""

    number: int


Frame = Hello | Stands | Confirmed | Heard | Rights | Measure

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Frame).decode


class KeyUse(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was done with a key at one process since that began."""

    requests: int = 0
    refused: int = 0
    connections: int = 0
    """Open now."""
    connections_total: int = 0
    messages: int = 0
    bytes: int = 0


class Standing(msgspec.Struct, frozen=True):
    """What a process that follows tells of itself, each second and when what it wants changes."""

    number: int
    """That of its `Hello`."""
    process: str
    seq: int
    """Sequence up to which its consumers were served."""
    wants_heard: bool
    consumers: int
    channels: int
    """Different selections in use."""
    bytes_out: int
    frames: int
    uses: dict[str, KeyUse] = {}
    """By key."""


def encoded(frame: Frame) -> bytes:
    """The bytes of a frame."""
    body = _encode(frame)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class Unpacker:
    """Frames out of pieces of a stream."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole by now.

        Raises:
            ValueError: these are no frames.
        """
        buffer = self._buffer
        buffer += data
        found: list[Frame] = []
        start = 0
        while len(buffer) - start >= _LENGTH_BYTES:
            size = int.from_bytes(buffer[start : start + _LENGTH_BYTES], "big")
            if size > FRAME_BYTES_MAX:
                raise ValueError(f"a frame of {size} bytes")
            end = start + _LENGTH_BYTES + size
            if len(buffer) < end:
                break
            # msgspec's errors are ValueErrors.
            found.append(_decode(bytes(buffer[start + _LENGTH_BYTES : end])))
            start = end
        del buffer[:start]
        return found
