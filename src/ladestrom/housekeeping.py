"""What a server does again and again, what it notes for commands, and what it may leave when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from ladestrom.errors import LadestromError, NotReady

logger = structlog.get_logger(__name__)


class Chore(NamedTuple):
    """Something that is done again and again."""

    every_s: float
    work: Callable[[], Awaitable[None]]


async def keep(chore: Chore, stopping: asyncio.Event) -> None:
    """Does it until the server stops; what fails is logged and done again. It ends between two rounds."""
    every_s, work = chore
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await stopping.wait()
            return
        try:
            await work()
        except LadestromError as error:
            logger.warning("housekeeping failed; retrying", work=work.__name__, error=str(error))
        except Exception:
            logger.exception("housekeeping failed; retrying", work=work.__name__)


async def ended(work: Callable[[], Awaitable[None]], seconds_max: float) -> None:
    """Does something at the end of the server, which ends whatever becomes of it."""
    try:
        async with asyncio.timeout(seconds_max):
            await work()
    except (LadestromError, TimeoutError) as error:
        logger.warning("this was left at the end", what=work.__name__, error=repr(error))
    except Exception:
        logger.exception("this was left at the end", what=work.__name__)


async def note(path: Path, content: bytes) -> None:
    """Replaces a file that commands read.

    Raises:
        NotReady: it cannot be written.
    """
    await asyncio.to_thread(_replace, path, content)


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".new")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise NotReady(f"{path.name} cannot be written ({error.strerror})") from error
