"""A peer of OCPI for tests: a Sender with versions, details, credentials and Locations, on loopback.

with OcpiSender("2.2.1", token="peer-token-0001") as peer:
    peer.locations = [...]
    peer.versions_url      what it is called at
    peer.asked             method, path and query of each request
    peer.headers           of the last request
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

STAMP = "2026-11-22T10:00:00Z"


def envelope(data: object = None, code: int = 1000, message: str = "Success") -> dict[str, object]:
    body: dict[str, object] = {"status_code": code, "status_message": message, "timestamp": STAMP}
    return body if data is None else {"data": data, **body}


class OcpiSender:
    """A context manager. What it answers can be changed while it runs."""

    def __init__(self, version: str = "2.2.1", *, token: str | None = None, page: int = 100) -> None:
        self.version = version
        self.tokens: set[str] = set() if token is None else {token}
        """Authorization headers that it takes, without `Token `; empty takes all."""
        self.page = page
        self.locations: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str]] = []
        self.headers: dict[str, str] = {}
        self.posted: dict[str, Any] = {}
        self.modules = ["credentials", "locations"]
        self.link: Callable[[str, int], str | None] = lambda url, offset: (
            f'<{url}?offset={offset}&limit={self.page}>; rel="next"'
        )
        self.on_credentials: Callable[[dict[str, Any]], dict[str, Any]] = envelope
        self.failing: dict[str, int] = {}
        """Path to the HTTP status that it answers with there."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def versions_url(self) -> str:
        return f"{self.root}/ocpi/versions"

    @property
    def locations_url(self) -> str:
        return f"{self.root}/ocpi/cpo/{self.version}/locations"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(
        self, method: str, path: str, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, object, str | None]:
        shown = self.headers.get("authorization", "").removeprefix("Token ")
        answer: object = envelope(None, 2000, "nothing here")
        status, link = 404, None
        match path.strip("/").split("/"):
            case _ if path in self.failing:
                status, answer = self.failing[path], envelope(None, 3000, "broken")
            case _ if self.tokens and shown not in self.tokens:
                status, answer = 401, envelope(None, 2001, "who are you")
            case ["ocpi", "versions"]:
                found = [{"version": self.version, "url": f"{self.root}/ocpi/{self.version}"}]
                status, answer = 200, envelope(found)
            case ["ocpi", self.version]:
                status, answer = 200, envelope({"version": self.version, "endpoints": self._endpoints()})
            case ["ocpi", self.version, "credentials"] if method in {"POST", "PUT"}:
                self.posted = json.loads(body)
                status, answer = 200, self.on_credentials(self.posted)
            case ["ocpi", self.version, "credentials"] if method == "DELETE":
                status, answer = 200, envelope()
            case ["ocpi", "cpo", self.version, "locations"]:
                status, answer, link = self._page(query)
        return status, answer, link

    def _endpoints(self) -> list[dict[str, str]]:
        urls = {
            "credentials": f"{self.root}/ocpi/{self.version}/credentials",
            "locations": self.locations_url,
            "tariffs": f"{self.root}/ocpi/cpo/{self.version}/tariffs",
        }
        role = {} if self.version == "2.1.1" else {"role": "SENDER"}
        return [{"identifier": name, "url": urls[name], **role} for name in self.modules]

    def _page(self, query: dict[str, list[str]]) -> tuple[int, object, str | None]:
        since = query.get("date_from", [""])[0]
        found = [each for each in self.locations if each.get("last_updated", "") >= since]
        offset = int(query.get("offset", ["0"])[0])
        limit = min(self.page, int(query.get("limit", [str(self.page)])[0]))
        end = offset + limit
        link = self.link(self.locations_url, end) if end < len(found) else None
        self._total = len(found)
        return 200, envelope(found[offset:end]), link

    _total = 0

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                parts = urlsplit(self.path)
                peer.asked.append((self.command, self.path))
                peer.headers = {name.lower(): value for name, value in self.headers.items()}
                status, answer, link = peer._answer(self.command, parts.path, parse_qs(parts.query), body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                if parts.path.rstrip("/").endswith("/locations"):
                    self.send_header("X-Total-Count", str(peer._total))
                    self.send_header("X-Limit", str(peer.page))
                if link is not None:
                    self.send_header("Link", link)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the standard library's names

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        return Handler
