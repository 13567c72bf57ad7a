"""`ladestrom keys`: creates, lists, approves, replaces, revokes and erases keys.

A key is printed once, alone, on standard output; everything else goes to standard error.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import App, Parameter

from ladestrom.cli.store import duration_s, now, print_table, reading, shown, writing
from ladestrom.cli.where import NOT_GIVEN, Where, say
from ladestrom.core.access import Scope, create_key, key_state
from ladestrom.core.key_making import successor
from ladestrom.errors import Conflict, NotFound
from ladestrom.quoting import quoted

if TYPE_CHECKING:
    from ladestrom.ports.keys import KeyRecord
    from ladestrom.ports.stores import Store

SECRET_BYTES: Final = 32
"""Of which a key keeps the 178 bits that its 30 characters hold."""
ID_BYTES: Final = 8
PURPOSE_CHARACTERS_SHOWN: Final = 60
"""Of what a key is for, in the table."""

app: Final = App(name="keys", help="Create, list, approve, rotate, revoke and erase keys.")

KeyId = Annotated[str, Parameter(name="ID")]


@app.command
def create(
    *,
    name: str,
    scope: Annotated[list[Scope], Parameter(consume_multiple=True)],
    operator: str | None = None,
    expires: str | None = None,
    where: Where = NOT_GIVEN,
) -> None:
    """Create a key and print it. The key is shown only once: store it.

    Only the key is written to standard output; all other messages go to standard error.

    Args:
        name: Name that the list of keys shows, such as who uses the key and for what.
        scope: What the key may do. `stream`: read all statuses. `report`: send reports for one operator, and
            read its data. `admin`: manage the server, and read everything. Can be given several times.
        operator: The operator that the key reports for. Required for the scope `report`.
        expires: How long the key is valid: a number and s, m, h, d or w, such as 90d. Without this
            option it does not expire.
        where: Options of every command.
    """
    lifetime_s = None if expires is None else duration_s(expires, "--expires")
    asyncio.run(_create(where, name, scope, operator, lifetime_s))


@app.command(name="list")
def list_keys(
    *,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    where: Where = NOT_GIVEN,
) -> None:
    """List all keys, without their secrets, including those that await approval, are revoked or have expired.

    Args:
        as_json: Print a JSON list. Times are milliseconds since 1970.
        where: Options of every command.
    """
    records = asyncio.run(_records(where))
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
def approve(key_id: KeyId, /, *, where: Where = NOT_GIVEN) -> None:
    """Approve a key that a visitor created. It becomes valid within a second.

    Args:
        key_id: Public id of the key; `ladestrom keys list` shows it.
        where: Options of every command.
    """
    asyncio.run(_approve(where, key_id))


@app.command
def rotate(key_id: KeyId, /, *, overlap: str = "7d", where: Where = NOT_GIVEN) -> None:
    """Create a second key with the same rights and print it. The old key expires after the overlap.

    If the old key has an expiry date, the new key is valid for the same length of time.

    Args:
        key_id: Public id of the old key; `ladestrom keys list` shows it.
        overlap: How long both keys are valid.
        where: Options of every command.
    """
    asyncio.run(_rotate(where, key_id, duration_s(overlap, "--overlap")))


@app.command
def revoke(key_id: KeyId, /, *, where: Where = NOT_GIVEN) -> None:
    """Revoke a key. This cannot be undone. A running server closes its connections within 5 seconds.

    Args:
        key_id: Public id of the key; `ladestrom keys list` shows it.
        where: Options of every command.
    """
    asyncio.run(_revoke(where, key_id))


@app.command
def erase(key_id: KeyId, /, *, where: Where = NOT_GIVEN) -> None:
    """Delete a key with its holder's name, e-mail address and purpose. This cannot be undone.

    The key is revoked as well. Backups that were made before still contain it.

    Args:
        key_id: Public id of the key; `ladestrom keys list` shows it.
        where: Options of every command.
    """
    asyncio.run(_erase(where, key_id))


async def _create(
    where: Where, name: str, scopes: list[Scope], operator: str | None, lifetime_s: int | None
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
    async with writing(where, make=True) as store:
        await store.put_key(record)
    _hand_out(text, record)


async def _rotate(where: Where, key_id: str, overlap_s: int) -> None:
    at = now()
    async with writing(where) as store:
        old = await _record(store, key_id)
        state = key_state(old, at)
        if state == "pending":
            raise Conflict(f"the key {key_id} has not been approved yet; use `ladestrom keys approve`")
        if state != "live":
            raise Conflict(f"the key {key_id} is {state}; create a new one with `ladestrom keys create`")
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
    say(f"the old key {key_id} expires at {shown(ends_at)}")


async def _approve(where: Where, key_id: str) -> None:
    async with writing(where) as store:
        await store.approve_key(key_id, now())
    say(f"the key {key_id} is approved")


async def _revoke(where: Where, key_id: str) -> None:
    async with writing(where) as store:
        await store.revoke_key(key_id, now())
    say(f"the key {key_id} is revoked")


async def _erase(where: Where, key_id: str) -> None:
    async with writing(where) as store:
        await store.erase_key(key_id)
    say(f"the key {key_id} is erased")


async def _records(where: Where) -> list[KeyRecord]:
    async with reading(where) as store:
        return list(await store.keys())


async def _record(store: Store, key_id: str) -> KeyRecord:
    for record in await store.keys():
        if record.id == key_id:
            return record
    raise NotFound(f"there is no key {quoted(key_id)}; `ladestrom keys list` shows the ids")


def _hand_out(text: str, record: KeyRecord) -> None:
    print(text, flush=True)
    say(
        f"key {record.id} for {record.name}: scope {', '.join(record.scopes)}"
        + (f"; reports for {record.operator}" if record.operator else "")
        + f"; expires {shown(record.expires_at, 'never')}. The key is not shown again"
    )


def _public(record: KeyRecord) -> dict[str, object]:
    return {name: value for name, value in msgspec.structs.asdict(record).items() if name != "secret_sha256"}
