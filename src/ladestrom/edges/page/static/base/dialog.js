/**
 * Questions that stop everything else until they are answered.
 */

import { h } from "./dom.js";
import { t } from "./words.js";

/**
 * Asks whether to do something that cannot be undone.
 *
 * @param {string} question
 * @param {string} detail what comes of it
 * @param {string} action the word on the button that does it
 * @returns {Promise<boolean>}
 */
export function confirmed(question, detail, action) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "question" },
      h("h2", { id: "question" }, question),
      h("p", {}, detail),
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", class: "danger", onclick: () => dialog.close("yes") }, action),
        h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, t("shell.cancel")),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before instanceof HTMLElement) before.focus();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
