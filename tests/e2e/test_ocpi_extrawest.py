"""OCPI with a peer that is not ours: extrawest-ocpi, in an environment of its own, as a charge point operator.

Where LADESTROM_TEST_EXTRAWEST names the Python of an environment that has it; CONTRIBUTING says how.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.e2e.running import free_port
from tests.e2e.serving import Serving
from tests.e2e.test_ocpi import SETTINGS, call, code, invited, ladestrom, put_operators, shown, status_of
from tests.patience import DEADLINE_S, until
from tests.programs import DEVNULL, PIPE, program

PYTHON = os.environ.get("LADESTROM_TEST_EXTRAWEST")
PEER = Path(__file__).parent / "peers" / "extrawest_peer.py"
UPDATED = "2026-11-01T08:00:00Z"

pytestmark = pytest.mark.skipif(
    PYTHON is None, reason="no extrawest-ocpi here: LADESTROM_TEST_EXTRAWEST names no Python"
)


def location(number: int, version: str, status: str = "CHARGING") -> dict[str, Any]:
    """A Location with all that its models want."""
    sizes = ("voltage", "amperage") if version == "2.1.1" else ("max_voltage", "max_amperage")
    connector = {
        "id": "1",
        "standard": "IEC_62196_T2",
        "format": "SOCKET",
        "power_type": "AC_3_PHASE",
        sizes[0]: 230,
        sizes[1]: 32,
        "last_updated": UPDATED,
    }
    if version == "2.1.1":
        connector["tariff_id"] = "11"
    own = {} if version == "2.1.1" else {"country_code": "BE", "party_id": "BEC", "publish": True}
    return own | {
        "id": f"LOC{number}",
        "type": "ON_STREET",
        "name": f"Plein {number}",
        "address": f"Plein {number}",
        "city": "Gent",
        "postal_code": "9000",
        "country": "BEL",
        "coordinates": {"latitude": "51.047599", "longitude": "3.729944"},
        "time_zone": "Europe/Brussels",
        "evses": [
            {
                "uid": f"UID{number}",
                "evse_id": f"BE*BEC*E{number}",
                "status": status,
                "connectors": [connector],
                "last_updated": UPDATED,
            }
        ],
        "last_updated": UPDATED,
    }


@contextmanager
def extrawest(version: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The peer's address and its state."""
    port = free_port()
    state = {
        "token_a": "extrawest-invitation",
        "token_c": "extrawest-token-for-us",
        "locations": [location(number, version) for number in range(5)],
    }
    assert PYTHON is not None
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [PYTHON, str(PEER), str(port), version]
    with program(command, stdin=PIPE, stdout=DEVNULL, stderr=PIPE, env=environ, cwd="/") as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(state))
        process.stdin.close()
        url = f"http://127.0.0.1:{port}"
        ends_s = time.monotonic() + DEADLINE_S
        while True:
            try:
                httpx2.get(f"{url}/ocpi/versions", timeout=DEADLINE_S)
                break
            except httpx2.TransportError:
                if process.poll() is not None or time.monotonic() > ends_s:
                    assert process.stderr is not None
                    process.kill()
                    pytest.fail(process.stderr.read()[-2_000:])
                time.sleep(0.05)
        yield url, state


@pytest.mark.parametrize("version", ["2.1.1", "2.2.1"])
def test_we_register_with_it_and_it_is_asked_for_all_that_it_has(tmp_path: Path, version: str) -> None:
    settings = {**SETTINGS, "ocpi.reconcile_s": 86_400}
    with Serving(tmp_path, settings) as server, extrawest(version) as (peer, state):
        server.write(put_operators)
        server.in_step()
        made = ladestrom(
            server,
            "ocpi",
            "register",
            "--operator",
            "cpo",
            "--url",
            f"{peer}/ocpi/versions",
            "--token",
            state["token_a"],
        )
        assert made.returncode == 0, made.stderr
        # As a Sender: registered, it is asked for all of its pages, though its links lead nowhere.
        until(lambda: status_of(server, "BE*BEC*E4") == "CHARGING", "its last page was taken")
        assert {status_of(server, f"BE*BEC*E{number}") for number in range(5)} == {"CHARGING"}


@pytest.mark.parametrize("version", ["2.1.1", "2.2.1"])
def test_it_registers_with_us_and_pushes(tmp_path: Path, version: str) -> None:
    with Serving(tmp_path, SETTINGS) as server, extrawest(version) as (peer, state):
        server.write(put_operators)
        server.in_step()
        # It has no way of its own to begin a registration: its credentials are posted for it, and it is
        # called back.
        party = {"party_id": "BEC", "country_code": "BE", "business_details": {"name": "Peer"}}
        said = {"token": state["token_c"], "url": f"{peer}/ocpi/versions"}
        said |= party if version == "2.1.1" else {"roles": [{"role": "CPO", **party}]}
        registered = call(server, "POST", f"{version}/credentials", invited(server), said, version)
        assert code(registered) == 1000, registered.text
        token = registered.json()["data"]["token"]
        pushed = httpx2.post(
            f"{peer}/push/{version}",
            headers=shown(state["token_c"], version),
            json={
                "module_id": "locations",
                "object_id": "LOC3",
                "receivers": [{"endpoints_url": f"{server.url}/ocpi/{version}", "auth_token": token}],
            },
            timeout=DEADLINE_S,
        )
        (told,) = pushed.json()["receiver_responses"]
        assert (told["status_code"], told["response"]["status_code"]) == (201, 1000), pushed.text
        server.settled()
        assert status_of(server, "BE*BEC*E3") == "CHARGING"
        kept = call(server, "GET", f"{version}/locations/BE/BEC/LOC3", token, version=version).json()["data"]
        assert kept["evses"][0]["uid"].upper() == "UID3"
