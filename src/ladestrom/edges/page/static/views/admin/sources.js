/**
 * The sources: those that fail on top with all that is known of it; asking, pausing and resuming.
 */

import { get, post } from "../../base/api.js";
import { h, put } from "../../base/dom.js";
import { failure } from "../../base/shell.js";
import { median, stateBadge, sum } from "../../base/sources.js";
import { table } from "../../base/table.js";
import { ago, count, hourOf, moment, named, number, span, t } from "../../base/words.js";
import { spark } from "./spark.js";

/** @typedef {import("../../base/sources.js").Source & {operator: string, address: string, paused: boolean, error_detail: string, failing_since: string | null, failures_in_row: number, last_heard_at: string | null, delay_minutes: (number | null)[], certificate_expires_at: string | null, own_certificate_expires_at: string | null}} Source */
/** @typedef {import("../../base/sources.js").SourceState} SourceState */

/** @type {SourceState[]} */
const WORST_FIRST = ["failing", "resting", "lost", "silent", "new", "paused", "fresh"];
const FAILING = new Set(/** @type {SourceState[]} */ (["failing", "resting", "lost", "silent"]));
const EXPIRES_MS = 14 * 86_400_000;
/** A certificate that ends sooner is told of. */

/**
 * @param {import("../../base/shell.js").Shell} shell
 * @param {import("./verdict.js").Verdict} verdict
 * @returns {import("../admin.js").Part}
 */
export function sources(shell, verdict) {
  const trouble = h("div");
  const failing = h("ul", { class: "failing" });
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
      order: (row) => WORST_FIRST.indexOf(row.state),
      cell: (row) => [
        stateBadge(row.state),
        row.error && h("span", { class: "bad more" }, `${row.error} ${row.error_at ? ago(row.error_at) : ""}`),
      ],
    },
    {
      label: t("now.operators.last"),
      order: (row) => (row.last_delivery_at ? -Date.parse(row.last_delivery_at) : null),
      cell: (row) => instant(row.last_delivery_at),
    },
    {
      label: t("now.operators.delay"),
      number: true,
      order: (row) => median(row.delay),
      cell: (row) => [delay(row), " ", spark(row.delay_minutes)],
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
    {
      label: t("admin.act"),
      cell: (row) => (row.kind === "push" ? "" : h("div", { class: "row" }, turn(row), !row.paused && asking(row, "row"))),
    },
  ];
  const shown = table(columns, {
    caption: t("admin.sources"),
    empty: t("admin.sources.empty"),
    sorted: 2,
    quiet: true,
  });
  const element = h("div", {}, trouble, failing, shown.element);

  /** @param {Source} row */
  function turn(row) {
    const verb = row.paused ? "resume" : "pause";
    return h(
      "button",
      {
        type: "button",
        "data-act": `turn:${row.source}`,
        "aria-label": t(`admin.sources.${verb}.one`, { source: row.source }),
        onclick: () =>
          done(
            () => post(`/api/v2/admin/sources/${encodeURIComponent(row.source)}/${verb}`),
            () => t(`admin.sources.${verb}.done`, { source: row.source }),
          ),
      },
      t(`admin.sources.${verb}`),
    );
  }

  /** @param {Source} row @param {string} where */
  function asking(row, where) {
    const button = h(
      "button",
      {
        type: "button",
        class: where === "card" ? "primary" : null,
        "data-act": `ask:${where}:${row.source}`,
        "aria-label": t("admin.sources.ask.one", { source: row.source }),
        onclick: () => {
          button.disabled = true;
          put(button, t("admin.sources.asking"));
          void done(
            () => post(`/api/v2/admin/sources/${encodeURIComponent(row.source)}/ask`),
            (/** @type {Source} */ told) =>
              FAILING.has(told.state)
                ? t("admin.sources.ask.failed", { source: told.source, error: told.error_detail || told.state })
                : t("admin.sources.ask.done", { source: told.source }),
          );
        },
      },
      t("admin.sources.ask"),
    );
    return button;
  }

  /** @param {() => Promise<any>} act @param {(told: any) => string} said */
  async function done(act, said) {
    try {
      const told = await act();
      put(trouble);
      await ask();
      const text = said(told);
      put(trouble, h("p", { class: "notice" }, text));
      shell.announce(text);
    } catch (error) {
      await ask();
      put(trouble, failure(error));
    }
  }

  /** One that fails, with all that is known of it. @param {Source} row */
  function card(row) {
    return h(
      "li",
      { class: "notice bad", "data-source": row.source },
      h(
        "div",
        { class: "head" },
        h("h3", {}, row.source, " ", h("span", { class: "quiet" }, row.operator)),
        stateBadge(row.state),
      ),
      h(
        "p",
        {},
        row.failing_since &&
          t("admin.sources.since", {
            at: hourOf(row.failing_since),
            span: span((Date.now() - Date.parse(row.failing_since)) / 1000),
          }),
        " ",
        row.failures_in_row > 1 && count("admin.sources.row", row.failures_in_row),
      ),
      row.state !== "silent" &&
        row.error_detail &&
        h(
          "pre",
          { class: "error", tabindex: 0, role: "region", "aria-label": t("admin.sources.error", { source: row.source }) },
          row.error_detail,
        ),
      h(
        "dl",
        { class: "facts" },
        fact(t("admin.sources.good"), instant(row.last_delivery_at)),
        row.kind !== "push" && fact(t("admin.sources.next"), instant(row.next_at)),
        fact(t("admin.sources.spark.title"), spark(row.delay_minutes)),
        row.error && fact(t("admin.sources.code"), h("a", { href: `/docs/errors/${row.error}` }, row.error)),
      ),
      row.kind !== "push" && h("div", { class: "row" }, asking(row, "card")),
    );
  }

  /** @param {Source[]} rows */
  function show(rows) {
    const worst = rows
      .filter((row) => FAILING.has(row.state))
      .sort((a, b) => WORST_FIRST.indexOf(a.state) - WORST_FIRST.indexOf(b.state) || began(a) - began(b));
    const act = document.activeElement?.getAttribute("data-act");
    const held = failing.contains(document.activeElement);
    put(failing, worst.map(card));
    if (held) {
      const same = [...element.querySelectorAll("[data-act]")].find((one) => one.getAttribute("data-act") === act);
      if (same instanceof HTMLElement) same.focus();
      else shown.element.focus();
    }
    shown.show(rows);
    const since = worst.length > 0 ? Math.min(...worst.map(began)) : Infinity;
    const ending = rows.filter((row) => expires(row) < Date.now() + EXPIRES_MS);
    verdict.tell("sources", [
      ...(worst.length > 0
        ? [
            {
              text: Number.isFinite(since)
                ? t("admin.verdict.failing.since", {
                    n: worst.length,
                    all: rows.length,
                    at: hourOf(new Date(since).toISOString()),
                  })
                : t("admin.verdict.failing", { n: worst.length, all: rows.length }),
              href: "#sources",
            },
          ]
        : []),
      ...(ending.length > 0
        ? [{ text: count("admin.verdict.certificates", ending.length), href: "#sources" }]
        : []),
    ]);
  }

  async function ask() {
    show((await get("/api/v2/admin/sources")).items);
  }

  return { element, ask, everyMs: 5_000 };
}

/** @param {Source} row */
const began = (row) => (row.failing_since ? Date.parse(row.failing_since) : Infinity);

/** When the first of a source's certificates ends. @param {Source} row */
const expires = (row) =>
  Math.min(
    ...[row.certificate_expires_at, row.own_certificate_expires_at].map((at) => (at ? Date.parse(at) : Infinity)),
  );

/** @param {string | null} at */
const instant = (at) => (at ? h("time", { datetime: at, title: moment(at) }, ago(at)) : "–");

/** @param {string} name @param {import("../../base/dom.js").Child} value */
const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));

/** @param {Source} row */
function delay(row) {
  const seconds = median(row.delay);
  const least = row.delay.bounds_s[0] ?? 0;
  if (seconds === null) return "–";
  return seconds < least ? t("now.operators.under", { span: span(least) }) : span(seconds);
}
