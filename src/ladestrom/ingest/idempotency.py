"""Receipts of deliveries with an `Idempotency-Key`, kept to be given again.

In memory: after a restart a repeated delivery is decided anew, which the board's rules make harmless.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ladestrom.errors import BadRequest, IdempotencyConflict, NotReady
from ladestrom.model import Millis

KEY_CHARACTERS_MAX = 255

T = TypeVar("T")

_Kept = tuple[bytes, Millis, asyncio.Future[T]]
"""Digest of the body, when it came, and its answer."""


class Receipts(Generic[T]):
    """The last answers by operator and idempotency key.

    When there are too many, the operator that has the most loses its oldest: no operator displaces another's.
    """

    def __init__(self, keys_max: int, hours: float, steady: Callable[[], Millis]) -> None:
        self._keys_max = keys_max
        self._age_ms = int(hours * 3_600_000)
        self._steady = steady
        self._kept: dict[str, OrderedDict[str, _Kept[T]]] = {}
        """By operator and key, the oldest of each operator first."""
        self._count = 0

    async def once(self, operator: str, key: str, body: bytes, work: Callable[[], Awaitable[T]]) -> T:
        """The answer of `work`, or of the delivery that came with this key before; failures are not kept.

        Raises:
            BadRequest: the key is too long.
            IdempotencyConflict: the key came before with another body.
            NotReady: the delivery that came before was broken off; this one may be sent again.
        """
        if len(key) > KEY_CHARACTERS_MAX:
            raise BadRequest(
                f"Idempotency-Key has {len(key)} characters; at most {KEY_CHARACTERS_MAX} are taken"
            )
        if self._keys_max == 0:
            return await work()
        now = self._steady()
        self._drop_old(operator, now)
        digest = hashlib.sha256(body).digest()
        kept = self._find(operator, key)
        if kept is not None:
            if kept[0] != digest:
                raise IdempotencyConflict(
                    "this Idempotency-Key was used before with a different body; use a new one"
                )
            return await asyncio.shield(kept[2])
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._count >= self._keys_max:
            self._drop_oldest(max(self._kept, key=lambda name: len(self._kept[name])))
        own = self._kept.setdefault(operator, OrderedDict())[key] = (digest, now, future)
        self._count += 1
        try:
            answer = await work()
        except BaseException as error:
            if self._find(operator, key) is own:
                self._drop(operator, key)
            if isinstance(error, Exception):
                future.set_exception(error)
            else:
                future.set_exception(NotReady("the request with this key was interrupted; send it again"))
            # Retrieved, so that nothing is logged where nobody waits for it.
            future.exception()
            raise
        future.set_result(answer)
        return answer

    def _find(self, operator: str, key: str) -> _Kept[T] | None:
        kept = self._kept.get(operator)
        return None if kept is None else kept.get(key)

    def _drop_old(self, operator: str, now: Millis) -> None:
        while (found := self._kept.get(operator)) is not None:
            _, made_at, _ = next(iter(found.values()))
            if now - made_at <= self._age_ms:
                return
            self._drop_oldest(operator)

    def _drop_oldest(self, operator: str) -> None:
        self._drop(operator, next(iter(self._kept[operator])))

    def _drop(self, operator: str, key: str) -> None:
        found = self._kept[operator]
        del found[key]
        self._count -= 1
        if not found:
            del self._kept[operator]
