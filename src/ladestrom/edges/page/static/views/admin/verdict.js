/**
 * What is wrong, in the first line: what each part of the page finds, worst first.
 */

import { h, put } from "../../base/dom.js";
import { t } from "../../base/words.js";

/** @typedef {"process" | "sources" | "disk" | "keys"} Finder who finds it, in the order in which it is said */
/** @typedef {{text: string, href: string}} Finding */
/** @typedef {{element: HTMLElement, tell: (finder: Finder, findings: Finding[]) => void}} Verdict */

/** @type {readonly Finder[]} */
const FINDERS = ["process", "sources", "disk", "keys"];

/** @param {(n: number) => void} told hears how many findings there are @returns {Verdict} */
export function verdict(told) {
  /** @type {Map<Finder, Finding[]>} */
  const found = new Map();
  const line = h("p", { class: "line" }, t("shell.loading"));
  const element = h("div", { class: "verdict", role: "status", "data-tone": "plain" }, line);
  let said = "";

  return {
    element,
    tell(finder, findings) {
      found.set(finder, findings);
      if (found.size < FINDERS.length) return;
      const all = FINDERS.flatMap((each) => found.get(each) ?? []);
      const text = JSON.stringify(all);
      if (text === said) return;
      said = text;
      element.dataset["tone"] = all.length > 0 ? "bad" : "good";
      put(
        line,
        all.length === 0
          ? t("admin.well")
          : all.flatMap((each, index) => [index > 0 && ", ", h("a", { href: each.href }, each.text)]),
      );
      told(all.length);
    },
  };
}
