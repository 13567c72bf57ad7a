"""Payloads to WebSocket text frames, ready-made and shared by all consumers.

Source: RFC 6455, section 5.2 (frame header; a server does not mask) and RFC 7692, section 7.2.1
(permessage-deflate without context takeover: each message on its own, the tail 00 00 ff ff removed).
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from ladestrom.formats.dialect import Message

FIN_TEXT: Final = 0x81
RSV1: Final = 0x40
LENGTH_16: Final = 126
LENGTH_64: Final = 127
TAIL: Final = b"\x00\x00\xff\xff"
DEFLATE_LEVEL: Final = 1
"""Speed matters more than the last percent: bytes are made on the loop that serves everybody."""
WINDOW_BITS: Final = 15
"""A consumer that agreed to a smaller window gets plain frames."""
PLAIN_BYTES_MAX: Final = 128
"""A payload up to this size is not worth compressing."""


def text(message: Message) -> bytes:
    """One unmasked text frame."""
    payload = message.payload
    return _header(FIN_TEXT, len(payload)) + payload


def deflated(message: Message) -> bytes:
    """One text frame compressed on its own; valid where permessage-deflate was agreed with 15 window bits."""
    payload = message.payload
    if len(payload) <= PLAIN_BYTES_MAX:
        return text(message)
    packer = zlib.compressobj(DEFLATE_LEVEL, zlib.DEFLATED, -WINDOW_BITS)
    packed = packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)
    packed = packed.removesuffix(TAIL)
    return _header(FIN_TEXT | RSV1, len(packed)) + packed


def _header(first: int, length: int) -> bytes:
    if length < LENGTH_16:
        return struct.pack("!BB", first, length)
    if length < 1 << 16:
        return struct.pack("!BBH", first, LENGTH_16, length)
    return struct.pack("!BBQ", first, LENGTH_64, length)


def event(message: Message) -> bytes:
    """One server-sent event (WHATWG HTML, section 9.2.6); its id is the consumer's position."""
    identity = b"" if message.position is None else b"id: %s\n" % str(message.position).encode()
    retry = b"" if message.retry_ms is None else b"retry: %d\n" % message.retry_ms
    return b"%s%sevent: %s\ndata: %s\n\n" % (identity, retry, message.kind.encode(), message.payload)


FRAMINGS: Final = {"text": text, "deflate": deflated, "event": event}
"""By the name that `reader.subscriptions.Subscription.framing` carries."""
