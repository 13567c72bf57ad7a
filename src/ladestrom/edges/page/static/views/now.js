/**
 * The view `now`: how many are free, how fast things change, who delivers how freshly, who listens.
 */

import { ApiError, get } from "../base/api.js";
import { h, put } from "../base/dom.js";
import { poll } from "../base/live.js";
import { failure, open } from "../base/shell.js";
import { table } from "../base/table.js";
import { ago, count, moment, number, percent, t } from "../base/words.js";
import { operators } from "./now/operators.js";
import { plot } from "./now/plot.js";

/** @typedef {"available" | "occupied" | "faulty" | "unknown"} Group */
/** @typedef {import("../base/words.js").Word} Word */
/** @typedef {{country: string, place: string, stations: number, evses: number, occupied: number, changes_hour: number, longitude: number, latitude: number}} Place */
/**
 * @typedef {object} Overview what `/api/v2/overview` says
 * @property {string} at
 * @property {string} started_at
 * @property {number} stations
 * @property {number} evses
 * @property {Record<string, number>} statuses
 * @property {number} errors
 * @property {Record<Group, number>} groups
 * @property {{total: number, v1: number, v2: number, events: number}} consumers
 * @property {number} visitors
 * @property {number} changes_total
 * @property {number[]} seconds
 * @property {number[]} minutes
 * @property {number[]} tens
 * @property {number[]} hours
 * @property {string | null} kept_from
 * @property {Place[]} places
 */

const OVERVIEW_MS = 2_000;
const OPERATORS_MS = 10_000;
const PLACE_ZOOM = 11;
/** @type {readonly Group[]} */
const GROUPS = ["available", "occupied", "faulty", "unknown"];
const STATUSES = /** @type {const} */ ([
  "AVAILABLE",
  "CHARGING",
  "BLOCKED",
  "RESERVED",
  "INOPERATIVE",
  "OUTOFORDER",
  "UNKNOWN",
  "PLANNED",
  "REMOVED",
]);

const shell = await open("now");

/** A figure with its name, and a bar for its share. @param {string} name @param {string} [group] */
function figure(name, group) {
  const value = h("span", { class: "value" }, "–");
  const share = h("span", { class: "share quiet" });
  const bar = h("span", { class: "part" });
  const element = h(
    "div",
    { class: "figure", "data-group": group ?? null },
    h("dt", {}, group ? h("span", { class: "state", "data-group": group }, name) : name),
    h("dd", {}, value, share, h("span", { class: "bar", "aria-hidden": "true" }, bar)),
  );
  return {
    element,
    /** @param {number} n @param {number | null} part */
    show(n, part) {
      put(value, number(n));
      put(share, part === null ? "" : percent(part));
      bar.style.width = `${Math.min(1, part ?? 0) * 100}%`;
    },
  };
}

const groups = GROUPS.map((group) => figure(t(`group.${group}`), group));
const statuses = STATUSES.map((status) => figure(t(`status.${status}`)));
const errors = figure(t("now.errors"));
const listeners = /** @type {const} */ (["v1", "v2", "events", "visitors"]).map((kind) => ({
  kind,
  figure: figure(t(`now.consumers.${kind}`)),
}));
const when = h("p", { class: "quiet" }, t("shell.loading"));
const changes = plot();
const kept = h("p", { class: "quiet" });
const rates = h("div", { class: "segments", role: "group", "aria-label": t("now.changes.scale") });
const SCALES = /** @type {const} */ ({ seconds: 1, minutes: 60, tens: 600, hours: 3_600 });
/** @typedef {keyof typeof SCALES} Scale */
/** @type {Scale} */
let scale = "seconds";
/** @type {Overview | null} */
let newest = null;

/** @type {import("../base/table.js").Column<Place>[]} */
const columns = [
  {
    label: t("now.places.place"),
    head: true,
    cell: (row) => [
      h(
        "a",
        { href: `/?lat=${row.latitude.toFixed(4)}&lon=${row.longitude.toFixed(4)}&z=${PLACE_ZOOM}` },
        row.place || t("now.places.nowhere"),
      ),
      " ",
      h("span", { class: "quiet" }, row.country),
    ],
  },
  { label: t("now.places.evses"), number: true, cell: (row) => number(row.evses) },
  {
    label: t("now.places.occupied"),
    number: true,
    cell: (row) => percent(row.evses > 0 ? row.occupied / row.evses : null),
  },
  { label: t("now.places.changes"), number: true, cell: (row) => number(row.changes_hour) },
];
const places = table(columns, { caption: t("now.places"), empty: t("now.places.empty"), narrow: true, quiet: true });
const deliverers = operators();
const trouble = h("div", { "aria-live": "polite" });

put(
  rates,
  /** @type {Scale[]} */ (Object.keys(SCALES)).map((name) =>
    h(
      "button",
      {
        type: "button",
        "aria-pressed": String(name === scale),
        onclick: (/** @type {Event} */ event) => {
          scale = name;
          for (const button of rates.children)
            button.setAttribute("aria-pressed", String(button === event.currentTarget));
          draw();
        },
      },
      t(`now.changes.${name}`),
    ),
  ),
);

/** @param {string} heading @param {string} id @param {...(import("../base/dom.js").Child)} children */
function section(heading, id, ...children) {
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, heading), ...children);
}

const board = h(
  "div",
  { class: "now", "aria-busy": "true" },
  h(
    "dl",
    { class: "figures groups" },
    groups.map((each) => each.element),
  ),
  h(
    "section",
    { class: "card", "aria-labelledby": "changes" },
    h("div", { class: "head" }, h("h2", { id: "changes" }, t("now.changes")), rates),
    changes.element,
    kept,
  ),
  h(
    "div",
    { class: "columns" },
    section(
      t("now.statuses"),
      "statuses",
      h(
        "dl",
        { class: "figures list" },
        [...statuses, errors].map((each) => each.element),
      ),
    ),
    section(t("now.places"), "places", places.element),
  ),
  section(t("now.operators"), "operators", deliverers.element),
  section(
    t("now.consumers"),
    "consumers",
    h(
      "dl",
      { class: "figures" },
      listeners.map((each) => each.figure.element),
    ),
  ),
);
put(shell.main, h("div", { class: "title" }, h("h1", {}, t("now.title")), when), trouble, board);

function draw() {
  if (newest === null) return;
  const now = newest;
  const { evses } = now;
  /** @param {number} n */
  const share = (n) => (evses > 0 ? n / evses : null);
  GROUPS.forEach((group, index) => groups[index]?.show(now.groups[group], share(now.groups[group])));
  STATUSES.forEach((status, index) =>
    statuses[index]?.show(now.statuses[status] ?? 0, share(now.statuses[status] ?? 0)),
  );
  errors.show(now.errors, share(now.errors));
  for (const { kind, figure } of listeners) figure.show(kind === "visitors" ? now.visitors : now.consumers[kind], null);
  const stepS = SCALES[scale];
  const endsAt = Math.floor(Date.parse(now.at) / 1000 / stepS) * stepS;
  changes.show({ scale, values: now[scale], stepS, endsAt });
  const begins = (endsAt - stepS * now[scale].length) * 1000;
  const isShort = now.kept_from !== null && Date.parse(now.kept_from) > begins;
  kept.hidden = !isShort || stepS === 1;
  put(kept, isShort && stepS > 1 ? t("now.kept", { at: moment(now.kept_from) }) : "");
  places.show(now.places);
  put(
    when,
    t("now.when", {
      evses: count("now.evses", evses),
      stations: count("now.stations", now.stations),
      changes: count("now.since", now.changes_total),
    }),
    " ",
    h("time", { datetime: now.started_at, title: moment(now.started_at) }, ago(now.started_at)),
    ".",
  );
  board.removeAttribute("aria-busy");
}

/** @param {unknown} error */
function failed(error) {
  const isKey = error instanceof ApiError && (error.status === 401 || error.status === 403);
  shell.stream(isKey ? "ended" : "waiting", error instanceof Error ? error.message : "");
  // A key that is not good any more does not become so by asking.
  if (isKey) asked.stop();
  if (newest === null || isKey) {
    board.hidden = true;
    put(when);
    put(trouble, failure(error, asked.now));
  }
}

shell.stream("connecting");
const asked = poll(
  async () => {
    newest = await get("/api/v2/overview");
    shell.stream("live");
    put(trouble);
    board.hidden = false;
    draw();
  },
  OVERVIEW_MS,
  failed,
);
poll(
  async () => deliverers.show(await get("/api/v2/operators")),
  OPERATORS_MS,
  () => {},
);
