from __future__ import annotations

import re
from pathlib import Path

import msgspec

from ladestrom.edges.error_pages import texts
from ladestrom.edges.page import FILES
from ladestrom.edges.page.guides import GUIDES_PATH, ORDER, Guides
from ladestrom.edges.page.wording import Wording

HOSTILE = """# A & <b>title</b>

First <script>alert(1)</script> paragraph, [own](other.md#place), [away](../README.md),
[bad](javascript:alert(1)), [web](https://example.org/) and ![picture](x.png).

## Same

| a | b |
|---|---|
| 1 | <img src=x onerror=alert(1)> |

## Same

```html bad" onload="x
<p>code</p>
```
"""


def test_html_in_a_guide_is_text_and_links_lead_where_something_is(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text(HOSTILE)
    (tmp_path / "other.md").write_text("# Other\n")
    guide = Guides(tmp_path).all["one"]
    assert (
        re.findall(r"<(?!/?(?:h1|h2|p|a|div|pre|code|table|thead|tbody|tr|th|td)\b)[^>]*>", guide.html) == []
    )
    assert f'href="{GUIDES_PATH}/other#place"' in guide.html
    assert "README" not in guide.html
    assert "javascript:" not in re.findall(r'href="[^"]*"', guide.html)
    assert [section.id for section in guide.sections] == ["a--btitleb", "same", "same-1"]
    assert 'id="same-1"' in guide.html
    assert guide.title == "A & <b>title</b>"
    assert guide.about.startswith("First <script>")
    assert "onload" not in "".join(re.findall(r"<[^>]*>", guide.html))


def test_every_document_is_a_guide_and_no_link_between_them_leads_nowhere() -> None:
    guides = Guides(notes=texts)
    assert set(ORDER) <= set(guides.all)
    places = {
        f"{GUIDES_PATH}/{guide.name}#{section.id}"
        for guide in guides.all.values()
        for section in guide.sections
    }
    dead = []
    for guide in guides.all.values():
        for address in re.findall(r'href="([^"]*)"', guide.html):
            target = f"{GUIDES_PATH}/{guide.name}{address}" if address.startswith("#") else address
            is_place = "#" in target and not target.startswith("http")
            if is_place and target not in places:
                dead.append((guide.name, address))
    assert dead == []
    for row in msgspec.json.decode(guides.index):
        assert set(row) == {"address", "guide", "title", "text"}
    assert all(f"({GUIDES_PATH}/{name}.md)" in guides.summary("x") for name in guides.all)


def test_the_first_language_that_a_visitor_reads_and_there_is() -> None:
    wording = Wording(FILES / "words")
    for accepted, expected in (
        ("", "en"),
        ("nb-NO,nb;q=0.9,en;q=0.8", "nb"),
        ("nn", "nb"),
        ("en;q=0.5, no;q=0.7", "nb"),
        ("xx, en", "en"),
        ("nb;q=0, en", "en"),
        ("nb;q=word", "en"),
        ("*", "en"),
    ):
        assert wording.language(accepted) == expected, accepted
    assert wording.word("nb", "nav.map") == "Kart"
    assert (wording.word("xx", "nav.map"), wording.word("nb", "no.such")) == ("Map", "no.such")
