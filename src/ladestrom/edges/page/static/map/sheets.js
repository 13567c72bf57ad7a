/** Buttons that open what is beside the map, one at a time: a card on a desk, a sheet from below on a phone. */

import { h, put } from "../base/dom.js";
import { t } from "../base/words.js";

/** @typedef {{name: string, title: string, content: HTMLElement}} Sheet */

/**
 * @param {Sheet[]} all
 * @param {(name: string) => void} opened
 */
export function sheets(all, opened) {
  let current = "";
  /** @type {Map<string, {button: HTMLButtonElement, box: HTMLElement}>} */
  const made = new Map();
  const open = (/** @type {string} */ name) => {
    current = name;
    for (const [each, { button, box }] of made) {
      button.setAttribute("aria-expanded", String(each === name));
      box.hidden = each !== name;
    }
    if (name) opened(name);
  };
  const close = () => {
    const from = made.get(current);
    open("");
    from?.button.focus();
  };
  for (const { name, title, content } of all) {
    const button = h(
      "button",
      { type: "button", "aria-expanded": "false", "aria-controls": `sheet-${name}`, onclick: () => open(current === name ? "" : name) },
      title,
    );
    const box = h(
      "section",
      {
        id: `sheet-${name}`,
        class: "sheet",
        "aria-label": title,
        hidden: true,
        onkeydown: (event) => {
          if (event.key !== "Escape") return;
          event.stopPropagation();
          close();
        },
      },
      h("header", {}, h("h2", {}, title), h("button", { type: "button", class: "close", "aria-label": t("shell.close"), onclick: close }, "×")),
      content,
    );
    made.set(name, { button, box });
  }
  return {
    buttons: h("div", { class: "openers" }, [...made.values()].map(({ button }) => button)),
    element: h("div", { class: "sheets" }, [...made.values()].map(({ box }) => box)),
    open,
    isOpen: (/** @type {string} */ name) => current === name,
    label(/** @type {string} */ name, /** @type {string} */ text) {
      const button = made.get(name)?.button;
      if (button && button.textContent !== text) put(button, text);
    },
  };
}
