/**
 * First requests, ready to be copied, with the address of this server and the visitor's key.
 */

import { key } from "../../base/api.js";
import { codeTabs } from "../../base/code.js";
import { h, put } from "../../base/dom.js";
import { PLACEHOLDER, snippets } from "../../base/snippets.js";
import { t } from "../../base/words.js";

/** @typedef {import("../../base/snippets.js").Call} Call */
/** @typedef {import("../../base/words.js").Word} Word */

/** @type {[Word, Call][]} */
const FIRST = [
  ["consumers.try.stations", { kind: "rest", method: "GET", path: "/api/v2/stations?limit=3" }],
  ["consumers.try.events", { kind: "events", method: "GET", path: "/api/v2/events" }],
  ["consumers.try.stream", { kind: "v2", method: "GET", path: "/api/v2/stream" }],
];

/** @returns {{element: HTMLElement, show: () => void}} `show` after the key is another */
export function trial() {
  const tabs = FIRST.map(([word]) => codeTabs(t(word)));
  const shown = h("input", { type: "checkbox", name: "shown", onchange: show });
  const choice = h("label", { class: "check" }, shown, t("code.key"));
  const element = h("div", { class: "trial" });

  function show() {
    choice.hidden = key() === "";
    const text = shown.checked && key() ? key() : PLACEHOLDER;
    FIRST.forEach(([, call], index) => tabs[index]?.show(snippets(call, text)));
  }

  put(
    element,
    h("p", {}, t("consumers.try.how", { placeholder: PLACEHOLDER })),
    choice,
    FIRST.map(([word], index) => h("div", {}, h("h3", {}, t(word)), tabs[index]?.element)),
  );
  return { element, show };
}
