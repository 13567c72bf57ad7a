/**
 * Changes over time as bars, drawn by uPlot in the colours of the page.
 */

import uPlot from "../../vendor/uPlot.esm.js";
import { h, put } from "../../base/dom.js";
import { clock, count, moment, number, t, weekday } from "../../base/words.js";

const HEIGHT = 220;
const LEAST = 4;
/** The plot's height is at least so many changes, so that a single one does not fill it. */
const USUAL_SHARE = 0.95;
const BURST = 20;
/** What is so many times larger than the usual is cut off. */

/**
 * @typedef {object} Series
 * @property {"seconds" | "minutes" | "tens" | "hours"} scale
 * @property {number} endsAt the instant after the last value, in seconds since 1970
 * @property {number} stepS what one value covers
 * @property {number[]} values oldest first
 */

/**
 * A plot, and a sentence that says what it shows.
 *
 * @returns {{element: HTMLElement, show: (series: Series) => void}}
 */
export function plot() {
  const tip = h("div", { class: "hint", hidden: true });
  const canvas = h("div", { class: "plot", "aria-hidden": "true" });
  const said = h("figcaption", { class: "quiet" });
  const element = h("figure", { class: "changes" }, canvas, said);
  /** @type {uPlot | null} */
  let drawn = null;
  /** @type {Series | null} */
  let shown = null;

  function draw() {
    drawn?.destroy();
    drawn = null;
    if (shown === null || canvas.clientWidth === 0) return;
    drawn = new uPlot(
      options(canvas.clientWidth, () => top(shown?.values ?? []), point),
      data(shown),
      canvas,
    );
    canvas.append(tip);
  }

  /** Says what is under the pointer. @param {uPlot} plotted */
  function point(plotted) {
    const { idx, left } = plotted.cursor;
    const value = idx === null || idx === undefined ? undefined : shown?.values[idx];
    tip.hidden = value === undefined || left === undefined || left < 0;
    if (!shown || value === undefined || idx === null || idx === undefined) return;
    const at = new Date((shown.endsAt - (shown.values.length - idx) * shown.stepS) * 1000).toISOString();
    put(tip, `${shown.stepS >= 3_600 ? moment(at) : clock(at)}: ${count("now.plot.changes", value)}`);
    tip.style.insetInlineStart = `${Math.min(left ?? 0, canvas.clientWidth - 220)}px`;
  }

  new ResizeObserver(() => {
    if (drawn === null) draw();
    else if (canvas.clientWidth > 0) drawn.setSize({ width: canvas.clientWidth, height: HEIGHT });
  }).observe(canvas);
  window.addEventListener("ladestrom-theme", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  return {
    element,
    show(series) {
      const isOther = shown?.stepS !== series.stepS;
      shown = series;
      put(said, told(series));
      if (drawn === null || isOther) draw();
      else drawn.setData(data(series));
    },
  };
}

/**
 * The largest value that the plot has room for. One burst, as when a whole country comes at once, would
 * leave nothing to be seen of all else.
 *
 * @param {number[]} values
 */
function top(values) {
  const most = Math.max(0, ...values);
  const usual = [...values].sort((a, b) => a - b)[Math.floor(values.length * USUAL_SHARE)] ?? 0;
  return most > BURST * Math.max(1, usual) ? Math.max(LEAST, usual * 2) : Math.max(LEAST, most * 1.1);
}

/** @param {Series} series */
function told({ values, scale }) {
  const most = Math.max(0, ...values);
  const all = values.reduce((sum, each) => sum + each, 0);
  const mean = values.length > 0 ? all / values.length : 0;
  const last = values.at(-1) ?? 0;
  const text = t(`now.plot.${scale}`, { all, last, mean, most });
  return most > top(values) ? `${text} ${t("now.plot.cut")}` : text;
}

/** @param {Series} series @returns {[number[], number[]]} */
function data({ endsAt, stepS, values }) {
  return [values.map((_, index) => endsAt - (values.length - index) * stepS), values];
}

/** @param {string} name */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * @param {number} width
 * @param {() => number} highest
 * @param {(plotted: uPlot) => void} point told when the pointer moved
 * @returns {uPlot.Options}
 */
function options(width, highest, point) {
  const axis = {
    stroke: colour("--quiet"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui, sans-serif",
  };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    hooks: { setCursor: [point] },
    select: { show: false, left: 0, top: 0, width: 0, height: 0 },
    padding: [8, 8, 0, 0],
    scales: { y: { range: () => [0, highest()] } },
    axes: [
      {
        ...axis,
        size: 32,
        space: 80,
        incrs: [60, 300, 600, 900, 1_800, 3_600, 10_800, 21_600, 86_400],
        grid: { show: false },
        values: (_plot, splits) => {
          const isDays = (splits.at(-1) ?? 0) - (splits[0] ?? 0) > 2 * 86_400;
          return splits.map((at) => (isDays ? weekday(new Date(at * 1000).getDay()) : clock(new Date(at * 1000).toISOString())));
        },
      },
      {
        ...axis,
        size: 60,
        label: t("now.plot.unit"),
        labelSize: 16,
        labelFont: "12px system-ui, sans-serif",
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000],
        values: (_plot, splits) => splits.map(number),
      },
    ],
    series: [
      {},
      {
        stroke: colour("--accent"),
        fill: colour("--accent"),
        width: 0,
        points: { show: false },
        paths: /** @type {any} */ (uPlot.paths).bars({ size: [0.8, 40, 1], align: 1 }),
      },
    ],
  };
}
