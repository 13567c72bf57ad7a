"""The router of OCPI: a module is a row and a handler, and no other module knows of it."""

from __future__ import annotations

import json
from typing import Any

from tests.building import NOW, make_operator

from ladestrom.core.access import Keyring
from ladestrom.credentials import Doorkeeper
from ladestrom.ingest.ocpi_handlers import Asked, ModuleServices, OcpiSettings
from ladestrom.ingest.ocpi_peers import KnownPeers, digest
from ladestrom.ingest.ocpi_server import OcpiServer
from ladestrom.ports.peers import Peer
from ladestrom.protocols.ocpi import Reply
from ladestrom.protocols.ocpi_credentials import Self
from ladestrom.protocols.ocpi_modules import MODULES, Module, Role

TOKEN = "lst_ocpi_x"
PEER = Peer(id="p", operator="abc", state="registered", token_sha256=digest(TOKEN), made_at=NOW)


class Tariffs:
    """A module that says what it was asked."""

    def __init__(self, services: ModuleServices) -> None:
        self.own = services.settings.own

    async def answer(self, asked: Asked) -> Reply:
        return Reply([asked.request.method, asked.version, asked.path, asked.peer.id, self.own.party_id])


ROW = Module(
    identifier="tariffs",
    role=Role.SENDER,
    path="tariffs/",
    methods=("GET",),
    target=f"{__name__}:Tariffs",
    versions=("2.2.1",),
)


def server() -> OcpiServer:
    nothing: Any = None
    known = KnownPeers(nothing, nothing, lambda _: make_operator())
    known.follow([PEER])
    return OcpiServer(
        ModuleServices(
            intake=nothing,
            locations=nothing,
            store=nothing,
            peers=known,
            door=Doorkeeper(Keyring([], []), lambda: NOW),
            calls=nothing,
            operator=lambda _: make_operator(),
            clock=lambda: NOW,
            settings=OcpiSettings(own=Self("NO", "LDS", "ladestrom"), root="https://hub.example"),
            over_view=lambda _: nothing,
        ),
        (*MODULES, ROW),
    )


async def ask(path: str, method: str = "GET") -> tuple[int, dict[bytes, bytes], Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    headers = [
        (b"authorization", f"Token {TOKEN}".encode()),
        (b"ocpi-from-country-code", b"NO"),
        (b"ocpi-from-party-id", b"ABC"),
    ]
    scope = {"type": "http", "method": method, "raw_path": path.encode(), "headers": headers}
    await server()(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])


async def test_a_registered_module_answers_at_its_path_and_is_told_in_the_details_of_its_versions() -> None:
    status, headers, said = await ask("/ocpi/2.2.1/tariffs/NO/ABC/1")
    assert (status, said["data"]) == (200, ["GET", "2.2.1", "NO/ABC/1", "p", "LDS"])
    assert headers[b"ocpi-to-party-id"] == b"ABC"
    for version, expected in (
        ("2.2.1", ["credentials", "locations", "locations", "tariffs"]),
        ("2.3.0", ["credentials", "locations", "locations"]),
    ):
        _, _, told = await ask(f"/ocpi/{version}")
        assert [each["identifier"] for each in told["data"]["endpoints"]] == expected
    assert (await ask("/ocpi/2.3.0/tariffs"))[0] == 404


async def test_another_method_is_told_those_of_its_path() -> None:
    for path, methods in (
        ("/ocpi/versions", b"GET"),
        ("/ocpi/2.2.1", b"GET"),
        ("/ocpi/2.2.1/sender/locations/LOC1", b"GET"),
        ("/ocpi/2.2.1/locations/NO/ABC/1", b"GET, PUT, PATCH"),
        ("/ocpi/2.2.1/credentials", b"GET, POST, PUT, DELETE"),
    ):
        status, headers, _ = await ask(path, "OPTIONS")
        assert (status, headers[b"allow"]) == (405, methods)


async def test_a_method_that_a_module_does_not_have_is_refused_with_those_that_it_has() -> None:
    status, headers, said = await ask("/ocpi/2.2.1/tariffs", "PUT")
    assert (status, headers[b"allow"], said["status_code"]) == (405, b"GET", 2000)
