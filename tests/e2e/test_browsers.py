"""The streams in real browsers: what they agree to, what they are told, how they leave and come back."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from tests.e2e.browsing import BROWSERS, Browser, Site, Tap
from tests.e2e.following import SWEDISH, beat, digest, example, flip, listed
from tests.e2e.serving import LISTED, Serving
from tests.patience import until

from ladestrom.edges import connection

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "handshakes"
RETRY_MS: Final = 300
TELLING: Final = ("connection", "upgrade", "sec-websocket-extensions", "sec-websocket-version", "accept")
"""Headers by whose values a server decides what to do, and that stay as they are from year to year."""

WATCHED: Final = """
// Delays of the guide are 2 s after the first failure, times 0.5 and up to 0.5 of chance.
window.WebSocket = class extends WebSocket {
  constructor(url) {
    super(url);
    const stream = new URL(url).pathname.includes("/v1/") ? "v1" : "v2";
    this.addEventListener("open", () => say({ what: "open", stream, extensions: this.extensions }));
    this.addEventListener("close", ({ code, reason, wasClean }) => {
      say({ what: "ended", stream, code, reason, wasClean });
    });
  }
};
Math.random = () => -0.9;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
"""

SCRIPT: Final = """
const told = (stream, board) => (message) => {
  const { type, seq, code, retry_after_ms } = message;
  say({ what: type, stream, seq, code, retry_after_ms, digest: board.digest() });
};
const boards = { websocket: new Board(), events: new Board() };
follow(`ws://${streams}/api/v2/stream`, ticket, boards.websocket, told("v2", boards.websocket));
followEvents(`http://${streams}/api/v2/events`, ticket, boards.events, told("events", boards.events));

let since = "";
async function connect() {
  for (;;) try { await ticket(); break; } catch { await pause(100); }
  const socket = new WebSocket(`ws://${streams}/api/v1/stream/realtime?key=%s${since}`);
  socket.onmessage = ({ data }) => {
    const { type, epoch, seq, data: content } = JSON.parse(data);
    if (seq) since = `&since=${epoch}-${seq}`;
    say({ what: type, stream: "v1", seq, stations: Array.isArray(content) ? content.length : 1 });
  };
  socket.onclose = connect;
}
connect();
"""

SELECTING: Final = """
(async () => {
  const socket = new WebSocket(`ws://${streams}/api/v2/stream?ticket=${await ticket()}`);
  let selected = false;
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "hello") socket.send(JSON.stringify({ type: "select", country: "SWE" }));
    if (message.type === "selected") selected = true;
    if (message.type === "snapshot" && selected) socket.close(3000, "that is all");
    say({ what: "told", type: message.type, evses: (message.evses ?? []).map((row) => row.evse) });
  };
})();
"""

READING: Final = """
(async () => {
  const headers = { "X-Api-Key": "%s" };
  const answer = await fetch(`http://${streams}/api/v2/evses?limit=1`, { headers });
  const refused = await fetch(`http://${streams}/api/v2/evses?contry=SWE`, { headers });
  const [etag, link] = ["etag", "link"].map((name) => answer.headers.get(name));
  say({ what: "read", etag, link, evses: (await answer.json()).items.length, code: (await refused.json()).code });
  const made = await fetch(`http://${streams}/api/v2/tickets`, { method: "POST", headers });
  const source = new EventSource(`http://${streams}/api/v2/events?ticket=${(await made.json()).ticket}`);
  source.addEventListener("hello", () => say({ what: "hello" }));
  source.onerror = () => say({ what: "failed" });
})().catch((error) => say({ what: "failed", error: String(error) }));
"""

TRYING: Final = """
(async () => {
  try {
    const answer = await fetch(`http://${streams}/api/v2/evses?limit=1`, { headers: { "X-Api-Key": "%s" } });
    say({ what: "read", evses: (await answer.json()).items.length });
  } catch (error) {
    say({ what: "kept out", error: error.name });
  }
  const source = new EventSource(`http://${streams}/api/v2/events?ticket=${await ticket()}`);
  source.addEventListener("hello", () => say({ what: "hello" }));
  source.onerror = () => say({ what: "failed", state: source.readyState });
})();
"""

FOREIGN: Final = """
const socket = new WebSocket(`ws://${streams}/api/v1/stream?key=%s`);
(async () => {
  const source = new EventSource(`http://${streams}/api/v2/events?ticket=${await ticket()}`);
  source.onerror = () => say({ what: "failed", state: source.readyState });
  source.addEventListener("hello", () => say({ what: "hello" }));
})();
"""


@pytest.fixture(params=sorted(BROWSERS))
def browser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A browser's name; servers that go ask it back soon."""
    monkeypatch.setattr(connection, "RETRY_MS_MIN", RETRY_MS - 1)
    monkeypatch.setattr(connection, "RETRY_MS_MAX", RETRY_MS)
    return str(request.param)


def telling(head: str) -> dict[str, str]:
    """Of a request's head, the headers that a server goes by."""
    pairs = (line.partition(": ") for line in head.replace("\r\n", "\n").split("\n")[1:])
    return {name.lower(): value for name, _, value in pairs if name.lower() in TELLING}


def test_a_page_follows_all_streams_over_a_restart_and_misses_nothing(tmp_path: Path, browser: str) -> None:
    with (
        Site() as site,
        Serving(tmp_path, {"server.origins": [site.origin]}) as server,
        Tap(server) as tap,
    ):
        guide = [example(each) for each in ("const LISTED", "function follow(", "function followEvents(")]
        site.serve("".join([WATCHED, *guide, SCRIPT % server.keys["stream"]]), tap.host, server)
        with Browser(browser, tmp_path, site.url):
            for stream in ("v1", "v2"):
                extensions = site.heard("open", stream=stream)["extensions"]
                assert extensions.split(";")[0] == "permessage-deflate"
            assert site.heard("snapshot:init")["stations"] == len(LISTED)
            for stream in ("v2", "events"):
                assert site.heard("snapshot", stream=stream)["digest"] == digest(listed(server))

            for name in ("v1_stream", "v2_stream", "v2_events"):
                sample = (
                    GOLDEN / f"{browser}_{name.removesuffix('_stream').replace('v2_events', 'events')}.txt"
                )
                heard = telling(tap.head(f"/api/{name.replace('_', '/')}"))
                assert heard == telling(sample.read_text(encoding="ascii")), "it sends something else now"

            followed(site, server, flip(server))

            server.app.restarting = True
            left(site, server, 1012)
            server.start()
            followed(site, server, flip(server))
            assert not site.said("snapshot:init", "snapshot", "reset", "mistake"), "it resumed"
            left(site, server, 1001)


def left(site: Site, server: Serving, code: int) -> None:
    """The server stops while changes come, and the page is told so on all streams."""
    flip(server)
    server.stop()
    for stream in ("v1", "v2"):
        ended = site.heard("ended", stream=stream, code=code)
        assert ended["wasClean"]
        assert "since" in ended["reason"]
    for stream in ("v2", "events"):
        assert 0 <= site.heard("drain", stream=stream)["retry_after_ms"] < RETRY_MS
    assert site.heard("close", stream="events")["code"] == code


def followed(site: Site, server: Serving, seq: int) -> None:
    """The page was told of a change on all streams, and holds what the server does."""
    site.heard("status:update", stream="v1", seq=seq)
    for stream in ("v2", "events"):
        site.heard("changes", stream=stream, seq=seq)
    beat(server)
    expected = digest(listed(server))
    for stream in ("v2", "events"):
        site.heard("heartbeat", stream=stream, seq=seq, digest=expected)


def test_a_page_selects_and_closes_and_one_of_another_host_gets_nothing(tmp_path: Path, browser: str) -> None:
    with (
        Site() as site,
        Site() as foreign,
        Serving(tmp_path, {"server.origins": [site.origin], "server.cors_origins": []}) as server,
    ):
        host = f"127.0.0.1:{server.port}"
        frame = f'document.body.append(Object.assign(document.createElement("iframe"), {{ src: "{foreign.url}" }}));'
        site.serve(f"{WATCHED}{SELECTING}addEventListener('load', () => {{ {frame} }});", host, server)
        foreign.serve(WATCHED + FOREIGN % server.keys["stream"], host, server)
        with Browser(browser, tmp_path, site.url):
            told = [site.heard("told") for _ in range(4)]
            assert [each["type"] for each in told] == ["hello", "snapshot", "selected", "snapshot"]
            assert told[3]["evses"] == [SWEDISH]
            ended = site.heard("ended")
            assert (ended["code"], ended["wasClean"]) == (3000, True)
            until(lambda: not server.app.reader.stream.connections, "the server knows that it left")

            refused = foreign.heard("ended")
            assert (refused["code"], refused["wasClean"]) == (1006, False), "no page may see why"
            closed = 2
            assert foreign.heard("failed")["state"] == closed, "refused for good"
            assert not foreign.said("open", "hello")


def test_a_page_of_any_other_origin_reads_and_follows_events_with_a_key(tmp_path: Path, browser: str) -> None:
    with Site() as site, Serving(tmp_path) as server:
        site.serve(READING % server.keys["stream"], f"127.0.0.1:{server.port}", server)
        with Browser(browser, tmp_path, site.url):
            read = site.heard("read")
            assert read["etag"].startswith('W/"')
            assert read["link"].endswith('rel="next"')
            assert read["evses"] >= 1
            assert read["code"] == "invalid_filter"
            site.heard("hello")
            assert not site.said("failed")


def test_a_setting_says_pages_of_which_origins_read_and_follow_events(tmp_path: Path, browser: str) -> None:
    with (
        Site() as site,
        Site() as foreign,
        Serving(tmp_path, {"server.cors_origins": [site.origin]}) as server,
    ):
        script, host = TRYING % server.keys["stream"], f"127.0.0.1:{server.port}"
        frame = f'document.body.append(Object.assign(document.createElement("iframe"), {{ src: "{foreign.url}" }}));'
        site.serve(f"{script}addEventListener('load', () => {{ {frame} }});", host, server)
        foreign.serve(script, host, server)
        with Browser(browser, tmp_path, site.url):
            assert site.heard("read")["evses"] == 1
            site.heard("hello")
            assert foreign.heard("kept out")["error"] == "TypeError"
            closed = 2
            assert foreign.heard("failed")["state"] == closed, "refused for good"
            assert not site.said("kept out", "failed")
            assert not foreign.said("read", "hello")
