from __future__ import annotations

import itertools
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import PHONE, Visit
from tests.e2e.serving import Serving, tick
from tests.patience import DEADLINE_MS
from tests.programs import PIPE, program, run

ANYONE: Final = {"page.visitors": "anyone"}
E1: Final = "NO*ALF*E1333*1"

expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("console"), ANYONE) as started:
        yield started


@pytest.fixture
def server(serving: Serving) -> Serving:
    """The server that the tests of this file share; `E1` is free."""
    serving.report({"evse": E1, "status": "AVAILABLE", "observed_at": tick()})
    return serving


def charge(server: Serving) -> None:
    server.report({"evse": E1, "status": "CHARGING", "observed_at": tick()})


def keyed(visit: Visit, server: Serving, path: str, key: str = "stream", **options: Any) -> Page:
    script = f"sessionStorage.setItem('ladestrom.key', '{server.keys[key]}')"
    return visit(server.url, path, before=lambda page: page.add_init_script(script), **options)


def code(page: Page, form: str) -> str:
    """The code that is shown, with the key put in."""
    page.get_by_label("Put my key into the code").check()
    page.get_by_role("tab", name=form, exact=True).click()
    return page.get_by_role("tabpanel").inner_text()


def runner(form: str) -> list[str]:
    """What runs a text of this form; skips where it is not installed."""
    if form == "Python":
        return [sys.executable, "-c"]
    if form == "curl":
        if shutil.which("curl") is None:
            pytest.skip("curl is not installed")
        return ["bash", "-c"]
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    flag = "--experimental-websocket"
    told = run([node, "--help"], check=True).stdout
    return [node, *([flag] if flag in told else []), "-e"]


# -- requests ----------------------------------------------------------------------------------------------


def test_a_request_is_put_together_by_keyboard_and_answered(server: Serving, visit: Visit) -> None:
    page = keyed(visit, server, "/console")
    page.get_by_label("Request or stream").select_option("listEvses")
    page.locator('.fields [name="country"]').focus()
    page.keyboard.type("SWE")
    page.keyboard.press("Enter")
    expect(page.locator(".outcome .badge")).to_have_text("200 OK")
    shown = json.loads(page.get_by_role("region", name="Content of the response").inner_text())
    assert [each["evse"] for each in shown["items"]] == ["SE*BET*E7*1"]
    assert page.url.endswith("#listEvses?country=SWE")
    page.get_by_text("Headers", exact=True).click()
    expect(page.locator(".headers")).to_contain_text("etag")


def test_a_refusal_is_shown_as_it_came(server: Serving, visit: Visit) -> None:
    page = keyed(visit, server, "/console#getStation?uuid=NOR_99999", allowed=("404",))
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".outcome .badge")).to_have_text("404 Not Found")
    expect(page.get_by_role("region", name="Content of the response")).to_contain_text('"code": "not_found"')


def test_what_has_to_be_given_is_asked_for(server: Serving, visit: Visit) -> None:
    page = keyed(visit, server, "/console#getEvse")
    page.get_by_role("button", name="Send").click()
    expect(page.locator('.fields [name="evse"]')).to_be_focused()
    expect(page.locator(".outcome")).to_have_count(0)


def test_what_a_request_carries_is_sent(server: Serving, visit: Visit) -> None:
    page = keyed(visit, server, "/console#sendReports", "alfa")
    page.get_by_label("Content (JSON)").fill(
        json.dumps({"evse": E1, "status": "CHARGING", "observed_at": tick()})
    )
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("region", name="Content of the response")).to_contain_text('"accepted": 1')
    assert server.get(f"/api/v2/evses/{E1}").json()["status"] == "CHARGING"


@pytest.mark.parametrize("form", ["curl", "Python", "JavaScript"])
def test_the_code_of_a_request_runs_and_gives_what_the_page_got(
    server: Serving, visit: Visit, form: str
) -> None:
    command = runner(form)
    page = keyed(visit, server, "/console#listEvses?country=NOR,SWE")
    page.locator('.fields [name="operator"]').fill("NO*ALF")
    expect(page.get_by_role("tabpanel")).to_contain_text("NO*ALF")
    assert server.keys["stream"] not in page.get_by_role("tabpanel").inner_text()
    done = run([*command, code(page, form)], check=True)
    assert E1 in done.stdout, done.stderr
    assert "SE*BET" not in done.stdout


@pytest.mark.parametrize("form", ["curl", "Python", "JavaScript"])
def test_the_code_of_a_delivery_runs_whatever_stands_in_it(server: Serving, visit: Visit, form: str) -> None:
    command = runner(form)
    page = keyed(visit, server, "/console#sendReports", "alfa")
    odd = 'it\'s "quoted" \\ with $HOME `date` and \u00e6'
    page.get_by_label("Content (JSON)").fill(
        json.dumps([{"evse": odd, "status": "CHARGING"}], ensure_ascii=False)
    )
    page.locator('.fields [name="Idempotency-Key"]').fill("one")
    done = run([*command, code(page, form)], check=True)
    assert '"reason":"unknown_evse"' in done.stdout, done.stderr
    assert "quoted" in done.stdout


# -- streams -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "first", "told"),
    [
        ("streamV1", "snapshot:init", "status:update"),
        ("streamV2", "hello", "changes"),
        ("eventsV2", "hello", "changes"),
    ],
)
def test_a_stream_is_followed_without_a_key_in_any_address(
    server: Serving, visit: Visit, operation: str, first: str, told: str
) -> None:
    page = keyed(visit, server, f"/console#{operation}")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.get_by_role("button", name="Connect").click()
    expect(page.locator(".badge").filter(has_text="Connected")).to_be_visible()
    messages = page.locator(".messages summary")
    expect(messages.last).to_contain_text(first)
    charge(server)
    expect(page.locator(".messages summary", has_text=told).first).to_be_visible()
    expect(page.get_by_text("no gap")).to_be_visible()
    page.locator(".messages summary", has_text=told).first.click()
    expect(page.locator(".messages pre").first).to_contain_text(f'"type": "{told}"')
    page.get_by_role("button", name="Disconnect").click()
    expect(page.get_by_role("button", name="Connect")).to_be_visible()
    assert any("ticket=" in url for url in asked)
    assert not any(server.keys["stream"] in url for url in asked)


def test_a_visitor_without_a_key_follows_too(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/console#streamV2?country=NOR")
    page.get_by_role("button", name="Connect").press("Enter")
    expect(page.locator(".messages summary", has_text="snapshot")).to_contain_text("5 charging points")
    page.locator('.fields [name="country"]').fill("SWE")
    page.get_by_role("button", name="Change the selection").press("Enter")
    expect(page.locator(".messages summary", has_text="snapshot").first).to_contain_text("1 charging points")


def test_a_paused_list_stands_still_while_messages_are_counted(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/console#streamV2")
    page.get_by_role("button", name="Connect").click()
    expect(page.locator(".messages li")).to_have_count(2)
    page.get_by_role("button", name="Pause").click()
    charge(server)
    expect(page.get_by_text("3 messages", exact=True)).to_be_visible()
    expect(page.locator(".messages li")).to_have_count(2)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".messages li")).to_have_count(3)
    page.get_by_label("Order").select_option("last")
    expect(page.locator(".messages li").last).to_contain_text("changes")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".messages li")).to_have_count(0)


def test_a_refused_stream_says_why(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/console#streamV2?country=Atlantis", allowed=("400", "WebSocket"))
    page.get_by_role("button", name="Connect").click()
    expect(page.locator(".badge").filter(has_text="Atlantis")).to_be_visible()


def test_a_stream_that_ends_says_how(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/console#streamV2")
    page.get_by_role("button", name="Connect").click()
    expect(page.locator(".badge").filter(has_text="Connected")).to_be_visible()
    server.stop()
    expect(page.locator(".badge").filter(has_text="1001")).to_be_visible()
    server.start()
    page.get_by_role("button", name="Connect").click()
    expect(page.locator(".badge").filter(has_text="Connected")).to_be_visible()


@pytest.mark.parametrize("form", ["curl", "Python", "JavaScript"])
@pytest.mark.parametrize("operation", ["streamV1", "streamV2", "eventsV2"])
def test_the_code_of_a_stream_runs_and_hears_a_change(
    server: Serving, visit: Visit, form: str, operation: str
) -> None:
    command = runner(form)
    if form == "curl" and operation != "eventsV2":
        told = run(["curl", "--version"], check=True).stdout
        if " ws" not in told:
            pytest.skip("this curl knows no WebSockets")
    page = keyed(visit, server, f"/console#{operation}?country=NOR")
    text = code(page, form)
    with program([*command, text], stdout=PIPE) as follower:
        assert follower.stdout is not None
        assert any("snapshot" in line for line in follower.stdout)
        charge(server)
        wanted = "NOR_01333" if operation == "streamV1" else E1
        assert any(wanted in line for line in follower.stdout)


@pytest.mark.parametrize("form", ["Python", "JavaScript"])
def test_the_code_of_a_stream_resumes_where_it_was(server: Serving, visit: Visit, form: str) -> None:
    page = keyed(visit, server, "/console#streamV2?country=NOR")
    with program([*runner(form), code(page, form)], stdout=PIPE) as follower:
        assert follower.stdout is not None
        lines = iter(follower.stdout)
        assert any("snapshot" in line for line in lines)
        server.stop()
        server.start()
        assert any("hello" in line for line in lines)
        charge(server)
        told = list(itertools.takewhile(lambda line: E1 not in line, lines))
        assert not any("snapshot" in line for line in told), "it is told what it missed, and no more"


def test_the_code_that_proves_says_that_it_has_what_the_server_has(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, {**ANYONE, "stream.heartbeat_s": 1}) as server:
        page = keyed(visit, server, "/console#streamV2?country=NOR")
        with program([*runner("Python"), code(page, "Python, proved")], stdout=PIPE) as follower:
            assert follower.stdout is not None
            lines = iter(follower.stdout)
            assert any("proved: 5 charging points" in line for line in lines)
            charge(server)
            assert any(E1 in line for line in lines)
            assert any("proved: 5 charging points" in line for line in lines)


def test_norwegian_on_a_phone(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/console#eventsV2", viewport=PHONE, locale="nb-NO")
    page.get_by_role("button", name="Koble til").click()
    expect(page.locator(".badge").filter(has_text="Tilkoblet")).to_be_visible()
    expect(page.locator(".messages li").last).to_contain_text("hello")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
