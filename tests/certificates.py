"""Certificates for tests, made by `openssl`: an authority, and what it signs."""

from __future__ import annotations

import shutil
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.programs import run


def _run(*arguments: str | Path, cwd: Path) -> None:
    run(["openssl", *arguments], cwd=cwd, check=True)


class Authority:
    """One that is believed by whoever is told to: `file`. Skips the test where there is no openssl."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl here to make certificates with")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.file = folder / "ca.pem"
        _run(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=Test Authority"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            cwd=folder,
        )

    def sign(self, name: str, *, days: float = 30) -> tuple[Path, Path]:
        """Certificate and key for 127.0.0.1, good from two days ago for so many days."""
        _run(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"),
            cwd=self.folder,
        )
        (self.folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1\n")
        (self.folder / "index.txt").write_text("")
        (self.folder / "serial").write_text("01\n")
        (self.folder / "ca.conf").write_text(
            "[ca]\ndefault_ca=one\n[one]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\n"
            "certificate=ca.pem\nprivate_key=ca.key\ndefault_md=sha256\npolicy=any\nunique_subject=no\n"
            "[any]\ncommonName=supplied\n"
        )
        starts = datetime.now(UTC) - timedelta(days=2)
        ends = starts + timedelta(days=days)
        _run(
            *("ca", "-batch", "-config", "ca.conf", "-in", f"{name}.csr", "-out", f"{name}.pem"),
            *("-startdate", f"{starts:%Y%m%d%H%M%SZ}", "-enddate", f"{ends:%Y%m%d%H%M%SZ}"),
            *("-extfile", f"{name}.ext", "-notext"),
            cwd=self.folder,
        )
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def server(self, name: str = "server", *, days: float = 30, asks: bool = False) -> ssl.SSLContext:
        """What a server shows; with `asks`, it wants a certificate of this authority too."""
        certificate, key = self.sign(name, days=days)
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(certificate, key)
        if asks:
            made.load_verify_locations(self.file)
            made.verify_mode = ssl.CERT_REQUIRED
        return made
