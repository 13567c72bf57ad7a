"""The code in the guide for consumers does what the guide says."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Self

import msgspec
import pytest
import websockets
from tests.e2e.following import E1, Follower, beat, digest, example, flip, listed, operate, report, towns
from tests.e2e.serving import Serving
from tests.patience import until
from tests.programs import PIPE, program, run

from ladestrom.config import Settings
from ladestrom.core.features import FEATURES, PAYMENTS, SHORT, features
from ladestrom.edges import connection
from ladestrom.edges.contract.asyncapi import asyncapi
from ladestrom.formats.evse_state import EvseState
from ladestrom.model import Connector, Status
from ladestrom.outputs.rest_v2.encoder import StationDetail
from ladestrom.outputs.stream_v2.edge import STREAM_PATH
from ladestrom.outputs.stream_v2.encoder import ServerMessage
from ladestrom.record import Access, Contact, Hours, Id, Opening, Payment, Span, Terms, Vehicle
from ladestrom.roles.contracts import contract
from ladestrom.roles.limits import served

ROOT: Final = Path(__file__).resolve().parents[2]
RETRY_MS: Final = 300
SHORT_S: Final = 0.05


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that goes asks its consumers back soon."""
    monkeypatch.setattr(connection, "RETRY_MS_MIN", RETRY_MS - 1)
    monkeypatch.setattr(connection, "RETRY_MS_MAX", RETRY_MS)


def guide() -> dict[str, Any]:
    """What the guide's Python defines, with short delays."""
    names: dict[str, Any] = {}
    for beginning in ("import zlib", "import asyncio, json", "def load("):
        exec(compile(example(beginning), "consumers.md", "exec"), names)  # noqa: S102 - our own guide
    names["random"] = SimpleNamespace(uniform=lambda *_: SHORT_S)
    return names


class Follows:
    """The guide's consumer in Python, in a thread of its own. A context manager."""

    def __init__(self, server: Serving, key: str = "stream", *, query: str = "") -> None:
        self.code = guide()
        self.board = self.code["Board"]()
        self.told: list[dict[str, Any]] = []
        self.ended: BaseException | None = None
        self._pool = ThreadPoolExecutor(1)
        self._loop = asyncio.new_event_loop()
        url = f"ws://127.0.0.1:{server.port}{STREAM_PATH}{query}"
        self._task: asyncio.Task[None]
        self._work = self.code["follow"](url, server.keys[key], self.board, self.told.append)

    def __enter__(self) -> Self:
        self._done = self._pool.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._cancel)
        self._done.result()
        self._pool.shutdown()
        self._loop.close()

    def _cancel(self) -> None:
        self._task.cancel()

    def _run(self) -> None:
        self._task = self._loop.create_task(self._work)
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except websockets.WebSocketException as error:
            self.ended = error

    def stands_at(self, seq: int) -> None:
        until(
            lambda: (self.board.since or "").endswith(f"-{seq}"),
            f"stands at {seq}, not {self.board.since}",
        )

    def kinds(self) -> list[str]:
        return [each["type"] for each in self.told]

    def statuses(self) -> dict[str, str]:
        return {row["evse"]: row["status"] for row in self.board.rows.values()}


def statuses(server: Serving) -> dict[str, str]:
    return {name: state[1] for name, state in listed(server).items()}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("query", ["", "?bbox=-180,-90,180,90"])
def test_the_consumer_in_python_resumes_after_a_restart_and_misses_nothing(
    tmp_path: Path, query: str
) -> None:
    with Serving(tmp_path) as server, Follows(server, query=query) as follows:
        follows.stands_at(server.app.reader.view.seq)
        follows.stands_at(flip(server))
        server.stop()
        assert follows.kinds()[-1] == "drain"
        server.start()
        follows.stands_at(flip(server))
        beat(server)
        until(lambda: follows.kinds()[-1] == "heartbeat", "the digest was compared")
        assert follows.statuses() == statuses(server)
    assert follows.kinds().count("snapshot") == 1


def test_a_board_filled_from_the_pages_of_the_list_follows_from_the_first_ones_position(
    tmp_path: Path,
) -> None:
    with Serving(tmp_path) as server:
        pages, path = [], "/api/v2/evses?limit=1"
        while path:
            answer = server.get(path)
            pages.append(answer.json())
            path = answer.headers.get("link", "").partition("<")[2].partition(">")[0]
            flip(server)
        assert len(pages) > 1
        follows = Follows(server)
        follows.code["load"](follows.board, pages)
        with follows:
            follows.stands_at(flip(server))
            beat(server)
            until(lambda: follows.kinds()[-1] == "heartbeat", "the digest was compared")
            assert follows.statuses() == statuses(server)
    assert "snapshot" not in follows.kinds()


def test_the_consumer_in_python_begins_anew_where_something_was_lost(tmp_path: Path) -> None:
    with Serving(tmp_path) as server, Follows(server) as follows:
        follows.stands_at(server.app.reader.view.seq)
        (row,) = [row for row in follows.board.rows.values() if row["evse"] == E1]
        row["status"] = "BLOCKED"
        beat(server)
        until(lambda: follows.kinds().count("snapshot") == 2, "it asked for another snapshot")
        follows.stands_at(flip(server))
        assert follows.statuses() == statuses(server)


def test_the_consumer_in_python_ends_with_its_key(tmp_path: Path) -> None:
    with Serving(tmp_path) as server, Follows(server) as follows:
        follows.stands_at(server.app.reader.view.seq)
        server.revoke("stream")
        until(lambda: follows.ended is not None, "it gave up")
        assert isinstance(follows.ended, websockets.ConnectionClosed)
        assert follows.ended.rcvd is not None
        assert follows.ended.rcvd.code == 4401


# -- JavaScript --------------------------------------------------------------------------------------------

FOLD: Final = """
const lines = require("node:fs").readFileSync(0, "utf8").trim().split("\\n");
const board = new Board();
let lost = null;
for (const [number, line] of lines.entries()) {
  try { board.take(JSON.parse(line)); } catch { lost = number; break; }
}
const rows = Object.fromEntries([...board.rows.values()].map((row) => [row.evse, row.status]));
console.log(JSON.stringify({ lost, rows, since: board.since, digest: board.digest() }));
"""


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    return found


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Follower]:
    """A consumer that followed operators at work, and was told heartbeats between."""
    with Serving(tmp_path_factory.mktemp("guide"), stations=towns()) as server:
        with Follower(server) as follower, ThreadPoolExecutor(2) as pool:
            follower.synced()
            for _ in range(3):
                for each in [pool.submit(operate, server, key, 5) for key in ("alfa", "beta")]:
                    each.result()
                follower.confirmed(server)
        yield follower


def folded(node: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What the guide's board in JavaScript makes of messages."""
    given = "\n".join(map(json.dumps, messages))
    done = run([node, "-e", example("const LISTED") + FOLD], input=given, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_board_in_javascript_stays_in_step(node: str, told: Follower) -> None:
    found = folded(node, told.told)
    assert found["lost"] is None
    assert found["rows"] == {name: state[1] for name, state in told.board.items()}
    assert (found["since"], found["digest"]) == (told.session.since, digest(told.board))


@pytest.mark.parametrize("seed", range(4))
def test_the_board_in_javascript_notices_any_message_that_is_lost(
    node: str, told: Follower, seed: int
) -> None:
    chained = [number for number, each in enumerate(told.told) if each["type"] == "changes"]
    lost = random.Random(seed).choice(chained)
    found = folded(node, [each for number, each in enumerate(told.told) if number != lost])
    assert found["lost"] == lost


def test_the_board_in_javascript_notices_a_status_that_is_not_the_servers(node: str, told: Follower) -> None:
    messages = json.loads(json.dumps(told.told))
    snapshot = next(each for each in messages if each["type"] == "snapshot")
    last = {row["evse"] for each in messages for row in each.get("changes", [])}
    row = next(row for row in snapshot["evses"] if row["evse"] in last)
    row["status"] = "BLOCKED"
    for each in messages:
        each["changes"] = [other for other in each.get("changes", []) if other["evse"] != row["evse"]]
    found = folded(node, messages)
    assert messages[found["lost"]]["type"] == "heartbeat"


PAGE: Final = """
Math.random = () => -0.9;
const [url, key] = process.argv.slice(1);
const ticket = async () => {
  const answer = await fetch(`${url}/api/v2/tickets`, { method: "POST", headers: { "X-Api-Key": key } });
  return (await answer.json()).ticket;
};
const board = new Board();
const say = ({ type, seq }) => console.log(JSON.stringify([type, seq ?? null, board.digest()]));
follow(`${url.replace("http", "ws")}/api/v2/stream?bbox=-180,-90,180,90`, ticket, board, say);
"""


@pytest.mark.usefixtures("quick")
def test_the_page_over_websocket_resumes_after_a_restart_with_a_new_ticket(tmp_path: Path, node: str) -> None:
    script = 'process.exit(typeof WebSocket === "function" ? 0 : 1)'
    if run([node, *WEBSOCKET_OF_NODE, "-e", script]).returncode:
        pytest.skip("this node has no WebSocket of its own")
    code = example("const LISTED") + example("function follow(") + PAGE
    with Serving(tmp_path) as server:
        command = [node, "--no-warnings", *WEBSOCKET_OF_NODE, "-e", code, server.url, server.keys["stream"]]
        with program(command, stdout=PIPE) as page:
            assert page.stdout is not None
            said = map(json.loads, page.stdout)
            assert [next(said)[0] for _ in range(2)] == ["hello", "snapshot"]
            seq = flip(server)
            assert next(said)[:2] == ["changes", seq]
            server.stop()
            assert next(said)[0] == "drain"
            server.start()
            assert next(said)[0] == "hello"
            seq = flip(server)
            assert next(said) == ["changes", seq, digest(listed(server))]


def _websocket_of_node() -> list[str]:
    found = shutil.which("node")
    if found is None:
        return []
    flag = "--experimental-websocket"
    told_flags = run([found, "--help"], check=True).stdout
    return [flag] if re.search(rf"^\s*{flag}\b", told_flags, re.MULTILINE) else []


WEBSOCKET_OF_NODE: Final = _websocket_of_node()
"""Flags with which Node.js has a WebSocket."""


# -- what the guide lists ----------------------------------------------------------------------------------


def rows(heading: str) -> list[str]:
    """First cells of the tables under a heading of the guide, as they are."""
    text = (ROOT / "docs" / "consumers.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return [cell.strip() for cell in cells]


def quoted(cells: list[str]) -> set[str]:
    words = (word for cell in cells for word in re.findall(r"`([^`]+)`", cell))
    return {word.partition("=")[0] for word in words}


def test_every_message_of_version_2_has_a_row() -> None:
    sent = {kind.__struct_config__.tag for kind in ServerMessage.__args__}
    assert quoted(rows("Messages of version 2")) == {*map(str, sent), "close"}


def test_every_parameter_of_version_2_has_a_row() -> None:
    bindings = asyncapi(served(Settings()), contract())["channels"]["streamV2"]["bindings"]["ws"]["query"][
        "properties"
    ]
    told_of = quoted(rows("Connect to version 2"))
    assert {*bindings} <= told_of


def test_every_filter_by_features_has_a_row_with_its_words() -> None:
    text = (ROOT / "docs" / "consumers.md").read_text(encoding="utf-8")
    section = text.partition("\n### Filters by features\n")[2].partition("\n### ")[0]
    lines = {line.split("`")[1].partition("=")[0]: line for line in section.splitlines() if "| `" in line}
    assert {*lines} == FEATURES
    for name, words in (
        ("access", Access),
        ("payment", PAYMENTS),
        ("vehicle", Vehicle),
        ("connector", SHORT),
    ):
        assert set(words) <= set(re.findall(r"`(\w+)`", lines[name]))
    for name, line in lines.items():
        features(dict([re.findall(rf"`({name})=([^`]+)`", line)[0]]))


def test_the_record_of_the_guide_is_one_that_the_server_could_serve_and_has_every_member() -> None:
    shown = json.loads(example('{\n  "uuid"'))
    record = msgspec.convert(shown, StationDetail, strict=True)
    assert json.loads(msgspec.json.encode(record)) == shown, "no member that is not served"
    seen: dict[type, set[str]] = {}
    gather(record, seen)
    assert seen.pop(Opening) == {*Opening.__struct_fields__} - {"always", "text"}, "beside hours"
    assert seen.pop(Payment) == {*Payment.__struct_fields__} - {"other"}
    own = {*Terms.__struct_fields__} - {"access", "vehicles", "payment"}
    assert seen.pop(EvseState) == {*EvseState.__struct_fields__} - own
    assert {Contact, Hours, Id, Span, Connector, StationDetail} <= {*seen}
    for kind, members in seen.items():
        assert members == {*kind.__struct_fields__}, kind  # type: ignore[attr-defined]


def gather(value: object, seen: dict[type, set[str]]) -> None:
    """Which members are there, of each type of a record."""
    if isinstance(value, tuple):
        for each in value:
            gather(each, seen)
    elif isinstance(value, msgspec.Struct):
        members = {name: getattr(value, name) for name in value.__struct_fields__}
        told = json.loads(msgspec.json.encode(value))
        seen.setdefault(type(value), set()).update(told)
        for each in members.values():
            gather(each, seen)


def test_every_member_of_a_record_has_a_row() -> None:
    text = (ROOT / "docs" / "consumers.md").read_text(encoding="utf-8")
    section = text.partition("\n### What a record contains\n")[2].partition("\n## ")[0]
    rows_of = "".join(line for line in section.splitlines() if line.startswith("| "))
    told_of = set(re.findall(r"`(\w+)`", rows_of))
    statuses = {
        "uuid",
        "name",
        "evses",
        "evse",
        "station",
        "status",
        "error",
        "changed_at",
        "source",
        "cause",
    }
    for kind in (StationDetail, EvseState, Connector):
        assert {*kind.__struct_fields__} - statuses - {"uid", "connectors"} <= told_of, kind


def test_every_close_code_of_the_contract_has_a_row() -> None:
    text = asyncapi(served(Settings()), contract())["info"]["description"]
    codes = set(re.findall(r"^\| (\d{4}) \|", text, re.MULTILINE))
    assert codes <= set(re.findall(r"\d{4}", " ".join(rows("How a connection ends"))))


def test_every_status_has_a_word_in_the_guide() -> None:
    text = (ROOT / "docs" / "consumers.md").read_text(encoding="utf-8")
    assert [status for status in Status if status.value not in text] == []


def test_the_documents_name_the_published_contracts() -> None:
    for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/consumers.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "/openapi.json" in text, name
        assert "/asyncapi.json" in text, name


# -- README ------------------------------------------------------------------------------------------------


def test_the_readmes_consumer_in_python_prints_what_happens_and_comes_back(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        command = [
            sys.executable,
            "-u",
            "-c",
            example("import asyncio, json, websockets", server, "README.md"),
        ]
        with program(command, stdout=PIPE) as consumer:
            assert consumer.stdout is not None
            assert [next(consumer.stdout).split()[0] for _ in range(2)] == ["hello", "snapshot"]
            seq = report(server, E1, "CHARGING")
            assert any(line.startswith(f"changes {seq} ") for line in consumer.stdout)
            server.call(server.app.reader.stream.abort)
            assert any(line.startswith("snapshot ") for line in consumer.stdout)
