"""A reader in a process of its own that has nothing but a copy of a log: no store, no writer.

    python -m tests.e2e.reader_alone LOG-FILE DATA-DIRECTORY

Its one key is `demo`. It prints its address once it serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import msgspec

from ladestrom.backends.sqlite import SqliteLog
from ladestrom.config import Settings
from ladestrom.core.access import Keyring
from ladestrom.roles import listening
from ladestrom.roles.context import NO_ORIGINS, Context
from ladestrom.roles.listening import Listening
from ladestrom.roles.reader import Reader


async def serve(log_file: Path, data: Path) -> None:
    """Serves until SIGTERM."""
    settings = Settings()
    settings = msgspec.structs.replace(
        settings,
        server=msgspec.structs.replace(settings.server, data=str(data), host="127.0.0.1", port=0),
    )
    context = Context(settings, NO_ORIGINS, demo=True)
    context.door.keyring = Keyring([], [], demo=True)
    log = await SqliteLog.open(log_file)
    reader = Reader(context, log)
    reader.load(await log.recover(), log.last.seq)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    following = asyncio.create_task(reader.broadcast.run())
    servers = Listening(context, lambda _: stopped.set())
    web = listening.around(listening.web([], reader.routes()), [], reader.stream)
    await servers.begin(web, reader.stream, 20)
    print(servers.url, flush=True)
    await stopped.wait()
    reader.stream.drain()
    await servers.end()
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
    await log.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2])))
