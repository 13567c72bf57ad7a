"""Guides, what leads to them, and what a developer does with them: pages of other origins, too."""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect
from tests.browser.conftest import PHONE, Visit
from tests.browser.test_access import check
from tests.e2e.following import example
from tests.e2e.serving import STATIONS, Serving, tick
from tests.patience import DEADLINE_MS

ANYONE = {"page.visitors": "anyone", "page.title": "Lading <i>nord</i>"}
HTML = {"Accept": "text/html,*/*;q=0.8"}

expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("guides"), ANYONE) as serving:
        yield serving


def test_guides_are_found_read_and_copied_from(server: Serving, visit: Visit, packages: Path) -> None:
    page = visit(server.url, "/docs", bypass_csp=True)
    search = page.get_by_role("searchbox", name="Search")
    hits = page.locator(".hits li")
    for words, address in (
        ("resume since", "/docs/consumers#"),
        ("rate limit", "/docs/"),
        ("401", "/docs/errors/"),
    ):
        search.fill(words)
        expect(hits.locator(f'a[href^="{address}"]').first).to_be_visible()
    search.fill("key_pending")
    hits.locator("a", has_text="key_pending").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("key_pending")
    check(page, packages)
    page.locator(".side").get_by_role("link", name="Guide for consumers").click()
    expect(page.locator('.side [aria-current="page"]')).to_have_text("Guide for consumers")
    assert page.title() == "Guide for consumers \u2013 Lading <i>nord</i>"
    assert page.locator("article .code .copy").count() > 10
    check(page, packages)
    page.get_by_role("link", name="This page as Markdown").click()
    expect(page.locator("body")).to_contain_text("# Guide for consumers")
    phone = visit(server.url, "/docs/operations#sources", viewport=PHONE, locale="nb-NO")
    expect(phone.locator("#sources")).to_be_in_viewport()
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_a_guide_is_read_without_scripts(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/docs/concepts", java_script_enabled=False)
    expect(page.get_by_role("heading", level=1)).to_have_text("Concepts")
    page.get_by_role("link", name="Guide for operators").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Guide for operators")


def test_people_are_shown_a_page_and_programs_a_problem_where_nothing_is(
    server: Serving, visit: Visit, packages: Path
) -> None:
    hostile = "/no<img src=x onerror=alert(1)>"
    page = visit(server.url, hostile, allowed=("404",), bypass_csp=True, locale="nb-NO")
    expect(page.get_by_role("heading", level=1)).to_have_text("Her er det ingenting")
    expect(page.locator("article")).to_contain_text("onerror")
    assert page.locator("img[src=x]").count() == 0
    check(page, packages)
    for path, accept, media_type in (
        ("/nothing", {}, "application/problem+json"),
        ("/nothing", HTML, "text/html"),
        ("/docs/nothing", HTML, "text/html"),
        ("/api/v2/nothing", HTML, "application/problem+json"),
    ):
        answer = server.get(path, key=None, headers=accept)
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (404, media_type), (
            path
        )


def test_documents_say_what_they_are_before_scripts_run(server: Serving, tmp_path: Path) -> None:
    def head(path: str, running: Serving = server, *, language: str = "en") -> str:
        return running.get(path, key=None, headers={**HTML, "Accept-Language": language}).text

    shared = head("/?station=nor_01333")
    assert (
        '<meta property="og:title" content="Station NOR_01333 \u2013 Lading &lt;i&gt;nord&lt;/i&gt;">'
        in shared
    )
    assert "<title>Station NOR_01333" in shared
    assert '<html lang="nb"' in head("/now", language="nb")
    assert "<title>Nå \u2013 " in head("/now", language="nb")
    assert "<title>Map \u2013 " in head("/?station=NOR_99999")
    assert server.get("/manifest.webmanifest", key=None).json()["name"] == ANYONE["page.title"]
    assert "(/docs/consumers.md)" in server.get("/llms.txt", key=None).text
    tags = {
        server.get(path, key=None).headers["etag"] for path in ("/", "/?station=NOR_01333", "/now", "/docs")
    }
    assert len(tags) == 4
    card = re.findall(r'<meta property="og:image" content="([^"]*)">', shared)
    assert card == re.findall(r'<meta property="og:image" content="([^"]*)">', head("/now"))
    assert card[0].startswith(f"{server.url}/page/"), "who shows it needs the whole address"
    image = server.get(card[0].removeprefix(server.url), key=None)
    assert image.headers["content-type"] == "image/png"
    assert len(image.content) < 10_000
    assert struct.unpack(">II", image.content[16:24]) == (1200, 630)
    for host in ('a"><script>', "a$b"):
        lie = server.get("/", key=None, headers={"Host": host})
        assert lie.status_code == 400 or 'property="og:image" content="/page/' in lie.text, host
    with Serving(tmp_path, {"server.url_public": "https://lading.example"}) as closed:
        assert 'content="https://lading.example/page/' in head("/", closed)
        assert "Station NOR_01333" not in head("/?station=NOR_01333", closed), "strangers are not told names"


def test_a_page_of_another_origin_follows_from_copied_code_and_resumes(
    server: Serving, chromium: Browser
) -> None:
    code = example("<!doctype html>", document="docs/embedding.md")
    script = code.partition('<script type="module">\n')[2].partition("</script>")[0]
    guide = server.get("/docs/embedding.md", key=None).text
    assert f"its script has {len(script.splitlines())} lines" in guide
    code = code.replace("https://HOST", server.url).replace('"KEY"', f'"{server.keys["stream"]}"')

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(code.encode())

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the parent's name
            """Nothing."""

    site = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=site.serve_forever, args=(0.05,))
    thread.start()
    page = chromium.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(f"http://127.0.0.1:{site.server_port}/")
        dot = page.locator("#NOR_01342")
        expect(dot).to_have_attribute("fill", "gray")
        server.report({"evse": "NO*ALF*E1342", "status": "AVAILABLE", "observed_at": tick()})
        expect(dot).to_have_attribute("fill", "green")
        page.evaluate("document.querySelector('#NOR_01342').setAttribute('fill', 'red')")
        server.stop()
        server.start()
        server.report({"evse": "NO*ALF*E1342", "status": "CHARGING", "observed_at": tick()})
        expect(dot).to_have_attribute("fill", "gray")
    finally:
        page.close()
        site.shutdown()
        thread.join()
        site.server_close()
    events = [urlsplit(url).query for url in asked if "/api/v2/events" in url]
    assert events[0] == ""
    assert re.fullmatch(r"since=\w+-\d+", events[-1]), "it goes on where it was"
    assert len([url for url in asked if url.endswith("/api/v2/stations.geojson")]) == 1


def test_a_new_server_shows_its_first_steps_and_ticks_them_off(
    tmp_path: Path, visit: Visit, packages: Path
) -> None:
    with Serving(tmp_path, stations=()) as server:
        page = visit(server.url, "/", allowed=("401",), bypass_csp=True)
        steps = page.locator(".first")
        step = steps.locator('[data-step="stations"]')
        expect(step.locator(".badge")).to_have_text("to do")
        expect(step.locator("pre")).to_contain_text(f"ladestrom import nobil --data {server.data}")
        expect(steps.locator('[data-step="keys"] .badge')).to_have_text("done")
        expect(steps.locator('[data-step="visitors"] pre')).to_contain_text("--page.visitors anyone")
        check(page, packages)
        assert step.locator("pre").evaluate("(one) => one.scrollWidth <= one.clientWidth")
        server.import_stations(STATIONS)
        expect(step.locator(".badge")).to_have_text("done")
        steps.get_by_role("button", name="Show the map").press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("You need a key")
        expect(steps).to_have_count(0)
