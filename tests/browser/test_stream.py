"""What the page's stream passes on, as the browser runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import WebSocketRoute
from tests.browser.conftest import Visit
from tests.e2e.serving import Serving

from ladestrom.edges.page import Assets

SCRIPT: Final = """async (path) => {
  const {Stream} = await import(`${path}/base/stream.js`);
  const taken = [];
  await new Promise((done) => {
    const stream = new Stream({mode: "every"}, {
      changes: (changes, seq) => {
        taken.push([seq, changes.map((change) => change.evse)]);
        if (taken.length === 2) done(stream.stop());
      },
    });
    stream.start("e-1");
  });
  return taken;
}"""
"""Follows from position 1 until two batches were passed on."""
HELLO: Final = {"type": "hello", "epoch": "e", "limits": {"heartbeat_s": 20}}


def _changes(prev: int, seq: int, *evses: str) -> dict[str, Any]:
    return {
        "type": "changes",
        "epoch": "e",
        "prev": prev,
        "seq": seq,
        "changes": [{"evse": e} for e in evses],
    }


def test_a_batch_that_is_cut_off_and_comes_again_is_passed_on_once(tmp_path: Path, visit: Visit) -> None:
    asked: list[str] = []

    def serve(route: WebSocketRoute) -> None:
        asked.append(route.url)
        route.send(json.dumps(HELLO))
        route.send(json.dumps(_changes(1, 1, "A", "B")))
        if len(asked) == 1:
            route.close(code=1001)
            return
        route.send(json.dumps(_changes(1, 4, "C")))
        route.send(json.dumps(_changes(4, 4, "D")))
        route.send(json.dumps({"type": "heartbeat", "epoch": "e", "prev": 4, "seq": 5}))

    with Serving(tmp_path, {"page.visitors": "anyone"}) as server:
        page = visit(server.url, "/docs")
        page.route_web_socket("**/api/v2/stream?*", serve)
        assert page.evaluate(SCRIPT, f"/page/{Assets().digest()}") == [[4, ["A", "B", "C"]], [5, ["D"]]]
    assert len(asked) == 2
    assert all("since=e-1" in url for url in asked)
