"""Which pages of other origins may read which answers (WHATWG Fetch, CORS protocol).

Knows paths and headers. `methods.CrossOrigin` sends them, and for streams of events `EventConnection`. The
server takes no cookies and nothing else that a browser sends by itself: a page needs a key or a ticket like
every other program, so `*` does not give it what only its visitor may see.
"""

from __future__ import annotations

from typing import Final

import msgspec

ANY: Final = "*"
TICKETS_PATH: Final = "/api/v2/tickets"
READ: Final = (
    "/api/v2/operators",
    "/api/v2/page",
    "/asyncapi.json",
    "/docs/errors",
    "/livez",
    "/openapi.json",
    "/readyz",
)
"""What pages of other origins may read beside outputs (`outputs.Output.reads`): these paths, and all below
them. Not among them are paths that manage keys or the server, and paths to which operators push."""
PREFLIGHT_S: Final = 7_200
"""How long a browser may keep the answer to a preflight: Chromium keeps none for longer."""

_EXPOSED: Final = (
    b"access-control-expose-headers",
    b"ETag, Ladestrom-Licence, Ladestrom-Position, Link, Retry-After, X-Limit, X-Total-Count",
)
_REQUEST_HEADERS: Final = (
    b"Authorization, Cache-Control, Content-Type, If-Modified-Since, If-None-Match, Last-Event-ID, X-Api-Key"
)

Headers = list[tuple[bytes, bytes]]


class Cors(msgspec.Struct, frozen=True):
    """Pages of which origins may read."""

    origins: frozenset[str] = frozenset({ANY})
    """`*`: of all. Empty: only pages of the server's own host."""
    reads: tuple[str, ...] = READ
    """What they may read: these paths, and all below them."""

    def admits(self, origin: str) -> bool:
        """Whether pages of another origin may read."""
        return ANY in self.origins or origin in self.origins

    def shares(self, path: str) -> bool:
        """Whether they may read what is at a path, or get a ticket there."""
        return any(path == each or path.startswith(f"{each}/") for each in (*self.reads, TICKETS_PATH))

    def headers(self, origin: str | None) -> Headers:
        """What an answer tells the browser; `origin` is what the request says, None where it says nothing."""
        if ANY in self.origins:
            # The same for all, so that caches need not tell origins apart.
            return [(b"access-control-allow-origin", b"*"), _EXPOSED]
        if origin is None or origin not in self.origins:
            return [(b"vary", b"origin")] if self.origins else []
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            _EXPOSED,
            (b"vary", b"origin"),
        ]

    def preflight(self, path: str, origin: str) -> Headers:
        """The answer to a browser that asks whether a page may ask (section 3.2.2)."""
        told = self.headers(origin)
        if not self.admits(origin):
            return told
        return [
            *told,
            (b"access-control-allow-methods", b"POST" if path == TICKETS_PATH else b"GET, HEAD"),
            (b"access-control-allow-headers", _REQUEST_HEADERS),
            (b"access-control-max-age", b"%d" % PREFLIGHT_S),
        ]
