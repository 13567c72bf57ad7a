/**
 * What operators were refused: how much of each, and on request the items.
 */

import { get } from "../../base/api.js";
import { h, put } from "../../base/dom.js";
import { failure } from "../../base/shell.js";
import { sum } from "../../base/sources.js";
import { table } from "../../base/table.js";
import { ago, moment, number, t } from "../../base/words.js";

/** @typedef {{operator: string, refused: Record<string, number>}} Row */
/** @typedef {{operator: string, protocol: string, at: string, item: string | null, reason: string, detail: string}} Item */

const ITEMS_SHOWN_MAX = 100;

/** @returns {import("../admin.js").Part} */
export function refusals() {
  const trouble = h("div");
  const items = h("div");
  /** @type {import("../../base/table.js").Column<Row>[]} */
  const columns = [
    {
      label: t("now.operators.operator"),
      head: true,
      order: (row) => row.operator,
      cell: (row) => row.operator,
    },
    {
      label: t("now.operators.refused"),
      number: true,
      order: (row) => sum(row.refused),
      cell: (row) => number(sum(row.refused)),
    },
    {
      label: t("admin.quarantine.why"),
      cell: (row) =>
        Object.entries(row.refused)
          .sort(([, a], [, b]) => b - a)
          .map(([reason, n]) =>
            h("span", { class: "more" }, `${number(n)} × `, h("a", { href: `/docs/errors/${reason}` }, reason)),
          ),
    },
    {
      label: t("admin.act"),
      cell: (row) =>
        h(
          "button",
          {
            type: "button",
            "data-act": `refused:${row.operator}`,
            "aria-label": t("admin.refusals.show.one", { operator: row.operator }),
            onclick: () => void show(row.operator),
          },
          t("admin.refusals.show"),
        ),
    },
  ];
  const shown = table(columns, {
    caption: t("admin.refusals"),
    empty: t("admin.refusals.empty"),
    sorted: 1,
    descending: true,
    quiet: true,
  });

  /** @param {string} operator */
  async function show(operator) {
    try {
      const { items: all } = await get(`/api/v2/admin/refusals?operator=${encodeURIComponent(operator)}`);
      const few = /** @type {Item[]} */ (all.slice(0, ITEMS_SHOWN_MAX));
      const list = table(itemColumns(), {
        caption: t("admin.refusals.of", { operator, n: few.length }),
        empty: t("admin.refusals.empty"),
      });
      list.show(few);
      put(trouble);
      put(items, list.element);
      list.element.focus();
    } catch (error) {
      put(trouble, failure(error));
    }
  }

  return {
    element: h("div", {}, trouble, shown.element, items),
    async ask() {
      const rows = /** @type {Row[]} */ (await get("/api/v2/operators"));
      shown.show(rows.filter((row) => sum(row.refused) > 0));
    },
    everyMs: 10_000,
  };
}

/** @returns {import("../../base/table.js").Column<Item>[]} */
const itemColumns = () => [
  {
    label: t("admin.quarantine.at"),
    cell: (row) => h("time", { datetime: row.at, title: moment(row.at) }, ago(row.at)),
  },
  { label: t("admin.refusals.item"), head: true, cell: (row) => h("code", {}, row.item ?? "–") },
  {
    label: t("admin.quarantine.why"),
    cell: (row) => [
      h("a", { href: `/docs/errors/${row.reason}` }, row.reason),
      h("span", { class: "quiet more", lang: "en" }, row.detail),
    ],
  },
  { label: t("admin.sources.way"), cell: (row) => row.protocol },
];
