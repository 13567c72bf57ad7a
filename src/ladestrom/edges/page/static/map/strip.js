/**
 * A day of a station as one strip: how many of its EVSEs were in which group over time, in a picture, a sentence
 * and a table.
 */

import { h, put, svg } from "../base/dom.js";
import { clock, count, isWord, moment, percent, t } from "../base/words.js";
import { GROUPS, groupOf } from "./groups.js";

/** @typedef {{at: string, status: string, error: 0 | 1}} Segment one holds until the next */

/**
 * What a strip may span, and the hours ago that stand below it. The first one is shown; the server keeps no more.
 *
 * @type {readonly {hours: number, marks: readonly number[]}[]}
 */
export const RANGES = [{ hours: 24, marks: [24, 18, 12, 6] }];
const BINS = 480;
/** Of a day three minutes each: one or two pixels. */
const HEIGHT = 24;
const ROWS_MAX = 60;

export class Strip {
  /**
   * @param {Map<string, Segment[]>} days segments of each EVSE, in order
   * @param {string} completeFrom ISO instant before which something may be missing
   * @param {typeof RANGES[number]} [range] what of the time before now it shows
   */
  constructor(days, completeFrom, range = RANGES[0]) {
    this._spanMs = range.hours * 3_600_000;
    this._days = days;
    this._completeMs = Date.parse(completeFrom);
    this._picture = svg("svg", { viewBox: `0 0 ${BINS} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", class: "day" });
    this._summary = h("p", { class: "quiet" });
    this._rows = h("tbody");
    this._table = h(
      "details",
      { ontoggle: () => this._tabulate() },
      h("summary", {}, t("map.day.table")),
      h(
        "div",
        { class: "scroll" },
        h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("map.day.since")), h("th", { scope: "col" }, t("map.status")))), this._rows),
      ),
    );
    const hours = h("div", { class: "hours", "aria-hidden": "true" }, range.marks.map((n) => h("span", {}, t("map.day.hours", { n }))), h("span", {}, t("map.day.now")));
    this.element = h("section", { class: "strip", "aria-label": t("map.day") }, h("h3", {}, t("map.day")), this._picture, hours, this._summary, this._table);
    this.draw();
  }

  /** @param {string} evse @param {Segment} segment */
  add(evse, segment) {
    const segments = this._days.get(evse) ?? [];
    const last = segments.at(-1);
    if (last && last.status === segment.status && last.error === segment.error) return;
    segments.push(segment);
    this._days.set(evse, segments);
    this.draw();
  }

  /** Draws the day that ends now. @param {number} [nowMs] */
  draw(nowMs = Date.now()) {
    const fromMs = nowMs - this._spanMs;
    const binMs = this._spanMs / BINS;
    const bins = GROUPS.map(() => new Float64Array(BINS));
    const spent = GROUPS.map(() => 0);
    let changes = 0;
    let sinceMs = nowMs;
    for (const segments of this._days.values()) {
      while (segments.length > 1 && Date.parse(segments[1].at) <= fromMs) segments.shift();
      // What holds at the beginning held since its own instant, whatever else is not known any more.
      const firstMs = segments[0] ? Date.parse(segments[0].at) : nowMs;
      const knownMs = Math.max(fromMs, Number.isFinite(this._completeMs) ? Math.min(this._completeMs, firstMs) : fromMs);
      sinceMs = Math.min(sinceMs, knownMs);
      segments.forEach((segment, index) => {
        const next = segments[index + 1];
        const startMs = Math.max(knownMs, Date.parse(segment.at));
        const endMs = Math.min(nowMs, next ? Date.parse(next.at) : nowMs);
        if (Date.parse(segment.at) > fromMs && index > 0) changes += 1;
        const group = groupOf(segment);
        if (!group || endMs <= startMs) return;
        const number = GROUPS.indexOf(group);
        spent[number] += endMs - startMs;
        const first = Math.max(0, Math.floor((startMs - fromMs) / binMs));
        const last = Math.min(BINS - 1, Math.floor((endMs - fromMs) / binMs));
        for (let bin = first; bin <= last; bin++) {
          bins[number][bin] += Math.max(0, Math.min(endMs, fromMs + (bin + 1) * binMs) - Math.max(startMs, fromMs + bin * binMs));
        }
      });
    }
    const all = spent.reduce((sum, each) => sum + each, 0) || 1;
    const shares = GROUPS.flatMap((group, number) => (spent[number] > 0 ? `${t(`group.${group}`)} ${percent(spent[number] / all)}` : []));
    const late = sinceMs - fromMs > 60_000 ? ` ${t("map.day.from", { at: clock(new Date(sinceMs).toISOString()) })}` : "";
    const text = `${shares.join(", ") || t("map.day.nothing")}; ${count("map.changes", changes)}.${late}`;
    this._picture.setAttribute("aria-label", t("map.day.label", { text }));
    put(this._picture, bars(bins));
    put(this._summary, text);
    this._tabulate();
  }

  _tabulate() {
    if (!this._table.open) return;
    /** @type {[string, string, Segment][]} */
    const events = [];
    for (const [evse, segments] of this._days) for (const segment of segments) events.push([segment.at, evse, segment]);
    events.sort((one, other) => one[0].localeCompare(other[0]));
    /** @type {Map<string, string | null>} */
    const now = new Map();
    const rows = events.map(([at, evse, segment]) => {
      now.set(evse, groupOf(segment));
      const listed = [...now.values()].filter(Boolean);
      return h("tr", {}, h("td", {}, moment(at)), h("td", {}, t("map.free", { free: listed.filter((group) => group === "available").length, n: listed.length })));
    });
    put(this._rows, rows.slice(-ROWS_MAX).toReversed());
  }
}

/**
 * What is free stands at the bottom, what is not on top of it; bins that are alike are one bar.
 *
 * @param {Float64Array[]} bins milliseconds by group
 */
function bars(bins) {
  /** @type {SVGElement[]} */
  const made = [];
  const sums = Array.from({ length: BINS }, (_, bin) => bins.reduce((sum, group) => sum + group[bin], 0));
  const under = new Float64Array(BINS);
  bins.forEach((group, number) => {
    const heights = group.map((ms, bin) => (sums[bin] > 0 ? Math.round((ms / sums[bin]) * HEIGHT * 4) / 4 : 0));
    for (let bin = 0; bin < BINS; ) {
      let end = bin + 1;
      while (end < BINS && heights[end] === heights[bin] && under[end] === under[bin]) end += 1;
      if (heights[bin] > 0) {
        made.push(svg("rect", { x: bin, width: end - bin, y: HEIGHT - under[bin] - heights[bin], height: heights[bin], class: GROUPS[number] }));
      }
      bin = end;
    }
    heights.forEach((height, bin) => (under[bin] += height));
  });
  return made;
}

/** @param {{status: string, error: 0 | 1 | number}} evse */
export function statusName({ status, error }) {
  const word = `status.${status}`;
  const name = isWord(word) ? t(word) : status;
  return error ? t("map.fault", { status: name }) : name;
}
