/**
 * The last lines of the server log, as the server keeps them in memory.
 */

import { get } from "../../base/api.js";
import { h, put } from "../../base/dom.js";
import { clock, moment, named, t } from "../../base/words.js";

/** @typedef {{at: string, level: string, event: string, values: Record<string, string>}} Line */

const TONES = /** @type {Record<string, string>} */ ({ warning: "wait", error: "bad", critical: "bad" });

/** @returns {import("../admin.js").Part} */
export function log() {
  /** @type {Line[]} */
  let lines = [];
  let shown = "";
  const search = h("input", { type: "search", name: "log", autocomplete: "off", oninput: draw });
  const only = h("input", { type: "checkbox", name: "warnings", onchange: draw });
  const list = h("ol");
  const box = h("div", { class: "lines", tabindex: 0, role: "region", "aria-label": t("admin.log.lines") }, list);
  const none = h("p", { class: "empty quiet", hidden: true }, t("admin.log.empty"));
  const element = h(
    "div",
    {},
    h(
      "div",
      { class: "row filters" },
      h("label", { class: "check" }, t("admin.keys.search"), search),
      h("label", { class: "check" }, only, t("admin.log.warnings")),
      h("span", { class: "quiet" }, t("admin.log.kept.lines")),
    ),
    box,
    none,
  );

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = lines.filter((line) => {
      const text = `${line.event} ${Object.entries(line.values).flat().join(" ")}`.toLowerCase();
      return words.every((word) => text.includes(word)) && (!only.checked || line.level in TONES);
    });
    const text = JSON.stringify(found);
    // What somebody marks to copy it stays while nothing new comes.
    if (text === shown) return;
    shown = text;
    put(list, found.map(drawn));
    none.hidden = found.length > 0;
    box.hidden = found.length === 0;
  }

  return {
    element,
    async ask() {
      lines = (await get("/api/v2/admin/log")).items;
      draw();
    },
    everyMs: 5_000,
  };
}

/** @param {Line} line */
function drawn(line) {
  const { logger, ...values } = line.values;
  return h(
    "li",
    { "data-level": line.level },
    h("time", { datetime: line.at, title: moment(line.at) }, clock(line.at)),
    h("span", { class: "badge", "data-tone": TONES[line.level] ?? "plain" }, named("level", line.level)),
    h(
      "span",
      { class: "said", title: logger ?? "", lang: "en" },
      h("strong", {}, line.event),
      Object.entries(values).map(([name, value]) => [
        " ",
        h("span", { class: "value" }, h("span", { class: "quiet" }, `${name}=`), value),
      ]).flat(),
    ),
  );
}
