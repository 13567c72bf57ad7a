"""The unit file and the proxy's configuration of the installation page work as they are printed."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import httpx2
import pytest
from tests.certificates import Authority
from tests.documents import ROOT, blocks
from tests.e2e.following import E1, report
from tests.e2e.running import free_port
from tests.e2e.serving import Serving
from tests.patience import DEADLINE_S, until
from tests.programs import begin, end, run
from websockets.sync.client import connect

PAGE: Final = ROOT / "docs" / "install.md"


def printed(language: str) -> str:
    """The page's block of a language; it has one of each."""
    (found,) = [block.text for block in blocks(PAGE) if block.language == language]
    return found


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = Path(sys.executable).with_name("ladestrom")
    unit = tmp_path / "ladestrom.service"
    unit.write_text(
        printed("ini")
        .replace("/srv/ladestrom/bin/ladestrom", str(program if program.exists() else sys.executable))
        .replace("User=ladestrom\n", "User=root\n")
    )
    done = run(["systemd-analyze", "verify", "--man=no", unit])
    assert [line for line in done.stderr.splitlines() if "ladestrom.service" in line] == []
    assert done.returncode == 0, done.stderr


class Proxy:
    """nginx with the page's configuration, on ports of loopback. A context manager."""

    def __init__(self, folder: Path, server_port: int) -> None:
        self.authority = Authority(folder / "authority")
        certificate, key = self.authority.sign("server")
        self.port = free_port()
        self._folder = folder
        configured = (
            printed("nginx")
            .replace("127.0.0.1:8383", f"127.0.0.1:{server_port}")
            .replace("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl")
            .replace("/etc/ssl/status.example.org.pem", str(certificate))
            .replace("/etc/ssl/status.example.org.key", str(key))
        )
        self._file = folder / "nginx.conf"
        places = "".join(
            f"{name}_temp_path {folder / name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self._file.write_text(
            f"daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder / 'nginx.pid'};\n"
            f"error_log {folder / 'error.log'};\nevents {{}}\n"
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

    def client(self) -> httpx2.Client:
        """Speaks to the proxy as a browser would, and believes its certificate."""
        return httpx2.Client(
            base_url=f"https://127.0.0.1:{self.port}", verify=self.trust(), timeout=DEADLINE_S
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
