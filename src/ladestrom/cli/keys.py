"""`ladestrom keys`: makes, lists, approves, replaces and revokes keys.

A key is printed once, alone, on standard output; everything that is said about it goes to standard error.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import App, Parameter

from ladestrom.cli.store import DATA_DEFAULT, DataDirectory, duration_s, now, opened, print_table, shown
from ladestrom.core.access import Scope, create_key, key_state
from ladestrom.core.key_making import successor
from ladestrom.errors import Conflict, NotFound

if TYPE_CHECKING:
    from ladestrom.ports import KeyRecord, Store

SECRET_BYTES: Final = 32
"""Of which a key keeps the 178 bits that its 30 characters hold."""
ID_BYTES: Final = 8
PURPOSE_CHARACTERS_SHOWN: Final = 60
"""Of what a key is for, in the table."""

app: Final = App(name="keys", help="Keys: create, list, approve, rotate, revoke.")


@app.command
def create(
    *,
    name: str,
    scope: Annotated[list[Scope], Parameter(consume_multiple=True, negative=())],
    operator: str | None = None,
    expires: str | None = None,
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Make a key and print it, alone, on standard output. It cannot be shown again.

    Args:
        name: whose it is and what for, as the list of keys shows it.
        scope: `stream` reads, `report` reports for an operator, `admin` does all else; several are possible.
        operator: whose statuses it reports; needed with `report`.
        expires: how long it is valid, such as 90d; for ever where it is left out.
        data: directory of the log and the store; made where it is missing.
    """
    lifetime_s = None if expires is None else duration_s(expires, "--expires")
    asyncio.run(_create(data, name, scope, operator, lifetime_s))


@app.command(name="list")
def list_keys(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Print all keys, those that wait, are revoked or expired too, without their secrets.

    Args:
        as_json: prints a JSON list; instants are milliseconds since the Unix epoch.
        data: directory of the log and the store.
    """
    records = asyncio.run(_records(data))
    at = now()
    if as_json:
        rows = [{**_public(record), "state": key_state(record, at)} for record in records]
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    head = ("SCOPES", "OPERATOR", "CREATED", "EXPIRES", "LAST USED")
    print_table(
        ("ID", "NAME", "E-MAIL", "PURPOSE", *head, "STATE"),
        [
            (
                record.id,
                record.name,
                record.email or "-",
                (record.purpose or "-")[:PURPOSE_CHARACTERS_SHOWN],
                ",".join(record.scopes),
                record.operator or "-",
                shown(record.created_at),
                shown(record.expires_at, "never"),
                shown(record.last_used_at, "never"),
                key_state(record, at),
            )
            for record in records
        ],
    )


@app.command
def approve(key_id: Annotated[str, Parameter(name="ID")], /, *, data: DataDirectory = DATA_DEFAULT) -> None:
    """Make a key good that somebody made himself and that waits. Servers that run know within a second.

    Args:
        key_id: the public id, which `keys list` shows.
        data: directory of the log and the store.
    """
    asyncio.run(_approve(data, key_id))


@app.command
def rotate(
    key_id: Annotated[str, Parameter(name="ID")],
    /,
    *,
    overlap: str = "7d",
    data: DataDirectory = DATA_DEFAULT,
) -> None:
    """Make a second key with the same rights and print it; the old one ends after the overlap.

    Where the old key expires, the new one is valid for as long as the old one was to be.

    Args:
        key_id: the public id of the old key, which `keys list` shows.
        overlap: how long both are valid.
        data: directory of the log and the store.
    """
    asyncio.run(_rotate(data, key_id, duration_s(overlap, "--overlap")))


@app.command
def revoke(key_id: Annotated[str, Parameter(name="ID")], /, *, data: DataDirectory = DATA_DEFAULT) -> None:
    """End a key for good. Servers that run cut its connections within 5 seconds.

    Args:
        key_id: the public id, which `keys list` shows.
        data: directory of the log and the store.
    """
    asyncio.run(_revoke(data, key_id))


async def _create(
    data: Path, name: str, scopes: list[Scope], operator: str | None, lifetime_s: int | None
) -> None:
    at = now()
    expires_at = None if lifetime_s is None else at + lifetime_s * 1000
    text, record = create_key(
        secrets.token_bytes(SECRET_BYTES),
        secrets.token_bytes(ID_BYTES),
        name=name,
        scopes=scopes,
        operator=operator,
        created_at=at,
        expires_at=expires_at,
    )
    async with opened(data) as store:
        await store.put_key(record)
    _hand_out(text, record)


async def _rotate(data: Path, key_id: str, overlap_s: int) -> None:
    at = now()
    async with opened(data, make=False) as store:
        old = await _record(store, key_id)
        state = key_state(old, at)
        if state == "pending":
            raise Conflict(f"the key {key_id} waits to be approved; `ladestrom keys approve` does that")
        if state != "live":
            raise Conflict(f"the key {key_id} is {state} already; make a new one with `keys create`")
        lifetime = None if old.expires_at is None else old.expires_at - old.created_at
        text, record = successor(
            secrets.token_bytes(SECRET_BYTES),
            secrets.token_bytes(ID_BYTES),
            old,
            at,
            None if lifetime is None else at + lifetime,
        )
        await store.put_key(record)
        await store.expire_key(key_id, at + overlap_s * 1000)
        ends_at = (await _record(store, key_id)).expires_at
    _hand_out(text, record)
    _say(f"the key {key_id} ends {shown(ends_at)}")


async def _approve(data: Path, key_id: str) -> None:
    async with opened(data, make=False) as store:
        await store.approve_key(key_id, now())
    _say(f"the key {key_id} is good now")


async def _revoke(data: Path, key_id: str) -> None:
    async with opened(data, make=False) as store:
        await store.revoke_key(key_id, now())
    _say(f"the key {key_id} is revoked")


async def _records(data: Path) -> list[KeyRecord]:
    async with opened(data, make=False) as store:
        return list(await store.keys())


async def _record(store: Store, key_id: str) -> KeyRecord:
    for record in await store.keys():
        if record.id == key_id:
            return record
    raise NotFound(f"there is no key {key_id[:40]!r}; `ladestrom keys list` shows the ids")


def _hand_out(text: str, record: KeyRecord) -> None:
    print(text, flush=True)
    _say(
        f"key {record.id} for {record.name}: {', '.join(record.scopes)}"
        + (f"; reports for {record.operator}" if record.operator else "")
        + f"; expires {shown(record.expires_at, 'never')}. It is not shown again"
    )


def _public(record: KeyRecord) -> dict[str, object]:
    return {name: value for name, value in msgspec.structs.asdict(record).items() if name != "secret_sha256"}


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
