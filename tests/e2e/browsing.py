"""Real browsers: a page of ours that says what it gets, and a tap that hears what its browser sends.

    with Site() as site, Serving(tmp_path, {"server.origins": [site.origin]}) as server:
        with Tap(server) as tap:
            site.serve(script, tap.host, server)
            with Browser("firefox", tmp_path, site.url):
                assert site.heard("hello")["stream"] == "events"

The script says things with `say({what: "...", ...})`, asks for a ticket with `await ticket()`, and finds the
address of the streams in `streams`. A browser that is not installed skips the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import socket
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest
from tests.e2e.serving import Serving
from tests.patience import DEADLINE_S
from tests.programs import DEVNULL, Program, begin, end

CHUNK_BYTES: Final = 65_536

CHROMIUM_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
)
FIREFOX_PREFERENCES: Final[Mapping[str, bool | int | str]] = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.proxy.type": 0,
    "services.settings.server": "http://127.0.0.1:9/",
    "toolkit.telemetry.enabled": False,
}
BROWSERS: Final[Mapping[str, tuple[str, ...]]] = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "firefox": ("firefox-esr", "firefox"),
}
"""Programs by which each may be installed."""


class Browser:
    """One browser without a window, with a profile of its own, on one page. A context manager."""

    def __init__(self, name: str, directory: Path, url: str) -> None:
        """Nothing runs yet; skips the test where the browser is not installed."""
        path = next(filter(None, map(shutil.which, BROWSERS[name])), None)
        if path is None:
            pytest.skip(f"{name} is not installed")
        home = directory / name
        profile = home / "profile"
        profile.mkdir(parents=True)
        if name == "firefox":
            lines = [
                f'user_pref("{key}", {json.dumps(value)});' for key, value in FIREFOX_PREFERENCES.items()
            ]
            (profile / "user.js").write_text("\n".join(lines))
            self._command = [path, "--headless", "--no-remote", "--profile", str(profile), url]
        else:
            self._command = [path, *CHROMIUM_FLAGS, f"--user-data-dir={profile}", url]
        kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
        self._environment = {**kept, "HOME": str(home), "MOZ_CRASHREPORTER_DISABLE": "1"}
        self._process: Program

    def __enter__(self) -> Self:
        self._process = begin(self._command, env=self._environment, stdout=DEVNULL, stderr=DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end(self._process)


# -- the page ----------------------------------------------------------------------------------------------

PAGE: Final = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>A page</title><link rel="icon" href="data:,"></head><body><script>
const streams = %s;
let saying = Promise.resolve();
const say = (words) => {
  saying = saying.then(() => fetch("/said", { method: "POST", body: JSON.stringify(words) }));
};
const ticket = async () => {
  const answer = await fetch("/ticket");
  if (!answer.ok) throw new Error("no ticket");
  return answer.text();
};
addEventListener("error", (event) => say({ what: "mistake", text: event.message }));
%s
</script></body></html>"""


class Site:
    """The HTTP server of the page, on loopback. A context manager.

    It plays the page's own server too: it gets tickets with its key.
    """

    def __init__(self) -> None:
        """Listens; answers from `__enter__` on, and with a page once it has one to serve."""
        self._page = ""
        self._tickets: Serving
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        self._heard: list[dict[str, Any]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/ticket":
                    word = site.ticket()
                    self._answer(200 if word else 503, word.encode(), "text/plain")
                else:
                    self._answer(200, site._page.encode(), "text/html; charset=utf-8")

            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                site._said.put(said)
                self._answer(204, b"", "text/plain")

            def _answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the parent's name
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.origin}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(DEADLINE_S)
        self._server.server_close()

    def serve(self, script: str, streams: str, tickets: Serving) -> None:
        """Says what the page does; `streams` is host and port of the streams, `tickets` where they come from."""
        self._page = PAGE % (json.dumps(streams), script)
        self._tickets = tickets

    def ticket(self) -> str:
        """A ticket for this page; empty where the server gives none."""
        headers = {**self._tickets.bearer(), "Origin": self.origin}
        try:
            answer = self._tickets.request("POST", "/api/v2/tickets", headers=headers)
        except Exception:  # noqa: BLE001 - the server is away, in whatever way
            return ""
        return str(answer.json().get("ticket", ""))

    def said(self, *what: str) -> list[dict[str, Any]]:
        """What the page said of these kinds that nobody asked for yet."""
        while not self._said.empty():
            self._heard.append(self._said.get())
        return [words for words in self._heard if words["what"] in what]

    def heard(self, what: str, **members: object) -> dict[str, Any]:
        """The next thing that the page says of this kind and with these members; others are kept for later."""
        wanted = {"what": what, **members}
        ends_s = time.monotonic() + DEADLINE_S
        looked = 0
        while True:
            for place in range(looked, len(self._heard)):
                if wanted.items() <= self._heard[place].items():
                    return self._heard.pop(place)
            looked = len(self._heard)
            try:
                self._heard.append(self._said.get(timeout=max(0.0, ends_s - time.monotonic())))
            except queue.Empty:
                pytest.fail(f"the page does not say {wanted}; it said {self._heard}")


# -- the tap -----------------------------------------------------------------------------------------------


class Tap:
    """A relay before a server that keeps the heads of requests. A context manager."""

    def __init__(self, server: Serving) -> None:
        """Listens; relays from `__enter__` on."""
        self._server = server
        self._heads: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(DEADLINE_S)

    def head(self, path: str) -> str:
        """The first request's head for this path, without its blank line; lines end as they came."""
        beginning = f"GET {path}".encode()
        return next(head for head in self._heads if head.startswith(beginning)).decode("latin-1")

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                self._sockets.append(client)
                self._start(self._connect, client)

    def _start(self, work: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _connect(self, client: socket.socket) -> None:
        head = b""
        try:
            while b"\r\n\r\n" not in head:
                data = client.recv(CHUNK_BYTES)
                if not data:
                    return
                head += data
            self._heads.append(head.partition(b"\r\n\r\n")[0])
            upstream = socket.create_connection(("127.0.0.1", self._server.port), timeout=DEADLINE_S)
        except OSError:
            client.close()
            return
        self._sockets.append(upstream)
        with contextlib.suppress(OSError):
            upstream.sendall(head)
        self._start(relay, upstream, client)
        relay(client, upstream)


def relay(source: socket.socket, sink: socket.socket) -> None:
    """Passes on what comes, and its end, until there is no more."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
