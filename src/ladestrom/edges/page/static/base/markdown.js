/**
 * The little Markdown that the contracts' descriptions are written in: paragraphs, lists, tables, code, bold, links.
 */

import { h } from "./dom.js";
import { language } from "./words.js";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)/g;

/** A line's worth of text. @param {string} text @returns {(Node | string)[]} */
export function inline(text) {
  /** @type {(Node | string)[]} */
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, code, bold, label, address] = match;
    nodes.push(text.slice(end, match.index));
    if (code !== undefined) nodes.push(h("code", {}, code));
    else if (bold !== undefined) nodes.push(h("strong", {}, bold));
    else nodes.push(/^(https?:|\/|#)/.test(address ?? "") ? h("a", { href: address }, label) : (label ?? ""));
    end = match.index + whole.length;
  }
  nodes.push(text.slice(end));
  // Contracts are written in English, whatever the page speaks.
  return language === "en" ? nodes : [h("span", { lang: "en" }, nodes)];
}

/** A whole text. @param {string} text @returns {HTMLElement[]} */
export function blocks(text) {
  return text
    .trim()
    .split(/\n{2,}/)
    .filter((part) => part !== "")
    .map(block);
}

/** @param {string} text @returns {HTMLElement} */
function block(text) {
  const lines = text.split("\n");
  if (lines.every((line) => line.startsWith("|"))) return grid(lines);
  if (lines.every((line) => /^([-*] |  )/.test(line))) {
    const items = text.split(/\n(?=[-*] )/).map((item) => item.slice(2));
    return h(
      "ul",
      {},
      items.map((item) => h("li", {}, inline(item))),
    );
  }
  return h("p", {}, inline(text));
}

/** @param {string[]} lines */
function grid(lines) {
  const rows = lines
    .filter((line) => !/^\|[-| :]+\|$/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split("|")
        .map((cell) => cell.trim()),
    );
  const [head = [], ...body] = rows;
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": head.join(", ") },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          head.map((cell) => h("th", { scope: "col" }, inline(cell))),
        ),
      ),
      h(
        "tbody",
        {},
        body.map((row) =>
          h(
            "tr",
            {},
            row.map((cell) => h("td", {}, inline(cell))),
          ),
        ),
      ),
    ),
  );
}
