"""How fast the map comes, how it moves, and whether its memory grows, in a browser without a graphics card.

    python bench/page.py [--stations 20000] [--changes-per-s 200] [--seconds 20] [--minutes 10] [--quiet-s 0]

Two servers in turn, with the simulator's country: one as the demo has it (2,000 stations) for the first view,
and one with some 100,000 EVSEs that operators change all the time. Chromium draws with SwiftShader, on the same
processors as the server: how far frames are apart says how fast those are. What the page itself costs is what
its scripts, and those of the map's library, took of the main thread: by the browser's timeline (each
animation frame's callbacks) and by its profiler (whose script ran).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple, Self

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.feeding import Reports, pace
from bench.tables import Conditions, middle, table, told
from playwright.sync_api import Browser, CDPSession, Page, ViewportSize, sync_playwright
from tests.browser.conftest import FLAGS, PROGRAMS
from tests.e2e.running import Running
from tests.e2e.serving import write

from ladestrom.simulator.country import REGISTER, build

SEED: Final = 1
STARTED_AT: Final = 1_600_000_000_000
DEMO_STATIONS: Final = 2_000
TICKS_PER_S: Final = 10
FIRST_CHANGES: Final = 1_000
"""Of one request, while every EVSE gets a status."""
CHUNK_S: Final = 5
VIEW: Final[ViewportSize] = {"width": 1440, "height": 900}
START_DEADLINE_MS: Final = 60_000
FIRST_VIEW_KIB_MAX: Final = 300
LOADED_S_MAX: Final = 1.5
LOADS: Final = 5
GROWTH_MAX: Final = 1.15
"""Of the memory in the last minute by that of the first."""
FRAME_MS: Final = 1000 / 60
LIBRARY: Final = ("maplibre", "pmtiles")
RECORD: Final = """() => {
  window.frames_ms = [];
  let last = 0;
  const step = (now) => { if (last) frames_ms.push(now - last); last = now; requestAnimationFrame(step); };
  requestAnimationFrame(step);
}"""
DRAWN: Final = "() => performance.getEntriesByName('ladestrom-drawn')[0]?.startTime"


class Load(NamedTuple):
    """One first view."""

    drawn_ms: float
    page_bytes: int
    """As they came over the network, without the library."""
    library_bytes: int


@contextlib.contextmanager
def served(directory: Path, stations: int) -> Iterator[tuple[Running, Reports]]:
    """A server with the simulator's country, and the road by which its EVSEs change."""
    drafts = build(stations, Random(SEED))
    running = Running(directory, {"page.visitors": "anyone"})
    running.operator("bench", all_evses=True)

    write(running.data, lambda store: store.import_stations(REGISTER, drafts, STARTED_AT, complete=True))
    keys = [running.key("report", operator="bench")]
    with running:
        running.start()
        ids = [evse.key for draft in drafts for evse in draft.station.evses]
        Random(SEED).shuffle(ids)
        road = Reports(running.port, keys, ids, STARTED_AT)
        for start in range(0, len(ids), FIRST_CHANGES):
            (tick,) = road.ticks(1, min(FIRST_CHANGES, len(ids) - start))
            road.send(tick)
        road.settle()
        try:
            yield running, road
        finally:
            road.close()


class Feed:
    """Changes at a steady pace until it is stopped, in a thread."""

    def __init__(self, road: Reports, per_s: int) -> None:
        self._road, self._per_s = road, per_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed")
        self.changes = 0
        self.seconds = 0.0
        self.wrongs: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                ticks = self._road.ticks(CHUNK_S * TICKS_PER_S, self._per_s // TICKS_PER_S)
                paced = pace(self._road, ticks, TICKS_PER_S)
                self.changes += paced.changes
                self.seconds += paced.seconds
        except ConnectionError as error:
            self.wrongs.append(f"the feed broke off: {error}")


def loaded(browser: Browser, url: str) -> Load:
    """Opens the page with an empty cache, until its stations are drawn."""
    with contextlib.closing(browser.new_context(viewport=VIEW, locale="en-GB")) as context:
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        urls: dict[str, str] = {}
        received: Counter[str] = Counter()
        session.on(
            "Network.requestWillBeSent",
            lambda event: urls.update({event["requestId"]: event["request"]["url"]}),
        )
        session.on(
            "Network.loadingFinished",
            lambda event: received.update({urls[event["requestId"]]: int(event["encodedDataLength"])}),
        )
        page.goto(url)
        drawn_ms = drawn(page)
        page.wait_for_load_state("networkidle")
        library = sum(count for name, count in received.items() if any(part in name for part in LIBRARY))
        return Load(drawn_ms, received.total() - library, library)


def drawn(page: Page) -> float:
    """Milliseconds from the navigation until stations were drawn."""
    page.wait_for_function(DRAWN, timeout=START_DEADLINE_MS)
    return float(page.evaluate(DRAWN))


class Moved(NamedTuple):
    """What moving the map took."""

    frames_ms: list[float]
    callbacks_ms: list[float]
    """All callbacks of one animation frame."""
    busy: dict[str, float]
    """Whose scripts ran, as shares of the time."""


def moved(browser: Browser, page: Page, session: CDPSession, seconds: float) -> Moved:
    """Drags and zooms for so long."""
    session.send("Profiler.enable")
    session.send("Profiler.setSamplingInterval", {"interval": 500})
    session.send("Profiler.start")
    browser.start_tracing(page=page, categories=["devtools.timeline"])
    page.evaluate(RECORD)
    ends_s = time.monotonic() + seconds
    middle_x, middle_y = VIEW["width"] / 2, VIEW["height"] / 2
    turn = 0
    while time.monotonic() < ends_s:
        turn += 1
        page.mouse.move(middle_x, middle_y)
        page.mouse.down()
        for step in range(1, 40):
            side = 1 if turn % 2 else -1
            page.mouse.move(middle_x + side * step * 8, middle_y + side * step * 3)
        page.mouse.up()
        for _ in range(6):
            page.mouse.wheel(0, -240 if turn % 4 < 2 else 240)
            page.wait_for_timeout(60)
    frames_ms = page.evaluate("frames_ms")
    trace = json.loads(browser.stop_tracing())
    profile = session.send("Profiler.stop")["profile"]
    main = next(each["tid"] for each in trace["traceEvents"] if each["name"] == "FireAnimationFrame")
    callbacks = [
        each["dur"] / 1000
        for each in trace["traceEvents"]
        if each["name"] == "FireAnimationFrame" and each["tid"] == main and "dur" in each
    ]
    return Moved(frames_ms, callbacks, shares(profile))


def shares(profile: dict[str, Any]) -> dict[str, float]:
    """Shares of the profile's time by whose script ran."""
    owner = {node["id"]: whose(node["callFrame"]) for node in profile["nodes"]}
    spent: Counter[str] = Counter()
    for node, delta in zip(profile["samples"], profile["timeDeltas"], strict=True):
        spent[owner[node]] += max(0, delta)
    total = spent.total() or 1
    return {name: spent[name] / total for name in ("page", "library", "browser", "idle")}


def whose(frame: dict[str, Any]) -> str:
    """Who a function belongs to."""
    if frame["functionName"] in {"(idle)", "(root)"}:
        return "idle"
    if any(part in frame["url"] for part in LIBRARY):
        return "library"
    return "page" if "/page/" in frame["url"] else "browser"


def heap_mib(session: CDPSession) -> float:
    """What is in use once garbage is collected."""
    session.send("HeapProfiler.collectGarbage")
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(each["value"]) for each in metrics if each["name"] == "JSHeapUsedSize") / 2**20


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def first_views(browser: Browser, directory: Path) -> tuple[list[list[str]], list[str]]:
    """Rows and what is over its limit."""
    directory.mkdir()
    with served(directory, DEMO_STATIONS) as (running, _):
        loaded(browser, running.url)
        loads = [loaded(browser, running.url) for _ in range(LOADS)]
    drawn_s = middle([each.drawn_ms for each in loads]) / 1000
    kib = max(each.page_bytes for each in loads) / 1024
    rows = [
        [
            f"first view of {DEMO_STATIONS:,} stations: stations drawn after",
            f"{drawn_s:.2f} s",
            f"{LOADED_S_MAX} s",
        ],
        ["compressed, without the map's library", f"{kib:.0f} KiB", f"{FIRST_VIEW_KIB_MAX} KiB"],
        ["the library", f"{loads[0].library_bytes / 1024:.0f} KiB", ""],
    ]
    wrongs = [f"the first view has {kib:.0f} KiB"] if kib > FIRST_VIEW_KIB_MAX else []
    return rows, wrongs


def moving(
    browser: Browser, directory: Path, options: argparse.Namespace
) -> tuple[list[list[str]], list[str]]:
    """Rows and what is over its limit, of the large country."""
    directory.mkdir()
    with served(directory, options.stations) as (running, road), Feed(road, options.changes_per_s) as feed:
        context = browser.new_context(viewport=VIEW, locale="en-GB")
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(running.url)
        drawn_ms = drawn(page)
        page.locator("main[data-stream=live]").wait_for()
        session = context.new_cdp_session(page)
        session.send("Performance.enable")
        told_of = moved(browser, page, session, options.seconds)
        heaps = []
        for _ in range(options.minutes):
            heaps.append(heap_mib(session))
            page.wait_for_timeout(60_000)
        heaps.append(heap_mib(session))
        context.close()
    frames, callbacks = told_of.frames_ms, told_of.callbacks_ms
    rows = [
        [f"{options.stations:,} stations: stations drawn after", f"{drawn_ms / 1000:.2f} s", ""],
        ["changes a second", f"{feed.changes / max(feed.seconds, 1e-9):.0f}", str(options.changes_per_s)],
        ["frames apart while moving, p50 / p95 / p99", marks(frames), "60/s with a graphics card"],
        ["scripts of a frame, p50 / p95 / p99", marks(callbacks), f"{FRAME_MS:.1f} ms"],
        *([f"main thread: {name}", f"{share:.1%}", ""] for name, share in told_of.busy.items()),
        ["memory after minutes 0, 1, ...", ", ".join(f"{each:.1f}" for each in heaps) + " MiB", "flat"],
    ]
    wrongs = [*errors, *feed.wrongs]
    if len(heaps) > 2 and heaps[-1] > heaps[1] * GROWTH_MAX:
        wrongs.append(f"memory grew from {heaps[1]:.1f} to {heaps[-1]:.1f} MiB")
    return rows, wrongs


def marks(values: Sequence[float]) -> str:
    return " / ".join(f"{percentile(values, share):.1f}" for share in (0.5, 0.95, 0.99)) + " ms"


def main() -> int:
    """Runs both and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stations", type=int, default=20_000)
    parser.add_argument("--changes-per-s", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--quiet-s", type=float, default=0)
    options = parser.parse_args()
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        print("no Chromium is installed")
        return 2
    conditions = Conditions(options.quiet_s)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            rows, wrongs = first_views(browser, Path(name) / "demo")
            more_rows, more_wrongs = moving(browser, Path(name) / "large", options)
        finally:
            browser.close()
    notes = f"Chromium with SwiftShader, {options.seconds:g} s of dragging and zooming"
    made = table(("what", "measured", "promised"), [*rows, *more_rows])
    return told(conditions, notes, made, [*wrongs, *more_wrongs])


if __name__ == "__main__":
    sys.exit(main())
