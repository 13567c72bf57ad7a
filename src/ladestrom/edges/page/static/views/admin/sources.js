/**
 * The sources: how each does, and pausing those that the server asks or follows.
 */

import { get, post } from "../../base/api.js";
import { h, put } from "../../base/dom.js";
import { failure } from "../../base/shell.js";
import { median, stateBadge, sum } from "../../base/sources.js";
import { table } from "../../base/table.js";
import { ago, moment, named, number, span, t } from "../../base/words.js";

/** @typedef {import("../../base/sources.js").Source & {operator: string, address: string, paused: boolean}} Source */

/** @param {import("../../base/shell.js").Shell} shell @returns {import("../admin.js").Part} */
export function sources(shell) {
  const trouble = h("div");
  /** @type {import("../../base/table.js").Column<Source>[]} */
  const columns = [
    {
      label: t("admin.sources.source"),
      head: true,
      order: (row) => row.source,
      cell: (row) => [row.source, h("span", { class: "quiet more" }, row.operator)],
    },
    {
      label: t("admin.sources.way"),
      order: (row) => row.protocol,
      cell: (row) => [
        `${row.protocol}, ${named("source.kind", row.kind)}`,
        row.address && h("span", { class: "quiet more" }, row.address),
      ],
    },
    {
      label: t("admin.sources.state"),
      order: (row) => row.state,
      cell: (row) => [
        stateBadge(row.state),
        row.error && h("span", { class: "bad more" }, `${row.error} ${row.error_at ? ago(row.error_at) : ""}`),
      ],
    },
    {
      label: t("now.operators.last"),
      order: (row) => (row.last_delivery_at ? -Date.parse(row.last_delivery_at) : null),
      cell: (row) =>
        row.last_delivery_at
          ? h(
              "time",
              { datetime: row.last_delivery_at, title: moment(row.last_delivery_at) },
              ago(row.last_delivery_at),
            )
          : "–",
    },
    {
      label: t("now.operators.delay"),
      number: true,
      order: (row) => median(row.delay),
      cell: (row) => delay(row),
    },
    {
      label: t("now.operators.reports"),
      number: true,
      order: (row) => row.reports,
      cell: (row) => number(row.reports),
    },
    {
      label: t("now.operators.refused"),
      number: true,
      order: (row) => sum(row.refused) + row.unreadable,
      cell: (row) => number(sum(row.refused) + row.unreadable),
    },
    { label: t("admin.act"), cell: (row) => (row.kind === "push" ? "" : turn(row)) },
  ];
  const shown = table(columns, {
    caption: t("admin.sources"),
    empty: t("admin.sources.empty"),
    sorted: 0,
    quiet: true,
  });
  const element = h("div", {}, trouble, shown.element);

  /** @param {Source} row */
  function turn(row) {
    const verb = row.paused ? "resume" : "pause";
    return h(
      "button",
      {
        type: "button",
        "data-act": `turn:${row.source}`,
        "aria-label": t(`admin.sources.${verb}.one`, { source: row.source }),
        onclick: async () => {
          try {
            await post(`/api/v2/admin/sources/${encodeURIComponent(row.source)}/${verb}`);
            put(trouble);
            await ask();
            shell.announce(t(`admin.sources.${verb}.done`, { source: row.source }));
          } catch (error) {
            put(trouble, failure(error));
          }
        },
      },
      t(`admin.sources.${verb}`),
    );
  }

  async function ask() {
    shown.show((await get("/api/v2/admin/sources")).items);
  }

  return { element, ask, everyMs: 5_000 };
}

/** @param {Source} row */
function delay(row) {
  const seconds = median(row.delay);
  const least = row.delay.bounds_s[0] ?? 0;
  if (seconds === null) return "–";
  return seconds < least ? t("now.operators.under", { span: span(least) }) : span(seconds);
}
