"""The page: documents at the paths that people type, and the files that they load.

Knows files, headers and nothing of chargers: what a page shows it asks for itself, as any consumer would.
Files are read and compressed when they are first asked for, and kept. They are served under a hash of all
of them, so that a browser may keep them for good and a new version is seen at once.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ladestrom.edges.answers import COMPRESSED, AnyRequest, json_answer, matches, packed
from ladestrom.edges.query import known
from ladestrom.edges.setup import is_local
from ladestrom.errors import NotFound
from ladestrom.quoting import quoted

VIEWS: Final[Mapping[str, str]] = {
    "/": "map",
    "/now": "now",
    "/consumers": "consumers",
    "/console": "console",
    "/docs": "docs",
    "/admin": "admin",
}
"""Path of each document, and the module of its view."""
ASSETS_PATH: Final = "/page"
FILES: Final = Path(__file__).parent / "static"
TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".pbf": "application/x-protobuf",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".woff2": "font/woff2",
}
"""What is served; files of other kinds are not."""
COMPRESSED_BYTES_MIN: Final = 1_024
DIGEST_CHARACTERS: Final = 16
FOREVER: Final = "public, max-age=31536000, immutable"
GZIP_LEVEL: Final = 9
"""Once per file and process."""


class Asset(msgspec.Struct, frozen=True):
    """One file, ready to be sent."""

    media_type: str
    plain: bytes
    compressed: bytes | None
    """gzip, where that is smaller."""


class Assets:
    """The files under one folder."""

    def __init__(self, folder: Path = FILES) -> None:
        self._folder = folder
        self._known: dict[str, Path] = {}
        self._read: dict[str, Asset] = {}
        self._digest = ""

    def digest(self) -> str:
        """A hash of all files' names and contents: other where one of them is other."""
        if not self._digest:
            hashed = hashlib.sha256()
            for path in sorted(self._folder.rglob("*")):
                if path.suffix in TYPES and path.is_file():
                    name = path.relative_to(self._folder).as_posix()
                    self._known[name] = path
                    hashed.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
            self._digest = hashed.hexdigest()[:DIGEST_CHARACTERS]
        return self._digest

    def names(self) -> list[str]:
        """All files that are served, relative to the folder."""
        self.digest()
        return sorted(self._known)

    def asset(self, name: str) -> Asset:
        """One file by its name.

        Raises:
            NotFound: there is none, or it is of a kind that is not served.
        """
        self.digest()
        if name not in self._read:
            path = self._known.get(name)
            if path is None:
                raise NotFound(f"the page has no file {quoted(name, 100)}")
            self._read[name] = _asset(TYPES[path.suffix], path.read_bytes())
        return self._read[name]

    def document(self, view: str) -> Asset:
        """The document of one view."""
        key = f"view {view}"
        if key not in self._read:
            shell = self.asset("shell.html").plain.decode()
            filled = re.sub(
                r"\{(assets|view)\}",
                lambda match: {"assets": f"{ASSETS_PATH}/{self.digest()}", "view": view}[match[1]],
                shell,
            )
            self._read[key] = _asset(TYPES[".html"], filled.encode())
        return self._read[key]


def _asset(media_type: str, plain: bytes) -> Asset:
    compressed = None
    if len(plain) >= COMPRESSED_BYTES_MIN:
        compressed = gzip.compress(plain, GZIP_LEVEL, mtime=0)
    is_smaller = compressed is not None and len(compressed) < len(plain)
    return Asset(media_type, plain, compressed if is_smaller else None)


def content_security_policy(tiles: str) -> str:
    """What the documents may load: their own files, and tiles from where the setting says."""
    parts = urlsplit(tiles)
    elsewhere = f" {parts.scheme}://{parts.netloc}" if parts.scheme in {"http", "https"} else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src 'self' data: blob:{elsewhere}",
            f"connect-src 'self'{elsewhere}",
            "worker-src 'self'",
            "font-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


class PageInfo(msgspec.Struct, frozen=True):
    """What a page has to know of its server before it asks for anything else."""

    title: str
    version: str
    demo: bool
    visitors: Literal["anyone", "key"]
    keys: Literal["open", "approval", "closed"]
    tiles: str
    tiles_attribution: str
    licence: str
    attribution: str
    contact: str
    local: bool = False
    """Whether whoever asks is at the server's own machine."""


PageSource = Callable[[], PageInfo]


def handlers(tiles: str, source: PageSource, assets: Assets | None = None) -> list[HTTPRouteHandler]:
    """The route handlers.

    Args:
        tiles: the setting `page.tiles`.
        source: what the page says of this server.
        assets: the page's files; its own where they are not given.
    """
    files = assets or Assets()
    guarded = {
        "content-security-policy": content_security_policy(tiles),
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "geolocation=(self), camera=(), microphone=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }

    @get("/api/v2/page", sync_to_thread=False)
    def about(request: AnyRequest) -> Response[bytes]:
        """What the page is called, who may look, and how one gets a key."""
        known(request.query_params.multi_items(), ())
        told = msgspec.structs.replace(source(), local=is_local(request))
        return json_answer(msgspec.json.encode(told))

    @get(list(VIEWS), opt={COMPRESSED: True}, include_in_schema=False)
    async def document(request: AnyRequest) -> Response[Any]:
        """A document of the page."""
        view = VIEWS[request.url.path.rstrip("/") or "/"]
        found = await asyncio.to_thread(files.document, view)
        return _answer(request, found, {**guarded, "cache-control": "no-cache"}, f'"{files.digest()}-{view}"')

    @get(f"{ASSETS_PATH}/{{digest:str}}/{{name:path}}", opt={COMPRESSED: True}, include_in_schema=False)
    async def asset(request: AnyRequest, digest: FromPath[str], name: FromPath[str]) -> Response[Any]:
        """A file that a document loads."""
        found = await asyncio.to_thread(files.asset, str(name).lstrip("/"))
        is_current = digest == files.digest()
        headers = {
            "cache-control": FOREVER if is_current else "no-cache",
            "content-security-policy": guarded["content-security-policy"],
            "x-content-type-options": "nosniff",
        }
        return _answer(request, found, headers, None)

    @get("/favicon.ico", opt={COMPRESSED: True}, include_in_schema=False)
    async def icon(request: AnyRequest) -> Response[Any]:
        """The page's sign, for those that ask without having read the page."""
        found = await asyncio.to_thread(files.asset, "icon.svg")
        return _answer(request, found, {"cache-control": "public, max-age=86400"}, None)

    return [about, document, asset, icon]


def _answer(request: AnyRequest, asset: Asset, headers: Mapping[str, str], tag: str | None) -> Response[Any]:
    sent = dict(headers)
    if tag is not None:
        sent["etag"] = tag
        if matches(request, tag):
            return Response(None, status_code=304, headers={**sent, "vary": "accept-encoding"})
    return packed(request, asset.plain, asset.compressed, asset.media_type, sent)
