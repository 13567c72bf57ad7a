"""Asking for a file at an address, and for its whole only where it changed (RFC 9110, section 13).

Knows one request and what is kept of its answer. Must not know what the file holds.
"""

from __future__ import annotations

from typing import Final

from ladestrom.errors import SourceFailure
from ladestrom.model import Millis
from ladestrom.ports.calls import Answered, Ask
from ladestrom.protocols.interfaces import PARTIAL, Memory, Part, PullSettings

WHOLE_EVERY_MS: Final[Millis] = 900_000
"""After a quarter of an hour a file is read again though it did not change: what is answered by 304 alone
tells nothing of EVSEs that came into the registry since."""
CONDITIONS: Final = (("etag", "if-none-match"), ("last-modified", "if-modified-since"))
"""A header of an answer, and that of the next request which repeats it."""
OK: Final = 200
NOTHING_NEW: Final = frozenset({204, 304})
"""Not modified; and no content, which some servers say of it."""


def asked(settings: PullSettings, memory: Memory, now: Millis, media_type: str) -> Part[Answered | None]:
    """What came back, or None where nothing changed.

    The secret is shown as a bearer token, unless the options `header` and `scheme` say otherwise; an empty
    scheme shows it alone.

    Raises:
        SourceFailure: the answer is neither a file nor says that it did not change.
    """
    headers = {"accept": media_type}
    if settings.secret is not None:
        scheme = settings.options.get("scheme", "Bearer")
        header = settings.options.get("header", "authorization").lower()
        headers[header] = f"{scheme} {settings.secret}".lstrip()
    # A clock that was ahead when the file was read is no reason to take it as new until then.
    if 0 <= now - int(memory.get("read_at", "0")) < WHOLE_EVERY_MS:
        headers.update({condition: memory[name] for name, condition in CONDITIONS if name in memory})
    answered = yield Ask(settings.address, headers=headers)
    if not isinstance(answered, Answered):
        raise TypeError("an Ask is sent what came back")
    if answered.status in NOTHING_NEW:
        return None
    if answered.status != OK:
        raise SourceFailure(f"the source answered {answered.status} instead of a file")
    return answered


def partly(now: Millis, why: str) -> Memory:
    """The same of one that was not read to its end: it is asked for as a whole the next time."""
    return {"read_at": str(now), PARTIAL: why}


def remembered(answered: Answered, now: Millis) -> Memory:
    """What the next round needs of a file that was read."""
    kept = {name: answered.headers[name] for name, _ in CONDITIONS if name in answered.headers}
    return {**kept, "read_at": str(now)}
