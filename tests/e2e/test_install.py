"""The unit file and the proxy's configuration of the installation page work as they are printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import httpx2
import pytest
from tests.certificates import Authority
from tests.documents import ROOT, blocks
from tests.e2e.following import E1, report
from tests.e2e.running import environment, free_port
from tests.e2e.serving import Serving
from tests.patience import DEADLINE_S, until
from tests.programs import begin, end, run
from websockets.sync.client import connect
from websockets.typing import Origin

PAGE: Final = ROOT / "docs" / "install.md"


GUIDE: Final = ROOT / "docs" / "operations.md"
BEFORE_UPGRADE: Final = "2026-01-01-0300-before-upgrade"


def printed(language: str, page: Path = PAGE) -> list[str]:
    """The page's blocks of a language, in order."""
    return [block.text for block in blocks(page) if block.language == language]


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = Path(sys.executable).with_name("ladestrom")
    texts = [*printed("ini"), *printed("ini", GUIDE)]
    names = [
        "ladestrom.service",
        "ladestrom-import.service",
        "ladestrom-import.timer",
        "ladestrom-backup.service",
        "ladestrom-backup.timer",
    ]
    for name, text in zip(names, texts, strict=True):
        (tmp_path / name).write_text(
            text.replace(
                "/srv/ladestrom/bin/ladestrom", str(program if program.exists() else sys.executable)
            ).replace("User=ladestrom\n", "User=root\n")
        )
    done = run(["systemd-analyze", "verify", "--man=no", *(tmp_path / name for name in names)])
    assert [line for line in done.stderr.splitlines() if "ladestrom" in line] == []
    assert done.returncode == 0, done.stderr


def test_the_daily_backup_is_made_beside_a_server_and_drops_old_ones_only(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("ladestrom")
    backups = tmp_path / "backups"
    (unit,) = [text for text in printed("ini", GUIDE) if "ladestrom backup" in text]
    commands = [
        shlex.split(
            line.partition("=")[2]
            .replace("/srv/ladestrom/bin/ladestrom", str(program))
            .replace("/var/backups/ladestrom", str(backups))
            .replace("%%", "%")
            .replace("$$", "$")
        )
        for line in unit.splitlines()
        if line.startswith(("ExecStart=", "ExecStartPost="))
    ]
    with Serving(tmp_path / "data") as server:
        report(server, E1, "CHARGING")
        for name, age_days in (("old", 20), ("recent", 2), (BEFORE_UPGRADE, 400)):
            (backups / name).mkdir(parents=True)
            aged_s = time.time() - age_days * 86_400
            os.utime(backups / name, (aged_s, aged_s))
        for command in commands:
            run(command, env=environment({"server.data": str(server.data)}), check=True)
    left = {path.name for path in backups.iterdir()}
    assert left > {"recent", BEFORE_UPGRADE}
    (made,) = left - {"recent", BEFORE_UPGRADE}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{4}", made)
    assert (backups / made / "manifest.json").is_file()


class Proxy:
    """nginx with the page's configuration, on ports of loopback. A context manager.

    With `extended`, it also has the lines for client certificates, and the guide's access to metrics.
    """

    def __init__(self, folder: Path, server_port: int, *, extended: bool = False) -> None:
        self.authority = Authority(folder / "authority")
        certificate, key = self.authority.sign("server")
        self.port = free_port()
        self._folder = folder
        site, certificates, limits = printed("nginx")
        if extended:
            (metrics,) = printed("nginx", GUIDE)
            site = re.sub(
                r"    location = /metrics \{.*?\n    \}\n", lambda _: metrics, site, flags=re.DOTALL
            ).replace("    proxy_read_timeout", f"{certificates}    proxy_read_timeout")
        configured = (
            site.replace("127.0.0.1:8383", f"127.0.0.1:{server_port}")
            .replace("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl")
            .replace("/etc/ssl/status.example.org.pem", str(certificate))
            .replace("/etc/ssl/status.example.org.key", str(key))
            .replace("/etc/ssl/operators-ca.pem", str(self.authority.file))
            .replace("/var/log/nginx/", f"{folder}/")
        )
        self._file = folder / "nginx.conf"
        places = "".join(
            f"{name}_temp_path {folder / name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self._file.write_text(
            f"daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder / 'nginx.pid'};\n"
            f"error_log {folder / 'error.log'};\n{limits}"
            f"http {{\naccess_log off;\n{places}{configured}}}\n"
        )

    def __enter__(self) -> Self:
        self._process = begin(
            ["nginx", "-p", self._folder, "-c", self._file, "-e", self._folder / "error.log"]
        )
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)

    def trust(self) -> ssl.SSLContext:
        """Believes the proxy's certificate."""
        return ssl.create_default_context(cafile=str(self.authority.file))

    def known(self, name: str) -> ssl.SSLContext:
        """The same, with a client certificate of this name."""
        context = self.trust()
        context.load_cert_chain(*self.authority.sign(name))
        return context

    def client(self, context: ssl.SSLContext | None = None) -> httpx2.Client:
        """Speaks to the proxy as a browser would, and believes its certificate."""
        return httpx2.Client(
            base_url=f"https://127.0.0.1:{self.port}", verify=context or self.trust(), timeout=DEADLINE_S
        )


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[Serving, Proxy]]:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    (tmp_path / "nginx").mkdir()
    with Serving(tmp_path / "data") as server, Proxy(tmp_path / "nginx", server.port) as proxy:
        with proxy.client() as client:
            until(lambda: _answers(client), "the proxy answers")
        yield server, proxy


def _answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx2.TransportError:
        return False


def test_streams_events_and_requests_pass_the_proxy_and_metrics_do_not(
    proxied: tuple[Serving, Proxy],
) -> None:
    server, proxy = proxied
    key = {"X-Api-Key": server.keys["stream"]}
    url = f"wss://127.0.0.1:{proxy.port}/api/v2/stream"
    with (
        proxy.client() as client,
        connect(url, additional_headers=key, ssl=proxy.trust(), open_timeout=DEADLINE_S) as stream,
        client.stream("GET", "/api/v2/events", headers=key) as events,
    ):
        assert json.loads(stream.recv(DEADLINE_S))["type"] == "hello"
        assert json.loads(stream.recv(DEADLINE_S))["type"] == "snapshot"
        lines = events.iter_lines()
        assert any(line == "event: snapshot" for line in lines)
        seq = report(server, E1, "CHARGING")
        assert json.loads(stream.recv(DEADLINE_S))["seq"] == seq
        assert any(re.fullmatch(rf"id: \w+-{seq}", line) for line in lines)
    with proxy.client() as client:
        assert client.get("/api/v2/evses?limit=1", headers=key).status_code == 200
        assert client.get("/metrics", headers={"X-Api-Key": server.keys["admin"]}).status_code == 404


def test_pages_and_requests_of_administrators_are_for_the_own_network_only(
    proxied: tuple[Serving, Proxy],
) -> None:
    server, proxy = proxied
    with proxy.client() as client:
        for path in ("/admin", "/api/v2/admin", "/api/v2/admin/sources"):
            assert client.get(path, headers={"X-Api-Key": server.keys["admin"]}).status_code == 403, path
        assert client.get("/readyz").json()["status"] == "ready"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/keys"),
        ("GET", "/api/v2/keys/"),
        ("GET", "/api/v2//keys"),
        ("DELETE", "/api/v2/keys"),
        ("DELETE", "/api/v2/keys/0123"),
        ("POST", "/api/v2/keys/0123/approve"),
        ("DELETE", "/api/v2/keys/self/../0123"),
        ("DELETE", "/api/v2/keys/%73elf2"),
    ],
)
def test_keys_are_administered_from_the_own_network_only(
    proxied: tuple[Serving, Proxy], method: str, path: str
) -> None:
    server, proxy = proxied
    with proxy.client() as client:
        # A URL object keeps the path as it is written.
        url = httpx2.URL(f"https://127.0.0.1:{proxy.port}").copy_with(raw_path=path.encode())
        answer = client.request(method, url, headers={"X-Api-Key": server.keys["admin"]})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html")


def test_visitors_create_and_manage_their_own_keys_through_the_proxy(tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    (tmp_path / "nginx").mkdir()
    with (
        Serving(tmp_path / "data", {"keys.policy": "open", "keys.proxies": ["127.0.0.1"]}) as server,
        Proxy(tmp_path / "nginx", server.port) as proxy,
        proxy.client() as client,
    ):
        until(lambda: _answers(client), "the proxy answers")
        made = client.post("/api/v2/keys", json={"name": "map"})
        assert made.status_code == 201
        own = {"X-Api-Key": made.json()["key"]}
        assert client.get("/api/v2/keys/self", headers=own).status_code == 200
        assert client.post("/api/v2/keys/self/rotate", headers=own).status_code == 201
        assert client.delete("/api/v2/keys/self", headers=own).status_code == 204


def test_a_client_certificate_replaces_a_key_and_a_header_that_a_client_sends_does_not(
    tmp_path: Path,
) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    (tmp_path / "nginx").mkdir()
    settings = {
        "reports.certificate_header": "X-Client-Subject",
        "reports.certificate_proxies": ["127.0.0.1"],
        "reports.certificates": ["alfa=CN=alfa"],
    }
    forged = {"X-Client-Subject": "CN=alfa"}
    items = [{"evse": E1, "status": "CHARGING"}]
    with (
        Serving(tmp_path / "data", settings) as server,
        Proxy(tmp_path / "nginx", server.port, extended=True) as proxy,
        proxy.client() as client,
        proxy.client(proxy.known("alfa")) as alfa,
        proxy.client(proxy.known("beta")) as other,
    ):
        until(lambda: _answers(client), "the proxy answers")
        assert alfa.post("/api/v2/reports", json=items).status_code == 200
        for stranger in (client, other):
            assert stranger.post("/api/v2/reports", json=items, headers=forged).status_code == 401
        assert client.get("/metrics").status_code == 403


def test_a_page_of_the_own_host_opens_a_stream_through_the_proxy(proxied: tuple[Serving, Proxy]) -> None:
    server, proxy = proxied
    with connect(
        f"wss://127.0.0.1:{proxy.port}/api/v2/stream",
        additional_headers={"X-Api-Key": server.keys["stream"]},
        origin=Origin(f"https://127.0.0.1:{proxy.port}"),
        ssl=proxy.trust(),
        open_timeout=DEADLINE_S,
    ) as stream:
        assert json.loads(stream.recv(DEADLINE_S))["type"] == "hello"


def test_no_log_of_the_proxy_has_a_key_that_came_in_an_address(
    proxied: tuple[Serving, Proxy], tmp_path: Path
) -> None:
    server, proxy = proxied
    key = server.keys["stream"]
    url = f"wss://127.0.0.1:{proxy.port}/api/v1/stream?apikey={key}"
    with connect(url, ssl=proxy.trust(), open_timeout=DEADLINE_S) as stream:
        stream.recv(DEADLINE_S)
    with proxy.client() as client:
        assert client.get(f"/api/v1/stream?apikey={key}").status_code >= 400
        server.stop()
        # An upstream that is away is what nginx tells most of.
        assert client.get(f"/api/v1/stream?apikey={key}").status_code == 502
        assert client.get("/livez").status_code == 502
    written = tmp_path / "nginx" / "ladestrom.log"
    until(lambda: '"GET /livez" 502' in written.read_text(), "the last request is logged")
    assert '"GET /api/v1/stream" 101' in written.read_text()
    for log in (tmp_path / "nginx").glob("*.log"):
        assert key not in log.read_text(), log.name
