"""Fuzz targets of OCPI: of any bytes, sound deliveries and documents or an error of ours, nothing else.

The tests drive them with Hypothesis. With atheris installed, `python fuzz/ocpi_targets.py page CORPUS` fuzzes
one of them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Final

import msgspec

from ladestrom.core.drafts import completed, doubled_key, fault
from ladestrom.core.rules import EARLIEST_AT
from ladestrom.errors import InvalidRegister, LadestromError
from ladestrom.ports.calls import Answered, Ask
from ladestrom.ports.registry import StationDraft
from ladestrom.protocols import ocpi_credentials, ocpi_receiver
from ladestrom.protocols.delivery import ID_CHARACTERS_MAX, RAW_CHARACTERS_MAX, Delivery, ParseLimits
from ladestrom.protocols.interfaces import PullSettings, inline
from ladestrom.protocols.ocpi_locations import evse_ids, read_page
from ladestrom.protocols.ocpi_pull import pull
from ladestrom.registers import ocpi as ocpi_register

NOW: Final = 1_795_000_000_000
LIMITS: Final = (ParseLimits(), ParseLimits(items_max=2))
STORED: Final = msgspec.json.encode(
    {
        "id": "LOC1",
        "coordinates": {"latitude": "59.9", "longitude": "10.7"},
        "country": "NOR",
        "evses": [
            {
                "uid": "1",
                "evse_id": "NO*ABC*E1",
                "status": "AVAILABLE",
                "connectors": [{"id": "1", "standard": "CHADEMO"}],
                "last_updated": "2026-11-01T08:00:00Z",
            }
        ],
        "last_updated": "2026-11-01T08:00:00Z",
    }
)
PATHS: Final = ("NO/ABC/LOC1", "NO/ABC/LOC1/1", "NO/ABC/LOC1/1/1", "NO/ABC/LOC1/2", "NO/ABC/LOC1/1/2")


def check(delivery: Delivery, limits: ParseLimits) -> None:
    """What has to hold of every delivery, whatever it was read from."""
    reports, refused = delivery.reports, delivery.refused
    assert len(reports) + len(refused) <= limits.items_max
    for report in reports:
        assert 0 < len(report.evse) <= ID_CHARACTERS_MAX
        assert report.observed_at is None or report.observed_at >= EARLIEST_AT
        assert len(report.raw) <= RAW_CHARACTERS_MAX
    places = [refusal.index for refusal in refused]
    assert places == sorted(set(places))
    for one in delivery.stations:
        if isinstance(one, StationDraft):
            check_draft(one)


def check_draft(one: StationDraft) -> None:
    """A draft can be kept."""
    assert fault(one) is None
    assert doubled_key(completed(one, "ocpi:abc", "NOR_00001")[0]) is None


def fuzz_page(data: bytes) -> None:
    """A list of Locations."""
    for limits in LIMITS:
        try:
            page = read_page(data, "abc", limits, party="NOABC", with_stations=True)
        except LadestromError as error:
            assert 400 <= error.status < 500  # noqa: PT017 - of whose making it is
        else:
            check(page.delivery, limits)


def fuzz_put(data: bytes) -> None:
    """What is put on a Location, an EVSE and a Connector, there before and not."""
    _change(ocpi_receiver.put, data)


def fuzz_patch(data: bytes) -> None:
    """What patches them."""
    _change(ocpi_receiver.patch, data)


def _change(
    change: Callable[[bytes | None, ocpi_receiver.Target, ocpi_receiver.Sent], ocpi_receiver.Outcome],
    data: bytes,
) -> None:
    for path in PATHS:
        where = ocpi_receiver.target(path)
        for document in (STORED, None):
            for version in ("2.1.1", "2.2.1"):
                sent = ocpi_receiver.Sent(
                    body=data, version=version, source="abc", received_at=NOW, with_stations=True
                )
                try:
                    outcome = change(document, where, sent)
                except LadestromError as error:
                    assert error.status < 500  # noqa: PT017 - of whose making it is
                    continue
                check(outcome.delivery, sent.limits)
                if outcome.document is not None:
                    evse_ids(outcome.document)
                    ocpi_receiver.get(outcome.document, where)


def fuzz_credentials(data: bytes) -> None:
    """What a peer says of itself."""
    try:
        said = ocpi_credentials.read(data)
    except LadestromError:
        return
    assert said.token
    assert said.url


def fuzz_pull(data: bytes) -> None:
    """A peer that answers so to everything."""
    settings = PullSettings(source="abc", address="https://peer.example/ocpi/versions", secret="s")
    walk = inline(pull(settings, {}, NOW))
    told: Answered | None = None
    try:
        for _ in range(50):
            step = next(walk) if told is None else walk.send(told)
            told = None
            if isinstance(step, Ask):
                told = Answered(step.url, 200, {"link": data[:200].decode("latin-1")}, data, NOW)
            else:
                check(step, settings.limits)
    except (LadestromError, StopIteration):
        return


def fuzz_register(data: bytes) -> None:
    """A file of Locations."""
    try:
        for one in ocpi_register.parse([data]):
            if isinstance(one, StationDraft):
                check_draft(one)
    except InvalidRegister:
        return


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "page": fuzz_page,
    "put": fuzz_put,
    "patch": fuzz_patch,
    "credentials": fuzz_credentials,
    "pull": fuzz_pull,
    "register": fuzz_register,
}


def main() -> None:
    """Fuzzes the target that the first argument names; all others go to atheris."""
    atheris = importlib.import_module("atheris")
    target = TARGETS[sys.argv.pop(1)]
    atheris.instrument_all()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
