"""Rules of accessibility that a program can check: axe-core, on every view."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.sync_api import ViewportSize
from tests.browser.conftest import DESKTOP, PHONE, Visit
from tests.e2e.serving import Serving

from ladestrom.edges.page import VIEWS

THEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")
SETTINGS: Final = {"page.visitors": "anyone", "keys.policy": "open"}
ASK: Final = """async (tags) => {
  const found = await axe.run(document, {runOnly: {type: "tag", values: tags}, resultTypes: ["violations"]});
  return found.violations.flatMap((rule) => rule.nodes.map((node) =>
    `${rule.id}: ${node.target.join(" ")}: ${node.any.concat(node.all, node.none).map((one) => one.message)[0]}`));
}"""
QUIET: Final = """() => !document.querySelector("[aria-busy=true]") && document.querySelector("main > *")"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("access"), SETTINGS) as serving:
        serving.report({"evse": "NO*ALF*E1333*1", "status": "CHARGING"})
        yield serving


@pytest.mark.parametrize("path", VIEWS)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_rule_of_wcag_is_broken(
    server: Serving, visit: Visit, packages: Path, path: str, size: ViewportSize
) -> None:
    key = f"sessionStorage.setItem('ladestrom.key', '{server.keys['admin']}');" if path == "/admin" else ""
    page = visit(
        server.url,
        path,
        viewport=size,
        reduced_motion="reduce",
        bypass_csp=True,
        before=lambda page: page.add_init_script(key),
    )
    page.wait_for_function(QUIET)
    page.add_script_tag(path=packages / "axe-core" / "axe.min.js")
    for theme in THEMES:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        found: list[Any] = page.evaluate(ASK, list(RULES))
        assert found == [], theme
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
