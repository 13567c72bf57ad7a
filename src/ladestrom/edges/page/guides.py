"""The project's guides as pages: made of the Markdown files of `docs/`, which the package has with it.

Knows Markdown and HTML, and neither requests nor what the guides are about. HTML in a guide is shown as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from markdown_it.token import Token

PACKAGED: Final = Path(__file__).parent / "guides"
"""Where a wheel has them."""
CLONE: Final = Path(__file__).parents[4] / "docs"
"""Where a clone has them."""
ORDER: Final = (
    "concepts",
    "consumers",
    "embedding",
    "operators",
    "stations-file",
    "registers",
    "outputs",
    "nobil",
    "install",
    "operations",
    "settings",
    "errors",
    "page",
    "internals",
    "tables",
)
"""As they are read; those that are not among them follow."""
GUIDES_PATH: Final = "/docs"
TEXT_CHARACTERS_MAX: Final = 200
"""Of what is said of a guide where all are listed."""
_SLUG: Final = re.compile(r"[^\w\- ]")


Note = tuple[str, str, str]
"""Address, title and text of a page that is no guide."""


class Section(msgspec.Struct, frozen=True):
    """What stands under one heading, without form: what a search goes through."""

    id: str
    title: str
    text: str


class Guide(msgspec.Struct, frozen=True):
    """One guide."""

    name: str
    title: str
    about: str
    """Its first paragraph, as plain text."""
    source: str
    """Markdown."""
    html: str
    sections: tuple[Section, ...]


class Guides:
    """The guides of one folder, read and made when they are first asked for."""

    def __init__(self, folder: Path | None = None, notes: Callable[[], Sequence[Note]] = list) -> None:
        """Nothing is read yet.

        Args:
            folder: where the files are; where the package has them if it is not given.
            notes: what is found beside the guides.
        """
        self._folder = folder or (PACKAGED if PACKAGED.is_dir() else CLONE)
        self._notes = notes

    @cached_property
    def all(self) -> Mapping[str, Guide]:
        """By name, as they are read."""
        found = {path.stem: path for path in sorted(self._folder.glob("*.md"))}
        names = [*(name for name in ORDER if name in found), *(name for name in found if name not in ORDER)]
        return {name: _guide(name, found[name].read_text(encoding="utf-8"), found.keys()) for name in names}

    @cached_property
    def index(self) -> bytes:
        """All sections, for a search, as JSON."""
        return msgspec.json.encode(
            [
                *(
                    {
                        "address": f"{GUIDES_PATH}/{guide.name}#{section.id}",
                        "guide": guide.title,
                        "title": section.title,
                        "text": section.text,
                    }
                    for guide in self.all.values()
                    for section in guide.sections
                ),
                *(
                    {"address": address, "guide": "", "title": title, "text": text}
                    for address, title, text in self._notes()
                ),
            ]
        )

    def summary(self, title: str) -> str:
        """What programs that read text begin with (llms.txt): every guide, and the contracts."""
        lines = [
            f"# {title}",
            "",
            "> Live status of charging points for electric vehicles: a snapshot, then every change.",
            "",
            "## Guides",
            "",
            *(
                f"- [{guide.title}]({GUIDES_PATH}/{guide.name}.md): {guide.about}"
                for guide in self.all.values()
            ),
            "",
            "## Contracts",
            "",
            "- [OpenAPI](/openapi.json): every request",
            "- [AsyncAPI](/asyncapi.json): every stream and its messages",
            "",
        ]
        return "\n".join(lines)


def _guide(name: str, source: str, names: Collection[str]) -> Guide:
    # What reads Markdown is needed by those who read guides only.
    from markdown_it import MarkdownIt  # noqa: PLC0415 - see above

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    known = set(names)
    tokens = markdown.parse(source)
    sections = list(_sections(tokens))
    title = sections[0].title if sections else name
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open":
                _point(child, known)
        if token.type == "inline":
            token.children = [child for child in token.children or () if not _leads_nowhere(child)]
    rules: Mapping[str, Callable[..., str]] = {
        "fence": _fence,
        "table_open": _table,
        "table_close": _table_end,
    }
    for rule, render in rules.items():
        markdown.add_render_rule(rule, lambda _renderer, *given, render=render: render(*given))
    html = markdown.renderer.render(tokens, markdown.options, {"title": title})
    about = next((_plain(token) for token, before in _pairs(tokens) if before == "paragraph_open"), "")
    return Guide(name, title, _shortened(about), source, html, tuple(sections))


def _pairs(tokens: Sequence[Token]) -> Iterator[tuple[Token, str]]:
    before = ""
    for token in tokens:
        if token.type == "inline":
            yield token, before
        before = token.type


def _sections(tokens: Sequence[Token]) -> Iterator[Section]:
    """Gives headings the addresses that GitHub gives them."""
    used: dict[str, int] = {}
    title, place = "", ""
    words: list[str] = []
    opened: Token | None = None
    for token in tokens:
        if token.type == "heading_open":
            if title:
                yield Section(place, title, " ".join(words))
            opened, words = token, []
        elif token.type == "inline":
            text = _plain(token)
            if opened is None:
                words.append(text)
                continue
            title = text
            slug = _SLUG.sub("", text.lower()).replace(" ", "-")
            again = used.get(slug, -1) + 1
            used[slug] = again
            place = f"{slug}-{again}" if again else slug
            opened.attrSet("id", place)
            opened = None
        elif token.type in {"fence", "code_block"}:
            words.append(token.content)
    if title:
        yield Section(place, title, " ".join(words))


def _plain(token: Token) -> str:
    parts = (
        " " if child.type in {"softbreak", "hardbreak"} else child.content for child in token.children or ()
    )
    return "".join(parts)


def _shortened(text: str) -> str:
    if len(text) <= TEXT_CHARACTERS_MAX:
        return text
    return text[:TEXT_CHARACTERS_MAX].rsplit(" ", 1)[0] + " …"


def _point(link: Token, known: set[str]) -> None:
    """Links between guides lead to their pages; those to files that the server does not have, nowhere."""
    address, hash_, place = str(link.attrGet("href") or "").partition("#")
    name = address.removesuffix(".md")
    if not address or address.startswith(("https:", "http:", "/")):
        return
    if name in known and address.endswith(".md"):
        link.attrSet("href", f"{GUIDES_PATH}/{name}{hash_}{place}")
    else:
        link.attrs.pop("href", None)


def _leads_nowhere(token: Token) -> bool:
    return token.type == "image"


def _fence(tokens: Sequence[Token], index: int, _options: object, env: Mapping[str, str]) -> str:
    token = tokens[index]
    language = token.info.split()[0] if token.info.split() else "text"
    label = escape(f"{env['title']}: {language}")
    return (
        f'<div class="code"><pre tabindex="0" role="region" aria-label="{label}" '
        f'data-language="{escape(language)}"><code>{escape(token.content)}</code></pre></div>\n'
    )


def _table(_tokens: Sequence[Token], _index: int, _options: object, env: Mapping[str, str]) -> str:
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(env["title"])}"><table>\n'


def _table_end(*_: object) -> str:
    return "</table></div>\n"
