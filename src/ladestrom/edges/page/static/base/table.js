/**
 * Tables that are sorted by their heads, and shown anew without losing the place of who uses them.
 *
 * Roles are written out: on a phone rows are laid out one cell below the other, and browsers take what is not laid
 * out as a table for none.
 */

import { h, put } from "./dom.js";
import { language } from "./words.js";

/** @typedef {import("./dom.js").Child} Child */
/**
 * @template R
 * @typedef {object} Column
 * @property {string} label
 * @property {(row: R) => Child | Child[]} cell
 * @property {(row: R) => string | number | null} [order] what rows are sorted by; null comes last
 * @property {boolean} [number] whether it holds numbers
 * @property {boolean} [head] whether its cells name their rows
 */
/**
 * @typedef {object} Options
 * @property {string} caption
 * @property {string} empty said where there is no row
 * @property {number} [sorted] the column that rows are sorted by first; as they come where none is
 * @property {boolean} [descending]
 * @property {boolean} [quiet] the caption is for screen readers only
 * @property {boolean} [narrow] it fits on a phone as it is
 */

const COLLATOR = new Intl.Collator(language, { numeric: true });

/**
 * A table. What can be focused in its cells keeps the focus over `show` where it has a `data-act` of its own.
 *
 * @template R
 * @param {Column<R>[]} columns
 * @param {Options} options
 * @returns {{element: HTMLElement, show: (rows: R[]) => void}}
 */
export function table(columns, options) {
  let sorted = options.sorted ?? -1;
  let descending = options.descending ?? false;
  /** @type {R[]} */
  let shown = [];
  const body = h("tbody", { role: "rowgroup" });
  const heads = columns.map((column, index) => head(column, () => sortBy(index)));
  const none = h("p", { class: "empty quiet", hidden: true }, options.empty);
  const element = h(
    "div",
    {
      class: options.narrow ? "scroll" : "scroll stack",
      tabindex: 0,
      role: "region",
      "aria-label": options.caption,
    },
    h(
      "table",
      { role: "table" },
      h("caption", { class: options.quiet ? "spoken" : null }, options.caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
      body,
    ),
    none,
  );

  /** @param {number} index */
  function sortBy(index) {
    descending = sorted === index ? !descending : columns[index]?.number === true;
    sorted = index;
    draw();
  }

  function draw() {
    heads.forEach((cell, index) => {
      if (columns[index]?.order === undefined) return;
      const order = index === sorted ? (descending ? "descending" : "ascending") : "none";
      cell.setAttribute("aria-sort", order);
    });
    const order = columns[sorted]?.order;
    const rows = order === undefined ? shown : [...shown].sort((a, b) => compared(order(a), order(b), descending));
    const act = document.activeElement instanceof HTMLElement ? document.activeElement.dataset["act"] : undefined;
    const held = act !== undefined && body.contains(document.activeElement);
    put(
      body,
      rows.map((row) =>
        h(
          "tr",
          { role: "row" },
          columns.map((column) => cell(column, row)),
        ),
      ),
    );
    if (held) {
      const same = [...body.querySelectorAll("[data-act]")].find((one) => one.getAttribute("data-act") === act);
      if (same instanceof HTMLElement) same.focus();
      else element.focus();
    }
    none.hidden = rows.length > 0;
  }

  draw();
  return {
    element,
    show(rows) {
      shown = rows;
      draw();
    },
  };
}

/**
 * @template R
 * @param {Column<R>} column
 * @param {() => void} sort
 */
function head(column, sort) {
  const name = column.number ? "number" : null;
  if (column.order === undefined) return h("th", { scope: "col", role: "columnheader", class: name }, column.label);
  return h(
    "th",
    { scope: "col", role: "columnheader", class: name, "aria-sort": "none" },
    h("button", { type: "button", class: "sort", onclick: sort }, column.label),
  );
}

/**
 * @template R
 * @param {Column<R>} column
 * @param {R} row
 */
function cell(column, row) {
  const content = column.cell(row);
  const children = Array.isArray(content) ? content : [content];
  if (column.head) return h("th", { scope: "row", role: "rowheader" }, ...children);
  const attributes = { role: "cell", class: column.number ? "number" : null, "data-label": column.label };
  return h("td", attributes, h("div", {}, ...children));
}

/**
 * @param {string | number | null} a
 * @param {string | number | null} b
 * @param {boolean} descending
 */
function compared(a, b, descending) {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  const order = typeof a === "number" && typeof b === "number" ? a - b : COLLATOR.compare(String(a), String(b));
  return descending ? -order : order;
}
