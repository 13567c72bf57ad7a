/**
 * The operators and how freshly each delivers.
 */

import { h } from "../../base/dom.js";
import { measured, median, stateBadge, sum, together } from "../../base/sources.js";
import { table } from "../../base/table.js";
import { ago, moment, number, percent, span, t } from "../../base/words.js";

/** @typedef {import("../../base/sources.js").Source} Source */
/** @typedef {import("../../base/sources.js").SourceState} SourceState */
/**
 * @typedef {object} Operator
 * @property {string} operator
 * @property {string | null} last_report_at
 * @property {number} reports
 * @property {number} changes
 * @property {Record<string, number>} refused
 * @property {Source[]} sources
 */

/** @param {Operator} row */
const delay = (row) => together(row.sources.map((source) => source.delay));

/** Share of the measured changes that took over one minute. @param {Operator} row */
function lateShare(row) {
  const all = measured(delay(row));
  return all === 0 ? null : row.sources.reduce((total, each) => total + each.late, 0) / all;
}

/** @param {Operator} row */
const refused = (row) => sum(row.refused) + row.sources.reduce((total, each) => total + each.unreadable, 0);

/** @param {Operator} row */
function states(row) {
  /** @type {Map<SourceState, number>} */
  const counts = new Map();
  for (const { state } of row.sources) counts.set(state, (counts.get(state) ?? 0) + 1);
  if (counts.size === 0) return h("span", { class: "quiet" }, t("now.operators.nosource"));
  const only = row.sources.length === 1;
  return h(
    "span",
    { class: "row" },
    [...counts].map(([state, n]) => stateBadge(state, only ? undefined : n)),
  );
}

/** The table; `show` takes what `/api/v2/operators` says. */
export function operators() {
  /** @type {import("../../base/table.js").Column<Operator>[]} */
  const columns = [
    { label: t("now.operators.operator"), head: true, order: (row) => row.operator, cell: (row) => row.operator },
    {
      label: t("now.operators.last"),
      order: (row) => (row.last_report_at ? -Date.parse(row.last_report_at) : null),
      cell: (row) =>
        row.last_report_at
          ? h("time", { datetime: row.last_report_at, title: moment(row.last_report_at) }, ago(row.last_report_at))
          : h("span", { class: "quiet" }, t("now.operators.never")),
    },
    {
      label: t("now.operators.delay"),
      number: true,
      order: (row) => median(delay(row)),
      cell: (row) => spanned(delay(row)),
    },
    {
      label: t("now.operators.late"),
      number: true,
      order: lateShare,
      cell: (row) => percent(lateShare(row)),
    },
    { label: t("now.operators.sources"), cell: states },
    {
      label: t("now.operators.reports"),
      number: true,
      order: (row) => row.reports,
      cell: (row) => number(row.reports),
    },
    {
      label: t("now.operators.changes"),
      number: true,
      order: (row) => row.changes,
      cell: (row) => number(row.changes),
    },
    { label: t("now.operators.refused"), number: true, order: refused, cell: (row) => number(refused(row)) },
  ];
  return table(columns, { caption: t("now.operators"), empty: t("now.operators.empty"), sorted: 0, quiet: true });
}

/** The median in words; within the first bucket nothing is known but its bound. @param {import("../../base/sources.js").Delay} all */
function spanned(all) {
  const seconds = median(all);
  const least = all.bounds_s[0] ?? 0;
  if (seconds === null) return "–";
  return seconds < least ? t("now.operators.under", { span: span(least) }) : span(seconds);
}
