"""The OCPI Sender read by programs that are not ours, in an environment of their own.

Where LADESTROM_TEST_OCPI_CLIENTS names the Python of an environment that has latam-evra-ocpi and ocpi-types.
"""

from __future__ import annotations

import gzip
import json
import os
from itertools import islice
from pathlib import Path

import pytest
from tests.conftest import SharedFile
from tests.e2e.serving import Serving, now
from tests.programs import run

from ladestrom.core.access import operator_from
from ladestrom.ports.registry import StationDraft
from ladestrom.registers import irve

PYTHON = os.environ.get("LADESTROM_TEST_OCPI_CLIENTS")
CLIENTS = Path(__file__).parent / "peers" / "ocpi_clients.py"
POINTS = 2_000
"""Rows of the French register that are offered."""

pytestmark = pytest.mark.skipif(
    PYTHON is None, reason="no latam-evra-ocpi here: LADESTROM_TEST_OCPI_CLIENTS names no Python"
)


def test_a_client_finds_everything_and_every_object_is_what_the_specification_says(
    tmp_path: Path, shared_file: SharedFile
) -> None:
    assert PYTHON is not None
    with gzip.open(shared_file("data/france/irve-statique.json.gz")) as file:
        drafts = list(irve.parse([b"".join(islice(file, POINTS))]))
    french = [each for each in drafts if isinstance(each, StationDraft)]
    with Serving(tmp_path, {"page.visitors": "anyone"}) as server:
        server.write(lambda store: store.import_stations("irve", french, now(), complete=True))
        server.write(lambda store: store.put_operator(operator_from("all", all_evses=True), now()))
        server.in_step()
        server.report({"evse": "NO*ALF*E1342", "status": "CHARGING"})
        command = [PYTHON, str(CLIENTS), server.url, server.keys["stream"]]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        found = json.loads(run(command, check=True, env=environ, cwd="/").stdout)
        offered = {
            version: int(server.get(f"/ocpi/{version}/sender/locations?limit=1").headers["x-total-count"])
            for version in ("2.1.1", "2.2.1", "2.3.0")
        }
    assert found["versions"] == ["2.3.0", "2.2.1", "2.1.1"]
    assert found["endpoints"] == [["locations", "SENDER"]]
    assert (len(found["locations"]), found["same"]) == (2, True)
    assert set(found["statuses"].values()) <= {"UNKNOWN", "CHARGING"}
    assert found["checked"] == offered
    assert min(offered.values()) > len(french) / 2
