"""Two programs that are not ours read an OCPI Sender: latam-evra-ocpi as a client, ocpi-types as a checker of objects.

Run by the Python of an environment that has both:  python ocpi_clients.py URL KEY
Prints, as one JSON object, what they found.
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module
from typing import Any

import httpx
from latam_evra_ocpi import OcpiClient  # type: ignore[import-not-found,unused-ignore]

VERSIONS = {"2.1.1": "v2_1_1", "2.2.1": "v2_2_1", "2.3.0": "v2_3_0"}


async def read(url: str, key: str) -> dict[str, Any]:
    """Versions, details and Locations, as the client has them. It shows no token for the first two."""
    async with OcpiClient(base_url=f"{url}/ocpi/2.3.0") as client:
        versions = await client.get_versions()
        details = await client.get_details()
        page = await client.get_locations(key, offset=1, limit=2)
        first = page.locations[0]
        again = await client.get_location(key, first.country_code, first.party_id, first.id)
        return {
            "versions": [each.version for each in versions],
            "endpoints": [(each.identifier, each.role) for each in details.endpoints],
            "locations": [each.id for each in page.locations],
            "same": again == first,
            "statuses": {evse.evse_id: evse.status for each in page.locations for evse in each.evses},
        }


def checked(url: str, key: str, version: str) -> int:
    """Crawls all Locations of a version; each has to be one to the classes of ocpi-types."""
    kind = import_module(f"ocpi_types.{VERSIONS[version]}").Location
    count = 0
    address: str | None = f"{url}/ocpi/{version}/sender/locations?limit=200"
    with httpx.Client(headers={"Authorization": f"Token {key}"}) as client:
        while address:
            answer = client.get(address).raise_for_status()
            for each in answer.json()["data"]:
                made = kind.from_dict(each)
                assert made.id == each["id"]
                assert len(made.evses) == len(each["evses"])
                count += 1
            address = answer.links.get("next", {}).get("url")
    return count


def main() -> None:
    url, key = sys.argv[1:]
    found = asyncio.run(read(url, key))
    found["checked"] = {version: checked(url, key, version) for version in VERSIONS}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
