"""A charge point operator's system made of extrawest-ocpi; runs in an environment of its own.

    python extrawest_peer.py PORT VERSION < state.json

The state has `token_a`, with which a peer may register, `token_c`, which it gives out, and `locations`. It
serves versions, details, credentials and Locations at /ocpi, and pushes a Location when it is asked to at
/push/VERSION. Must not import anything of ladestrom.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

PORT, VERSION = int(sys.argv[1]), sys.argv[2]
STATE = json.load(sys.stdin)
os.environ |= {
    "OCPI_HOST": f"127.0.0.1:{PORT}",
    "PROTOCOL": "http",
    "COUNTRY_CODE": "BE",
    "PARTY_ID": "BEC",
    "ENVIRONMENT": "production",
}

import uvicorn  # noqa: E402 - its settings are read when it is imported
from py_ocpi import get_application  # type: ignore[import-not-found,unused-ignore]  # noqa: E402 - its settings are read when it is imported
from py_ocpi.core.authentication.authenticator import Authenticator  # type: ignore[import-not-found,unused-ignore]  # noqa: E402 - its settings are read when it is imported
from py_ocpi.core.crud import Crud  # type: ignore[import-not-found,unused-ignore]  # noqa: E402 - its settings are read when it is imported
from py_ocpi.core.enums import ModuleID, RoleEnum  # type: ignore[import-not-found,unused-ignore]  # noqa: E402 - its settings are read when it is imported
from py_ocpi.modules.versions.enums import VersionNumber  # type: ignore[import-not-found,unused-ignore]  # noqa: E402 - its settings are read when it is imported

PAGE = 2
PARTY = {"party_id": "BEC", "country_code": "BE", "business_details": {"name": "Peer"}}


def own_credentials() -> dict[str, Any]:
    said = {"token": STATE["token_c"], "url": f"http://127.0.0.1:{PORT}/ocpi/versions"}
    return said | (PARTY if VERSION == "2.1.1" else {"roles": [{"role": "CPO", **PARTY}]})


class Tokens(Authenticator):  # type: ignore[misc,unused-ignore]
    @classmethod
    async def get_valid_token_c(cls) -> list[str]:
        return [STATE["token_c"]]

    @classmethod
    async def get_valid_token_a(cls) -> list[str]:
        return [STATE["token_a"]]


class Kept(Crud):  # type: ignore[misc,unused-ignore]
    @classmethod
    async def get(cls, module: Any, _role: Any, id: Any, *_: Any, **__: Any) -> Any:  # noqa: A002 - its own name
        if module == ModuleID.credentials_and_registration:
            return own_credentials()
        return next((each for each in STATE["locations"] if each["id"].lower() == str(id).lower()), None)

    @classmethod
    async def list(cls, _module: Any, _role: Any, filters: dict[str, Any], *_: Any, **__: Any) -> Any:
        filters["limit"] = min(filters["limit"], PAGE)
        found = STATE["locations"]
        end = filters["offset"] + filters["limit"]
        return found[filters["offset"] : end], len(found), end >= len(found)

    @classmethod
    async def create(cls, *_: Any, **__: Any) -> Any:
        return own_credentials()

    @classmethod
    async def update(cls, *_: Any, **__: Any) -> Any:
        return own_credentials()

    @classmethod
    async def delete(cls, *_: Any, **__: Any) -> None:
        return None

    @classmethod
    async def do(cls, *_: Any, **__: Any) -> None:
        return None


app = get_application(
    version_numbers=[VersionNumber(VERSION)],
    roles=[RoleEnum.cpo],
    crud=Kept,
    modules=[ModuleID.credentials_and_registration, ModuleID.locations],
    authenticator=Tokens,
    http_push=True,
)
uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
