/**
 * A day of one EVSE as a strip: the group of its status over time, told by height as well as by colour, in a
 * picture, a sentence and a table.
 */

import { h, put, svg } from "../base/dom.js";
import { clock, count, isWord, moment, percent, t } from "../base/words.js";
import { GROUPS, groupOf } from "./groups.js";

/** @typedef {{at: string, status: string, error: 0 | 1}} Segment one holds until the next */
/** @typedef {import("./groups.js").Group} Group */

const HOURS = 24;
const SPAN_MS = HOURS * 3_600_000;
const WIDTH = 1_440;
const WIDTH_MIN = 5;
/** What was short is seen nevertheless. */
const HEIGHT = 24;
/** @type {Record<Group, number>} */
const HEIGHTS = { available: 24, occupied: 16, faulty: 9, unknown: 4 };
const ROWS_MAX = 60;

export class Strip {
  /**
   * @param {Segment[]} segments in order
   * @param {string} completeFrom ISO instant before which something may be missing
   */
  constructor(segments, completeFrom) {
    this._segments = segments;
    this._completeMs = Date.parse(completeFrom);
    this._picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", class: "day" });
    this._summary = h("p", { class: "quiet" });
    this._rows = h("tbody");
    const table = h(
      "details",
      { ontoggle: () => this._tabulate() },
      h("summary", {}, t("map.day.table")),
      h(
        "div",
        { class: "scroll" },
        h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("map.day.since")), h("th", { scope: "col" }, t("map.status")))), this._rows),
      ),
    );
    this._table = table;
    const hours = h("div", { class: "hours", "aria-hidden": "true" }, [24, 18, 12, 6].map((n) => h("span", {}, t("map.day.hours", { n }))), h("span", {}, t("map.day.now")));
    this.element = h("div", { class: "strip" }, this._picture, hours, this._summary, table);
    this.draw();
  }

  /** @param {Segment} segment */
  add(segment) {
    const last = this._segments.at(-1);
    if (last && last.status === segment.status && last.error === segment.error) return;
    this._segments.push(segment);
    this.draw();
  }

  /** Draws the day that ends now. @param {number} [nowMs] */
  draw(nowMs = Date.now()) {
    const fromMs = nowMs - SPAN_MS;
    while (this._segments.length > 1 && Date.parse(this._segments[1].at) <= fromMs) this._segments.shift();
    // What holds at the beginning held since its own instant, whatever else is not known any more.
    const firstMs = this._segments[0] ? Date.parse(this._segments[0].at) : Infinity;
    const knownMs = Math.max(fromMs, Number.isFinite(this._completeMs) ? Math.min(this._completeMs, firstMs) : fromMs);
    /** @type {Record<Group, number>} */
    const spent = { available: 0, occupied: 0, faulty: 0, unknown: 0 };
    /** @type {SVGElement[]} */
    const bars = [];
    this._segments.forEach((segment, index) => {
      const next = this._segments[index + 1];
      const startMs = Math.max(knownMs, Date.parse(segment.at));
      const endMs = Math.min(nowMs, next ? Date.parse(next.at) : nowMs);
      const group = groupOf(segment);
      if (!group || endMs <= startMs) return;
      spent[group] += endMs - startMs;
      const x = Math.min(WIDTH - WIDTH_MIN, ((startMs - fromMs) / SPAN_MS) * WIDTH);
      const width = Math.max(WIDTH_MIN, ((endMs - startMs) / SPAN_MS) * WIDTH);
      bars.push(svg("rect", { x, width, y: HEIGHT - HEIGHTS[group], height: HEIGHTS[group], class: group }));
    });
    const all = GROUPS.reduce((sum, group) => sum + spent[group], 0) || 1;
    const shares = GROUPS.filter((group) => spent[group] > 0).map((group) => `${t(`group.${group}`)} ${percent(spent[group] / all)}`);
    const changes = this._segments.filter(({ at }) => Date.parse(at) > fromMs).length;
    const late = knownMs - fromMs > 60_000 ? ` ${t("map.day.from", { at: clock(new Date(knownMs).toISOString()) })}` : "";
    const text = `${shares.join(", ") || t("map.day.nothing")}; ${count("map.changes", changes)}.${late}`;
    this._picture.setAttribute("aria-label", t("map.day.label", { text }));
    put(this._picture, bars);
    put(this._summary, text);
    this._tabulate();
  }

  _tabulate() {
    if (!this._table.open) return;
    put(
      this._rows,
      this._segments
        .slice(-ROWS_MAX)
        .toReversed()
        .map((segment) => h("tr", {}, h("td", {}, moment(segment.at)), h("td", {}, statusName(segment)))),
    );
  }
}

/** @param {{status: string, error: 0 | 1 | number}} evse */
export function statusName({ status, error }) {
  const word = `status.${status}`;
  const name = isWord(word) ? t(word) : status;
  return error ? t("map.fault", { status: name }) : name;
}
