"""What documents cost: processor time of making each, of packing and unpacking it, and of answers that need
neither; and the memory in which all of them are kept.

    python bench/outputs.py [--evses 100000] [--rounds 3] [--answers 2000] [--quiet-s 0]

All in this process, without a network: a made-up register of stations with four EVSEs each, all of which were
reported on. Each form is made anew after 1,000 changes, in turns with the others; the table has the least of
the rounds. Large ones are packed while they are made, and unpacked for a consumer that takes no gzip. Then all
of them are asked for three times in turns, without a change: each is to be made once. The longest step is the
processor time that the loop was held for at a time. Answers
are given by the whole application, ASGI in and out: one EVSE and a list's 304 are what REST costs already.

Lists of OCPI are made from nothing, and again after 1,000 changes while the first is kept for a crawl; pages
have as many Locations as they may.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.tables import Conditions, table, told
from tests.building import NOW, make_change
from tests.e2e.running import irve_register

from ladestrom.core.access import Keyring
from ladestrom.core.directory import Directory
from ladestrom.core.drafts import completed
from ladestrom.core.rules import Inoperative
from ladestrom.core.view import View
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.bodies import unpacked
from ladestrom.edges.documents import EVERYTHING, Document, Documents, Form
from ladestrom.edges.listings import Listing, Listings
from ladestrom.formats.dialect import Style
from ladestrom.formats.wire import as_logged
from ladestrom.model import Evse, Station, Status, StatusChanged
from ladestrom.outputs.bulk import edge as bulk
from ladestrom.outputs.datex2 import edge as datex2
from ladestrom.outputs.datex2.publication import Publisher
from ladestrom.outputs.irve_dynamique import edge as irve
from ladestrom.outputs.nobil_v3.encoder import Stations as NobilStations
from ladestrom.outputs.ocpi import edge as ocpi
from ladestrom.outputs.oicp import edge as oicp
from ladestrom.outputs.rest_v2.edge import handlers
from ladestrom.outputs.rest_v2.lists import handlers as lists
from ladestrom.ports.log import BoardRow, StationRow
from ladestrom.ports.registry import RecordRefusal
from ladestrom.registers.irve import parse
from ladestrom.roles.listening import web

EVSES_PER_STATION: Final = 4
CHANGES: Final = 1_000
STATUSES: Final = (Status.AVAILABLE, Status.CHARGING)
FORMS: Final[Mapping[str, Form[Any]]] = {irve.PATH: irve.FORM, **bulk.FORMS, oicp.PATH: oicp.FORM}
STYLE: Final = Style(
    inoperative=Inoperative.ERROR,
    licence="",
    attribution="",
    heartbeat_s=20,
    inbound_bytes_max=1,
    inbound_messages_per_minute_max=1,
    observed_at=as_logged,
)
NOBIL: Final[Mapping[str, Form[Any]]] = {
    "/api/server/datadump.json": Form(
        name="nobil_v3_json", media_type="application/json", encoder=lambda: NobilStations(STYLE)
    ),
    "/api/server/datadump.xml": Form(
        name="nobil_v3_xml", media_type="application/xml", encoder=lambda: NobilStations(STYLE, as_xml=True)
    ),
}
"""What `datadump.php` gives, by what it is asked for as."""
HEAD: Final = (
    "document",
    "made, ms",
    "longest step, ms",
    "packed, ms",
    "unpacked, ms",
    "MB",
    "MB packed",
    "MB kept",
)
AGAIN: Final = 3
LISTED_HEAD: Final = (
    "list",
    "made, ms",
    f"made again after {CHANGES} changes, ms",
    "longest step, ms",
    "page, ms",
    "page packed, ms",
    "MB kept",
    "MB for a second crawl",
)
ANSWER_HEAD: Final = ("answer", "each, µs")


def register(evses: int) -> Iterator[Station]:
    """The stations of a made-up register, as if they had been imported."""
    with tempfile.TemporaryDirectory() as folder:
        file = irve_register(
            Path(folder) / "register.jsonl", stations=evses // EVSES_PER_STATION, evses=EVSES_PER_STATION
        )
        for number, draft in enumerate(parse([file.read_bytes()]), 1):
            if isinstance(draft, RecordRefusal):
                raise TypeError(draft)
            yield completed(draft, "irve", f"FRA_{number:05d}")[0]


class World:
    """A view of a register, and documents over it."""

    def __init__(self, evses: int) -> None:
        stations = list(register(evses))
        self.evses = [evse for station in stations for evse in station.evses]
        self._numbers = itertools.cycle(range(len(self.evses)))
        self.view = View(Directory(), "bench")
        rows = [
            BoardRow(number, make_change(evse), NOW, NOW, "abc") for number, evse in enumerate(self.evses, 1)
        ]
        self.view.load(rows, len(rows), [StationRow(1, station) for station in stations])
        self.door = door = Doorkeeper(Keyring([], []), lambda: NOW, visitors=True)
        self.documents = Documents(self.view, door, lambda: NOW)
        made = datex2.forms(Publisher("FR", "FR-NAP"), lambda: NOW, self.view)
        self.forms: Mapping[str, Form[Any]] = {**FORMS, **made, **NOBIL}
        routes = [self.documents.route(path, form) for path, form in self.forms.items()]
        self.app = web((), [*routes, *handlers(self.view, door), *lists(self.view, _Open(door), lambda: NOW)])

    def change(self, count: int) -> None:
        """Others than last time."""
        for _ in range(count):
            evse: Evse = self.evses[next(self._numbers)]
            status = STATUSES[self.view.seq % len(STATUSES)]
            self.view.apply(StatusChanged(self.view.seq + 1, make_change(evse, status)))
        self.documents.moved()

    def forget(self) -> None:
        """Nothing is kept."""
        self.documents._kept.clear()


class _Open(Doorkeeper):
    """Lets visitors read lists, too."""

    def __init__(self, door: Doorkeeper) -> None:
        super().__init__(Keyring([], []), lambda: NOW, visitors=True)
        self._door = door

    def reads(self, headers: Mapping[str, str]) -> Any:
        return self._door.look(headers)


class Steps:
    """How long the loop was held at most."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._handle = asyncio.Handle._run

    def __enter__(self) -> Self:
        run, steps = self._handle, self

        def timed(handle: asyncio.Handle) -> None:
            began_s = time.thread_time()
            run(handle)
            steps.longest_s = max(steps.longest_s, time.thread_time() - began_s)

        asyncio.Handle._run = timed  # type: ignore[assignment, method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.Handle._run = self._handle  # type: ignore[method-assign]


async def spent(work: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[float, Any]:
    """Processor time of this process, its threads included."""
    began_s = time.process_time()
    done = await work()
    return time.process_time() - began_s, done


async def measured(world: World, rounds: int) -> list[list[str]]:
    """A row for each form."""
    made_s = dict.fromkeys(world.forms, float("inf"))
    step_s, packed_s, unpacked_s = dict(made_s), dict(made_s), dict(made_s)
    size, packed_size, kept = (dict.fromkeys(world.forms, 0) for _ in range(3))
    for _ in range(rounds):
        for path, form in world.forms.items():
            world.change(CHANGES)
            world.forget()

            async def make(form: Form[Any] = form) -> Document:
                return await world.documents.get(form, EVERYTHING, "bench")

            with Steps() as steps:
                taken_s, document = await spent(make)
            made_s[path] = min(made_s[path], taken_s)
            step_s[path] = min(step_s[path], steps.longest_s)
            taken_s, packed = await spent(document.packed)
            packed_s[path] = min(packed_s[path], taken_s)
            unpacked_s[path] = min(unpacked_s[path], unpacking_s(packed))
            size[path], packed_size[path] = document.size, sum(map(len, packed))
            kept[path] = document.kept_bytes
    return [
        [
            f"`{path}`",
            f"{made_s[path] * 1e3:.0f}",
            f"{step_s[path] * 1e3:.1f}",
            f"{packed_s[path] * 1e3:.0f}",
            f"{unpacked_s[path] * 1e3:.0f}",
            f"{size[path] / 1e6:.1f}",
            f"{packed_size[path] / 1e6:.2f}",
            f"{kept[path] / 1e6:.2f}",
        ]
        for path in world.forms
    ]


def unpacking_s(packed: Sequence[bytes]) -> float:
    """Processor time of what a consumer costs that takes no gzip."""
    began_s = time.process_time()
    for _ in unpacked(packed):
        pass
    return time.process_time() - began_s


async def kept(world: World) -> tuple[str, list[str]]:
    """All of them at once, asked for again and again; and which were made more than once."""
    world.forget()
    before = {name: tally.made for name, tally in world.documents.tallies.items()}
    for _ in range(AGAIN):
        for form in world.forms.values():
            await world.documents.get(form, EVERYTHING, "bench")
    size = world.documents.kept_bytes / 1e6
    told = f"All {len(world.forms)} documents at once are kept in {size:.1f} MB, and were made once each."
    made = {name: tally.made - before[name] for name, tally in world.documents.tallies.items()}
    return told, [f"{name} was made {times} times" for name, times in made.items() if times != 1]


async def listed(world: World, rounds: int) -> list[list[str]]:
    """A row for each version of OCPI: its list made from nothing, and after changes; a page; a crawl."""
    rows = []
    for version, offer in ocpi.OFFERS.items():
        first_s = again_s = page_s = packed_s = step_s = float("inf")
        size = crawl = 0
        for _ in range(rounds):
            listings = Listings(world.documents, world.view, world.door)
            with Steps() as steps:
                taken_s, listing = await spent(partial(listings.newest, offer, EVERYTHING, "bench"))
                first_s = min(first_s, taken_s)
                listing.is_crawled, before = True, listings.kept_bytes
                world.change(CHANGES)
                listing.begun_s = float("-inf")
                taken_s, listing = await spent(partial(listings.newest, offer, EVERYTHING, "bench"))
                again_s = min(again_s, taken_s)
                crawl, size = listings.kept_bytes - before, before
                pages = range(0, len(listing.present), ocpi.LIMIT_MAX)
                taken_s, made = await spent(partial(_pages, listings, listing, pages))
                page_s = min(page_s, taken_s / len(pages))
                taken_s, _ = await spent(partial(_packed, made))
                packed_s = min(packed_s, taken_s / len(pages))
            step_s = min(step_s, steps.longest_s)
        rows.append(
            [
                f"OCPI {version}",
                f"{first_s * 1e3:.0f}",
                f"{again_s * 1e3:.0f}",
                f"{step_s * 1e3:.1f}",
                f"{page_s * 1e3:.2f}",
                f"{packed_s * 1e3:.1f}",
                f"{size / 1e6:.1f}",
                f"{crawl / 1e6:.2f}",
            ]
        )
    return rows


async def _pages(listings: Listings, listing: Listing, offsets: Sequence[int]) -> list[Document]:
    items = listing.within(None, None)
    limit = ocpi.LIMIT_MAX
    made = []
    for offset in offsets:
        found = items[offset : offset + limit]
        made.append(listings.page(listing, (offset, limit), found, (b"[", b",", b"]")))
        await asyncio.sleep(0)
    return made


async def _packed(pages: Sequence[Document]) -> None:
    for page in pages:
        await page.packed()


class Asking:
    """One request after the other, by hand."""

    def __init__(self, world: World, path: str, headers: Mapping[str, str] | None = None) -> None:
        self._app = world.app
        target, _, query = path.partition("?")
        self._scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": target,
            "raw_path": target.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1),
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
            "extensions": {},
        }
        self.status = 0
        self.headers: dict[str, str] = {}

    async def _receive(self) -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}

    async def once(self) -> Asking:
        await self._app({**self._scope, "state": {}}, self._receive, self._send)  # type: ignore[arg-type]
        return self

    async def each_s(self, count: int) -> float:
        """Processor time of one of so many."""

        async def all_of_them() -> None:
            for _ in range(count):
                await self.once()

        return (await spent(all_of_them))[0] / count


async def answered(world: World, rounds: int, count: int) -> tuple[list[list[str]], list[str]]:
    """A row for each kind of answer; and which answers were others than expected."""
    evse = world.evses[0].name
    small = f"{irve.PATH}?station={world.evses[0].station}"
    document, one = await Asking(world, irve.PATH).once(), await Asking(world, f"/api/v2/evses/{evse}").once()
    page = await Asking(world, "/api/v2/evses?limit=1").once()
    kinds = {
        "REST: one EVSE": (Asking(world, f"/api/v2/evses/{evse}"), 200),
        "REST: one EVSE, 304": (
            Asking(world, f"/api/v2/evses/{evse}", {"if-none-match": one.headers["etag"]}),
            304,
        ),
        "REST: a list, 304": (
            Asking(world, "/api/v2/evses?limit=1", {"if-none-match": page.headers["etag"]}),
            304,
        ),
        "a document, 304 by tag": (
            Asking(world, irve.PATH, {"if-none-match": document.headers["etag"]}),
            304,
        ),
        "a document, 304 by date": (
            Asking(world, irve.PATH, {"if-modified-since": document.headers["last-modified"]}),
            304,
        ),
        "a document of one station, kept": (Asking(world, small), 200),
    }
    each_s = dict.fromkeys(kinds, float("inf"))
    for _ in range(rounds):
        for name, (asking, _) in kinds.items():
            each_s[name] = min(each_s[name], await asking.each_s(count))
    wrongs = [
        f"{name}: {asking.status}" for name, (asking, status) in kinds.items() if asking.status != status
    ]
    return [[name, f"{taken_s * 1e6:.0f}"] for name, taken_s in each_s.items()], wrongs


async def run(evses: int, rounds: int, answers: int) -> tuple[str, list[str]]:
    world = World(evses)
    made = await measured(world, rounds)
    told, wrongs = await kept(world)
    given, others = await answered(world, rounds, answers)
    world.forget()
    pages = table(LISTED_HEAD, await listed(world, rounds))
    return f"{table(HEAD, made)}\n\n{told}\n\n{pages}\n\n{table(ANSWER_HEAD, given)}", [*wrongs, *others]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--evses", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--answers", type=int, default=2_000)
    parser.add_argument("--quiet-s", type=float, default=0.0)
    given = parser.parse_args()
    conditions = Conditions(given.quiet_s)
    made, wrongs = asyncio.run(run(given.evses, given.rounds, given.answers))
    notes = f"{given.evses} EVSEs, {EVSES_PER_STATION} at each station; least of {given.rounds} rounds"
    return told(conditions, notes, made, wrongs)


if __name__ == "__main__":
    sys.exit(main())
