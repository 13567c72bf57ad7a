/**
 * The field in which one looks for a place or a station: a combobox with a list of what was found.
 *
 * After the ARIA Authoring Practices, pattern "Combobox", editable with list autocomplete.
 */

import { h, put } from "../base/dom.js";
import { count, t } from "../base/words.js";
import { FOUND_MAX, TYPED_MAX } from "./search.js";

/** @typedef {import("./search.js").Search} Search */
/** @typedef {import("./search.js").Place} Place */
/** @typedef {{uuid?: string, place?: Place, title: string, below: string, state: string}} Hit a place or a station */

const EVSE_WAIT_MS = 300;

export class Finder {
  /**
   * @param {{search: () => Search | null, hit: (row: number) => Hit, rowOf: (uuid: string) => number | undefined,
   *   chosen: (uuid: string) => void, went: (place: Place) => void}} asks
   */
  constructor(asks) {
    this._asks = asks;
    /** @type {Hit[]} */
    this._hits = [];
    this._active = -1;
    this._timer = 0;
    this._run = 0;
    this.field = h("input", {
      type: "search",
      id: "find",
      role: "combobox",
      "aria-label": t("map.find"),
      "aria-expanded": "false",
      "aria-controls": "found",
      "aria-autocomplete": "list",
      "aria-keyshortcuts": "/",
      autocomplete: "off",
      maxlength: TYPED_MAX,
      spellcheck: "false",
      placeholder: t("map.find.hint"),
      oninput: () => this._look(),
      onfocus: () => void this._asks.search()?.load(),
      onkeydown: (event) => this._key(event),
      onblur: () => this._close(),
      onclick: () => this._box.hidden && this._look(),
    });
    this._list = h("ul", { id: "found", role: "listbox", "aria-label": t("map.find") });
    this._box = h("div", { class: "found", hidden: true }, this._list);
    this._said = h("span", { class: "spoken", role: "status" });
    this.element = h("div", { class: "finder" }, this.field, h("kbd", { "aria-hidden": "true" }, "/"), this._box, this._said);
    document.addEventListener("keydown", (event) => {
      const target = /** @type {HTMLElement} */ (event.target);
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
      if (target.closest("input, textarea, select, dialog, [contenteditable]")) return;
      event.preventDefault();
      this.field.focus();
      this.field.select();
    });
  }

  _look() {
    const run = ++this._run;
    clearTimeout(this._timer);
    const typed = this.field.value;
    const search = this._asks.search();
    if (!search || !typed.trim()) return this._close();
    const shown = this._find(search, typed);
    void search.load().then(() => {
      if (run === this._run && this._find(search, typed).join() !== shown.join()) this._show(this._hitsOf(search, typed));
    });
    this._show(this._hitsOf(search, typed));
    if (shown.length > 0) return;
    this._timer = setTimeout(async () => {
      const uuid = await search.byEvse(typed).catch(() => null);
      const row = uuid === null ? undefined : this._asks.rowOf(uuid);
      if (run === this._run && row !== undefined) this._show([this._asks.hit(row)]);
    }, EVSE_WAIT_MS);
  }

  /** What is found, as something to compare. @param {Search} search @param {string} typed */
  _find(search, typed) {
    return [...search.places(typed).map(({ name, lon }) => `${name} ${lon}`), ...search.rows(typed)];
  }

  /** @param {Search} search @param {string} typed @returns {Hit[]} */
  _hitsOf(search, typed) {
    const places = search.places(typed).map((place) => ({ place, title: place.name, below: t("map.place", { country: place.country }), state: "place" }));
    return [...places, ...search.rows(typed).slice(0, FOUND_MAX - places.length).map((row) => this._asks.hit(row))];
  }

  /** @param {Hit[]} hits */
  _show(hits) {
    this._hits = hits;
    this._active = hits.length > 0 ? 0 : -1;
    const empty = h("li", { class: "none", role: "option", "aria-disabled": "true", "aria-selected": "false" }, t("map.find.none"));
    put(
      this._list,
      hits.length === 0 && empty,
      hits.map(({ title, below, state }, index) =>
        h(
          "li",
          {
            id: `found-${index}`,
            role: "option",
            onmousedown: (event) => event.preventDefault(),
            onclick: () => this._choose(index),
          },
          h("span", { class: "state", "data-group": state }, title),
          h("span", { class: "quiet" }, below),
        ),
      ),
    );
    this._box.hidden = false;
    this.field.setAttribute("aria-expanded", "true");
    put(this._said, hits.length ? count("map.found", hits.length) : t("map.find.none"));
    this._mark();
  }

  _mark() {
    [...this._list.children].forEach((option, index) => {
      if (this._hits.length) option.setAttribute("aria-selected", String(index === this._active));
      if (index === this._active) option.scrollIntoView({ block: "nearest" });
    });
    if (this._active >= 0) this.field.setAttribute("aria-activedescendant", `found-${this._active}`);
    else this.field.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (step && this._box.hidden) {
      event.preventDefault();
      this._look();
    } else if (step && this._hits.length) {
      event.preventDefault();
      this._active = (this._active + step + this._hits.length) % this._hits.length;
      this._mark();
    } else if (event.key === "Enter" && this._active >= 0) {
      event.preventDefault();
      this._choose(this._active);
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      if (this._box.hidden) this.field.value = "";
      this._close();
    }
  }

  /** @param {number} index */
  _choose(index) {
    const { uuid, place } = this._hits[index];
    this._close();
    if (place) this._asks.went(place);
    else if (uuid) this._asks.chosen(uuid);
  }

  _close() {
    this._run += 1;
    clearTimeout(this._timer);
    this._hits = [];
    this._active = -1;
    this._box.hidden = true;
    this.field.setAttribute("aria-expanded", "false");
    this.field.removeAttribute("aria-activedescendant");
  }
}
