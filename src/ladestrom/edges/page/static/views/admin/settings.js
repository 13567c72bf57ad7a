/**
 * The settings in force, and where each came from.
 */

import { get } from "../../base/api.js";
import { h } from "../../base/dom.js";
import { inline } from "../../base/markdown.js";
import { table } from "../../base/table.js";
import { t } from "../../base/words.js";

/** @typedef {number | boolean | string | string[]} Value */
/**
 * @typedef {object} Setting
 * @property {string} name
 * @property {Value} value
 * @property {string} unit
 * @property {Value} default
 * @property {"default" | "file" | "environment" | "flag" | "demo"} origin
 * @property {string} from
 * @property {string} help
 */

/** @returns {import("../admin.js").Part} */
export function settings() {
  /** @type {Setting[]} */
  let all = [];
  const search = h("input", { type: "search", name: "settings", autocomplete: "off", oninput: draw });
  const changed = h("input", { type: "checkbox", name: "changed", onchange: draw });
  /** @type {import("../../base/table.js").Column<Setting>[]} */
  const columns = [
    {
      label: t("admin.settings.name"),
      head: true,
      order: (row) => row.name,
      cell: (row) => [h("code", {}, row.name), h("span", { class: "quiet more" }, inline(row.help))],
    },
    {
      label: t("admin.settings.value"),
      cell: (row) => [
        h("code", {}, written(row.value)),
        row.unit && ` ${row.unit}`,
        written(row.value) !== written(row.default) &&
          h("span", { class: "quiet more" }, t("console.default", { value: written(row.default) })),
      ],
    },
    {
      label: t("admin.settings.origin"),
      order: (row) => row.origin,
      cell: (row) => [t(`admin.origin.${row.origin}`), row.from && h("span", { class: "quiet more" }, row.from)],
    },
  ];
  const shown = table(columns, { caption: t("admin.settings"), empty: t("admin.settings.empty"), quiet: true });
  const element = h(
    "div",
    {},
    h(
      "div",
      { class: "row filters" },
      h("label", { class: "check" }, t("admin.settings.search"), search),
      h("label", { class: "check" }, changed, t("admin.settings.changed")),
    ),
    shown.element,
  );

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown.show(
      all.filter((row) => {
        const text = `${row.name} ${row.help} ${written(row.value)}`.toLowerCase();
        return words.every((word) => text.includes(word)) && (!changed.checked || row.origin !== "default");
      }),
    );
  }

  return {
    element,
    async ask() {
      all = (await get("/api/v2/admin/settings")).items;
      draw();
    },
    everyMs: 0,
  };
}

/** @param {Value} value */
const written = (value) => (Array.isArray(value) ? value.join(", ") : value === "" ? "–" : String(value));
