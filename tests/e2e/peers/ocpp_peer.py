"""A charge point made of a library that is not ours: the package `ocpp`, over `websockets`.

Run with the Python of an environment of its own that has both:

    python ocpp_peer.py drive URL ID PASSWORD 1.6|2.0.1|2.1 DEADLINE_S
    python ocpp_peer.py validate

`drive` connects and goes through a day of a charging station; each message, both ways, is validated by that
package against the schemas of the specification. It prints one JSON object of what it was told.
`validate` reads lines of [version, type, action, payload], and prints the lines that are against the schemas.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import importlib
import json
import sys
from datetime import UTC, datetime
from typing import Any

PACKAGES = {"1.6": "ocpp.v16", "2.0.1": "ocpp.v201", "2.1": "ocpp.v21"}


def stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(found: Any) -> Any:
    """A result of that package as JSON has it."""
    return {name: value for name, value in dataclasses.asdict(found).items() if value is not None}


def station(version: str) -> Any:
    """The class of a charge point of this version, which tells a status when it is asked."""
    package = importlib.import_module(PACKAGES[version])
    routing = importlib.import_module("ocpp.routing")
    calls = importlib.import_module(f"{PACKAGES[version]}.call")
    results = importlib.import_module(f"{PACKAGES[version]}.call_result")

    class Station(package.ChargePoint):  # type: ignore[misc,name-defined] # its types are not here
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.asked: list[dict[str, Any]] = []
            self.untold = asyncio.Event()

        @routing.on("TriggerMessage")
        def on_trigger(self, **payload: Any) -> Any:
            self.asked.append(payload)
            return results.TriggerMessage(status="Accepted")

        @routing.after("TriggerMessage")
        async def after_trigger(self, **payload: Any) -> None:
            if payload.get("connector_id") == 2 or payload.get("evse") == {"id": 2, "connector_id": 1}:
                await self.call(status(calls, version, 2, {"1.6": "SuspendedEV"}.get(version, "Occupied")))
                self.untold.set()

    return Station


def status(calls: Any, version: str, number: int, word: str, code: str = "NoError") -> Any:
    if version == "1.6":
        return calls.StatusNotification(
            connector_id=number,
            error_code=code,
            status=word,
            timestamp=stamp(),
            info="as seen by the station",
        )
    return calls.StatusNotification(timestamp=stamp(), connector_status=word, evse_id=number, connector_id=1)


def day_16(calls: Any) -> list[Any]:
    meter = {"timestamp": stamp(), "sampled_value": [{"value": "1"}]}
    return [
        calls.BootNotification(charge_point_model="Twin", charge_point_vendor="Exempla"),
        calls.Heartbeat(),
        status(calls, "1.6", 0, "Available"),
        status(calls, "1.6", 1, "Available", "GroundFailure"),
        calls.Authorize(id_tag="04A1B2C3"),
        calls.StartTransaction(connector_id=1, id_tag="04A1B2C3", meter_start=0, timestamp=stamp()),
        calls.MeterValues(connector_id=1, meter_value=[meter]),
        calls.StopTransaction(meter_stop=1, timestamp=stamp(), transaction_id=1),
        calls.DataTransfer(vendor_id="com.example", data="x"),
        calls.DiagnosticsStatusNotification(status="Idle"),
        calls.FirmwareStatusNotification(status="Idle"),
        calls.SecurityEventNotification(type="StartupOfTheDevice", timestamp=stamp(), tech_info="x"),
        calls.LogStatusNotification(status="Idle", request_id=1),
        calls.SignCertificate(csr="x"),
        calls.SignedFirmwareStatusNotification(status="Idle", request_id=1),
    ]


def day_2(calls: Any, version: str) -> list[Any]:
    token = {"id_token": "04A1B2C3", "type": "ISO14443"}
    meter = {"timestamp": stamp(), "sampled_value": [{"value": 1.0}]}
    event = {
        "event_id": 1,
        "timestamp": stamp(),
        "trigger": "Delta",
        "actual_value": "true",
        "event_notification_type": "HardWiredNotification",
        "component": {"name": "Connector", "evse": {"id": 1, "connector_id": 1}},
        "variable": {"name": "Problem"},
    }
    boot = {"model": "Twin", "vendor_name": "Exempla"}
    told = [
        calls.BootNotification(charging_station=boot, reason="PowerUp"),
        calls.Heartbeat(),
        status(calls, version, 1, "Available"),
        calls.NotifyEvent(generated_at=stamp(), seq_no=0, event_data=[event]),
        calls.Authorize(id_token=token),
        calls.TransactionEvent(
            event_type="Started",
            timestamp=stamp(),
            trigger_reason="Authorized",
            seq_no=0,
            transaction_info={"transaction_id": "t1"},
            id_token=token,
        ),
        calls.MeterValues(evse_id=1, meter_value=[meter]),
        calls.DataTransfer(vendor_id="com.example", data="x"),
        calls.FirmwareStatusNotification(status="Idle"),
        calls.SecurityEventNotification(type="StartupOfTheDevice", timestamp=stamp(), tech_info="x"),
        calls.LogStatusNotification(status="Idle"),
        calls.SignCertificate(csr="x"),
        calls.NotifyReport(request_id=1, generated_at=stamp(), seq_no=0),
        calls.NotifyMonitoringReport(request_id=1, generated_at=stamp(), seq_no=0),
        calls.ReservationStatusUpdate(reservation_id=1, reservation_update_status="Expired"),
        calls.NotifyCustomerInformation(data="x", seq_no=0, generated_at=stamp(), request_id=1),
    ]
    if version == "2.1":
        told += [
            calls.NotifyDERAlarm(control_type="EnterService", timestamp=stamp()),
            calls.NotifyPriorityCharging(transaction_id="t1", activated=True),
            calls.PullDynamicScheduleUpdate(charging_profile_id=1),
        ]
    return told


async def drive(url: str, name: str, password: str, version: str, deadline: str) -> None:
    """A day; prints what each call was told, and what was asked."""
    connect = importlib.import_module("websockets.asyncio.client").connect
    calls = importlib.import_module(f"{PACKAGES[version]}.call")
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    deadline_s = float(deadline)
    async with connect(
        f"{url}/ocpp/{name}",
        subprotocols=[f"ocpp{version}"],
        additional_headers={"Authorization": f"Basic {token}"},
        open_timeout=deadline_s,
        ping_timeout=deadline_s,
    ) as socket:
        point = station(version)(name, socket, response_timeout=deadline_s)
        listening = asyncio.create_task(point.start())
        told = []
        for call in day_16(calls) if version == "1.6" else day_2(calls, version):
            found = await point.call(call, suppress=False)
            told.append([type(call).__name__, plain(found)])
        await asyncio.wait_for(point.untold.wait(), deadline_s)
        listening.cancel()
        print(json.dumps({"subprotocol": socket.subprotocol, "told": told, "asked": point.asked}), flush=True)
        # The connection stays until whoever started this has looked.
        await asyncio.to_thread(sys.stdin.read)


async def validate() -> int:
    """Lines against the schemas; how many are wrong."""
    messages = importlib.import_module("ocpp.messages")
    wrong = 0
    for line in sys.stdin:
        version, kind, action, payload = json.loads(line)
        form = messages.Call if kind == "call" else messages.CallResult
        try:
            await messages.validate_payload(form("x", action=action, payload=payload), version)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            wrong += 1
            print(f"{version} {kind} {action}: {error!r}")
    return wrong


def main() -> int:
    """Does what the command line says."""
    if sys.argv[1] == "drive":
        asyncio.run(drive(*sys.argv[2:7]))
        return 0
    return 1 if asyncio.run(validate()) else 0


if __name__ == "__main__":
    sys.exit(main())
