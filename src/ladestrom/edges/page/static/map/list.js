/** Stations in view, as a list: what the map shows, for those who do not see it or have no pointer. */

import { h, put } from "../base/dom.js";
import { count, t } from "../base/words.js";

/** @typedef {{uuid: string, title: string, below: string, state: string}} Entry */

export const LISTED_MAX = 50;

export class List {
  /** @param {(uuid: string, opener: HTMLElement) => void} chosen @param {HTMLElement} files */
  constructor(chosen, files) {
    this._chosen = chosen;
    this._count = h("p", { class: "quiet" });
    this._list = h("ol", { class: "stations" });
    /** @type {Map<string, HTMLLIElement>} */
    this._items = new Map();
    this.element = h("div", { class: "listed" }, this._count, files, this._list);
  }

  /**
   * @param {Entry[]} entries nearest first
   * @param {number} inView how many there are in all
   */
  show(entries, inView) {
    const text = inView > entries.length ? t("map.list.nearest", { n: inView, shown: entries.length }) : count("map.list.all", inView);
    if (this._count.textContent !== text) put(this._count, text);
    /** @type {Map<string, HTMLLIElement>} */
    const items = new Map();
    for (const entry of entries) {
      const item = this._items.get(entry.uuid) ?? this._item(entry.uuid);
      const told = `${entry.state} ${entry.title} ${entry.below}`;
      if (item.dataset["told"] !== told) {
        item.dataset["told"] = told;
        put(
          /** @type {Element} */ (item.firstElementChild),
          h("span", { class: "state", "data-group": entry.state }, entry.title),
          h("span", { class: "quiet" }, entry.below),
        );
      }
      items.set(entry.uuid, item);
    }
    this._items = items;
    const wanted = [...items.values()];
    const isSame = wanted.length === this._list.children.length && wanted.every((item, index) => item === this._list.children[index]);
    if (isSame) return;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const hadFocus = this._list.contains(focused);
    this._list.replaceChildren(...wanted);
    if (hadFocus && focused?.isConnected) focused.focus({ preventScroll: true });
  }

  /** @param {string} uuid */
  _item(uuid) {
    const button = h("button", { type: "button", onclick: () => this._chosen(uuid, button) });
    return h("li", {}, button);
  }
}
