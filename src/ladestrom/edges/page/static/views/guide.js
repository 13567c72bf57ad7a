/**
 * The view `guide`: a text that is in the document already, with the list of guides and the search beside it.
 */

import { coloured, copyButton } from "../base/code.js";
import { h, put } from "../base/dom.js";
import { open } from "../base/shell.js";
import { t } from "../base/words.js";
import { searching } from "./docs/search.js";

/** @typedef {import("../base/code.js").Language} Language */

/** @type {Record<string, Language>} */
const LANGUAGES = { sh: "shell", python: "python", js: "javascript", html: "javascript", json: "json", toml: "text" };

const article = document.querySelector("article");
const nav = document.querySelector("nav.guides");
const title = document.title;
const shell = await open("docs", article);
document.title = title;
const here = location.pathname.replace(/\/$/, "");
for (const link of nav?.querySelectorAll("a") ?? []) {
  if (link.getAttribute("href") === here) link.setAttribute("aria-current", "page");
}
for (const box of article?.querySelectorAll(".code") ?? []) {
  const pre = /** @type {HTMLElement} */ (box.querySelector("pre"));
  const text = pre.textContent ?? "";
  put(/** @type {HTMLElement} */ (pre.firstElementChild), coloured(text, LANGUAGES[pre.dataset["language"] ?? ""] ?? "text"));
  box.append(copyButton(() => text));
}
for (const heading of article?.querySelectorAll("h2[id], h3[id]") ?? []) {
  heading.append(
    h("a", { class: "hash", href: `#${heading.id}`, "aria-label": t("docs.link", { title: heading.textContent ?? "" }) }, "#"),
  );
}
const search = searching();
if (article && nav) {
  const isGuide = /^\/docs\/[\w-]+$/.test(here) && here !== "/docs/errors";
  put(
    shell.main,
    h(
      "div",
      { class: "reading" },
      h(
        "div",
        { class: "side" },
        search.element,
        nav,
        h("ul", {}, h("li", {}, h("a", { href: "/docs" }, t("docs.reference")))),
      ),
      h("div", {}, search.hits, article, isGuide && h("p", { class: "quiet" }, h("a", { href: `${here}.md` }, t("docs.markdown")))),
    ),
  );
}
// The text moved after the browser had gone to its place.
if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
