"""What version 2 says as server-sent events only, beside the messages of `formats.v2_stream`."""

from __future__ import annotations

import msgspec


class Close(msgspec.Struct, frozen=True, tag_field="type", tag="close"):
    """Last event of a stream of events: what the close frame of a WebSocket says."""

    code: int
    reason: str
