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
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ladestrom.edges.answers import (
    COMPRESSED,
    AnyRequest,
    json_answer,
    matches,
    not_modified,
    packed,
    root_of,
)
from ladestrom.edges.page import archives
from ladestrom.edges.page.archives import Archive
from ladestrom.edges.page.guides import GUIDES_PATH, Guides
from ladestrom.edges.page.wording import Wording
from ladestrom.edges.query import known
from ladestrom.edges.setup import is_local
from ladestrom.errors import BadRequest, NotFound
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
WORDED: Final[Mapping[str, tuple[str, str]]] = {
    "map": ("nav.map", "map.title"),
    "now": ("nav.now", "now.about"),
    "consumers": ("nav.consumers", "consumers.intro"),
    "console": ("nav.console", "console.intro"),
    "docs": ("nav.docs", "docs.intro"),
    "admin": ("nav.admin", "admin.intro"),
}
"""Names of the words that are the title of each view and say what it shows."""
NOSCRIPT: Final = (
    "<noscript>This page draws live data and needs JavaScript. Everything it shows is also there without it: "
    '<a href="/docs/consumers">/docs/consumers</a>, /openapi.json, /asyncapi.json, /api/v2/.</noscript>'
)
MARKDOWN: Final = "text/markdown; charset=utf-8"
INDEX_PATH: Final = f"{GUIDES_PATH}/index.json"
PROGRAMS: Final = ("/api/", "/page/")
"""Paths at which only programs ask: they are told of errors as such."""
PLACE: Final = re.compile(r"\{(assets|view|lang|title|about|site|body|root)\}")
"""What is filled in `shell.html`."""
ASSETS_PATH: Final = "/page"
TILES_PATH: Final = "/tiles.pmtiles"
"""Where the archive of the setting `page.tiles_file` is."""
FILES: Final = Path(__file__).parent / "static"
TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".pbf": "application/x-protobuf",
    ".png": "image/png",
    ".pmtiles": archives.MEDIA_TYPE,
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


class Filling(msgspec.Struct, frozen=True, kw_only=True):
    """What a document says before its scripts run."""

    language: str
    title: str
    about: str
    """For search engines, and where a link to it is shared."""
    site: str
    """What the page is called."""
    body: str
    """HTML."""
    root: str
    """Where others reach this server: what a shared link shows is fetched from there."""


class Assets:
    """The files under one folder."""

    def __init__(self, folder: Path = FILES) -> None:
        self._folder = folder
        self._known: dict[str, Path] = {}
        self._read: dict[str, Asset] = {}
        self._archives: dict[str, Archive] = {}
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

    def archive(self, name: str) -> Archive:
        """One file that is read in parts.

        Raises:
            NotFound: there is none.
        """
        self.digest()
        if name not in self._archives:
            if name not in self._known:
                raise NotFound(f"the page has no file {quoted(name, 100)}")
            self._archives[name] = Archive(self._known[name])
        return self._archives[name]

    def document(self, view: str, filling: Filling) -> Asset:
        """The document of one view."""
        values = {
            "assets": f"{ASSETS_PATH}/{self.digest()}",
            "view": view,
            "lang": filling.language,
            "title": escape(filling.title),
            "about": escape(filling.about),
            "site": escape(filling.site),
            "body": filling.body,
            "root": escape(filling.root),
        }
        shell = self.asset("shell.html").plain.decode()
        return _asset(TYPES[".html"], PLACE.sub(lambda match: values[match[1]], shell).encode())


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
    station: str = ""
    """Uuid of a station, for examples; empty where there is none, or none for everybody."""


PageSource = Callable[[], PageInfo]
StationTitle = Callable[[str], str]
"""Name and town of a station by its uuid; empty where it is not known, or not for everybody."""


def no_station(_uuid: str) -> str:
    """None is for everybody."""
    return ""


class Page:
    """The documents of one server, and what they load."""

    def __init__(
        self,
        tiles: str,
        source: PageSource,
        station: StationTitle = no_station,
        files: Assets | None = None,
        guides: Guides | None = None,
        tiles_file: Archive | None = None,
        url_public: str = "",
    ) -> None:
        """Nothing is read yet.

        Args:
            tiles: the setting `page.tiles`.
            source: what the page says of this server.
            station: what a link to a station is called.
            files: its own where they are not given.
            guides: likewise.
            tiles_file: what the setting `page.tiles_file` names, where that can be served.
            url_public: the setting `server.url_public`.
        """
        self.guides = guides or Guides()
        self._source = source
        self._station = station
        self._files = files or Assets()
        self._tiles_file = tiles_file
        self._url_public = url_public
        self._words = Wording(FILES / "words")
        self._headers: Mapping[str, str] = {
            "content-security-policy": content_security_policy(tiles),
            "cross-origin-opener-policy": "same-origin",
            "permissions-policy": "geolocation=(self), camera=(), microphone=()",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }

    # -- documents -----------------------------------------------------------------------------------------

    def view(self, request: AnyRequest) -> Response[Any]:
        """A view, which its scripts draw."""
        path = request.url.path.rstrip("/") or "/"
        view = VIEWS[path]
        language = self._language(request)
        name, about = WORDED[view]
        station = self._station(request.query_params.get("station", "")) if view == "map" else ""
        body = self._reading() if view == "docs" else NOSCRIPT
        return self._document(
            request,
            view,
            station or self._words.word(language, name),
            station or self._words.word(language, about),
            body,
        )

    def framed(self, request: AnyRequest, title: str, about: str, html: str) -> Response[Any]:
        """A text that is there without scripts, such as a guide. It is in English."""
        body = f'{self._reading()}<article class="text" lang="en">{html}</article>'
        return self._document(request, "guide", title, about, body)

    def missing(self, request: AnyRequest) -> Response[Any] | None:
        """What a person is shown where nothing is; None for programs, and where only programs ask."""
        wants_page = "text/html" in request.headers.get("accept", "")
        if request.method != "GET" or not wants_page or request.url.path.startswith(PROGRAMS):
            return None
        language = self._language(request)
        word = partial(self._words.word, language)
        links = "".join(
            f'<li><a href="{path}">{escape(word(WORDED[view][0]))}</a></li>' for path, view in VIEWS.items()
        )
        title = word("missing.title")
        html = (
            f"<h1>{escape(title)}</h1><p>{escape(word('missing.about'))}</p>"
            f"<p><code>{escape(request.url.path[:200])}</code></p><ul>{links}</ul>"
        )
        answer = self._document(
            request, "guide", title, word("missing.about"), f'<article class="text">{html}</article>'
        )
        answer.status_code = 404
        answer.headers["cache-control"] = "no-store"
        return answer

    def _language(self, request: AnyRequest) -> str:
        return self._words.language(request.headers.get("accept-language", ""))

    def _root(self, request: AnyRequest) -> str:
        """Where others reach this server; empty where the request does not say it in a valid way."""
        try:
            return root_of(request, self._url_public)
        except BadRequest:
            return ""

    def _reading(self) -> str:
        """Links to all guides, which the scripts put beside what is read."""
        links = "".join(
            f'<li><a href="{GUIDES_PATH}/{name}">{escape(guide.title)}</a></li>'
            for name, guide in self.guides.all.items()
        )
        return f'<nav class="guides" aria-label="Guides" lang="en"><ul>{links}</ul></nav>'

    def _document(self, request: AnyRequest, view: str, title: str, about: str, body: str) -> Response[Any]:
        site = self._source().title
        filling = Filling(
            language=self._language(request),
            title=f"{title} \u2013 {site}",
            about=about,
            site=site,
            body=body,
            root=self._root(request),
        )
        made = self._files.document(view, filling)
        tag = f'"{hashlib.sha256(made.plain).hexdigest()[:DIGEST_CHARACTERS]}"'
        answer = _answer(request, made, {**self._headers, "cache-control": "no-cache"}, tag)
        answer.headers["vary"] = "accept-encoding, accept-language"
        return answer

    # -- what is served ------------------------------------------------------------------------------------

    def handlers(self) -> list[HTTPRouteHandler]:
        """The route handlers."""
        return [*self._documents(), *self._texts(), *self._loaded()]

    def _documents(self) -> list[HTTPRouteHandler]:
        @get("/api/v2/page", sync_to_thread=False)
        def about(request: AnyRequest) -> Response[bytes]:
            """What the page is called, who may look, and how one gets a key."""
            known(request.query_params.multi_items(), ())
            told = msgspec.structs.replace(self._source(), local=is_local(request))
            return json_answer(msgspec.json.encode(told))

        @get(list(VIEWS), opt={COMPRESSED: True}, include_in_schema=False)
        async def document(request: AnyRequest) -> Response[Any]:
            """A document of the page."""
            return await asyncio.to_thread(self.view, request)

        return [about, document]

    def _texts(self) -> list[HTTPRouteHandler]:
        headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}

        @get(f"{GUIDES_PATH}/{{name:str}}", opt={COMPRESSED: True}, include_in_schema=False)
        async def guide(request: AnyRequest, name: FromPath[str]) -> Response[Any]:
            """A guide as a page; as Markdown under its name with `.md`."""
            found = (await asyncio.to_thread(lambda: self.guides.all)).get(name.removesuffix(".md"))
            if found is None:
                raise NotFound(f"there is no guide {quoted(name, 100)}; all are at {GUIDES_PATH}")
            if name.endswith(".md"):
                return Response(
                    found.source.encode(), media_type="text/markdown; charset=utf-8", headers=headers
                )
            return await asyncio.to_thread(self.framed, request, found.title, found.about, found.html)

        @get(INDEX_PATH, include_in_schema=False)
        async def index(request: AnyRequest) -> Response[Any]:
            """All that is read, for the search."""
            content = await asyncio.to_thread(lambda: self.guides.index)
            tag = f'"{hashlib.sha256(content).hexdigest()[:DIGEST_CHARACTERS]}"'
            return not_modified(tag) if matches(request, tag) else json_answer(content, tag)

        @get("/llms.txt", include_in_schema=False)
        async def summary() -> Response[Any]:
            """What there is to read, for programs that read text."""
            content = await asyncio.to_thread(self.guides.summary, self._source().title)
            return Response(content, media_type="text/plain; charset=utf-8", headers=headers)

        @get("/robots.txt", include_in_schema=False, sync_to_thread=False)
        def robots() -> Response[Any]:
            """What search engines leave out: what is for programs."""
            text = "User-agent: *\nDisallow: /api/\n"
            return Response(text, media_type="text/plain; charset=utf-8", headers=headers)

        return [guide, index, summary, robots]

    def _loaded(self) -> list[HTTPRouteHandler]:
        files = self._files

        @get(f"{ASSETS_PATH}/{{digest:str}}/{{name:path}}", opt={COMPRESSED: True}, include_in_schema=False)
        async def asset(request: AnyRequest, digest: FromPath[str], name: FromPath[str]) -> Response[Any]:
            """A file that a document loads."""
            path = str(name).lstrip("/")
            is_current = digest == files.digest()
            headers = {
                "cache-control": FOREVER if is_current else "no-cache",
                "content-security-policy": self._headers["content-security-policy"],
                "x-content-type-options": "nosniff",
            }
            if path.endswith(".pmtiles"):
                return await archives.answer(request, await asyncio.to_thread(files.archive, path), headers)
            return _answer(request, await asyncio.to_thread(files.asset, path), headers, None)

        @get(TILES_PATH, opt={COMPRESSED: True}, include_in_schema=False)
        async def tiles(request: AnyRequest) -> Response[Any]:
            """The base map of whoever runs the server."""
            if self._tiles_file is None:
                raise NotFound("this server has no archive of map tiles, or it cannot be read")
            return await archives.answer(request, self._tiles_file, {"cache-control": "no-cache"})

        @get("/favicon.ico", opt={COMPRESSED: True}, include_in_schema=False)
        async def icon(request: AnyRequest) -> Response[Any]:
            """The page's sign, for those that ask without having read the page."""
            found = await asyncio.to_thread(files.asset, "icon.svg")
            return _answer(request, found, {"cache-control": "public, max-age=86400"}, None)

        @get("/manifest.webmanifest", include_in_schema=False)
        async def manifest() -> Response[Any]:
            """How the page looks among the programs of a phone."""
            title = self._source().title
            icon = f"{ASSETS_PATH}/{await asyncio.to_thread(files.digest)}/icon.svg"
            told = {
                "name": title,
                "short_name": title[:12],
                "start_url": "/",
                "display": "standalone",
                "background_color": "#f4f6f5",
                "theme_color": "#00614a",
                "icons": [{"src": icon, "sizes": "any", "type": "image/svg+xml", "purpose": "any"}],
            }
            headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
            return Response(
                msgspec.json.encode(told), media_type="application/manifest+json", headers=headers
            )

        return [asset, tiles, icon, manifest]


def _answer(request: AnyRequest, asset: Asset, headers: Mapping[str, str], tag: str | None) -> Response[Any]:
    sent = dict(headers)
    if tag is not None:
        sent["etag"] = tag
        if matches(request, tag):
            return Response(None, status_code=304, headers={**sent, "vary": "accept-encoding"})
    return packed(request, asset.plain, asset.compressed, asset.media_type, sent)
