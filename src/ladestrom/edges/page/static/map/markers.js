/**
 * Clusters and stations on the map: which are in view, how they look, and which is under the pointer.
 *
 * Draws only what is in view, and makes instances anew only where numbers, zoom or view ask for it.
 */

import { Canvas, Instances, LETTER_FLOATS, MARKER_FLOATS, PULSE_FLOATS } from "./canvas.js";
import { LEVEL_MAX, WORLD_PX, visit } from "./hierarchy.js";

/** @typedef {import("./hierarchy.js").Hierarchy} Hierarchy */
/** @typedef {import("./tallies.js").Tallies} Tallies */
/** @typedef {import("./canvas.js").Palette} Palette */
/** @typedef {{x: number, y: number, zoom: number}} View its middle in shares of the world */
/** @typedef {{node: number, stations: number, station: number}} Mark what is drawn in one place; `station` is -1 for clusters */

const SLOTS = 5;
const STATION_PX = 9;
const CLUSTER_PX = [15, 30];
const CLUSTER_GROWTH = 3.1;
/** Pixels of radius for ten times as many stations. */
const MARGIN_PX = 160;
/** So far around the view instances are made, so that a short way needs none. */
const PULSE_MS = 900;
const PULSES_MAX = 400;
const PULSE_FRAME_MS = 30;
const LETTERS = "0123456789.,k";
const CHOSEN = 6;
const DRAWN = "ladestrom-drawn";
/** Name of the mark in the browser's timeline: when stations were first drawn. */

export class Markers {
  /**
   * @param {HTMLCanvasElement} element
   * @param {() => View} view
   * @param {string} point what stands between a number and its fraction
   * @throws {Error} WebGL 2 is not there
   */
  constructor(element, view, point) {
    this._canvas = new Canvas(element, LETTERS);
    this._view = view;
    this._point = point;
    /** @type {Hierarchy | null} */
    this._hierarchy = null;
    /** @type {Tallies | null} */
    this._tallies = null;
    this._markers = new Instances(MARKER_FLOATS);
    this._letters = new Instances(LETTER_FLOATS);
    this._pulses = new Instances(PULSE_FLOATS);
    /** @type {Mark[]} */
    this._marks = [];
    this._made = { level: -1, originX: 0, originY: 0, left: 0, top: 0, right: 0, bottom: 0 };
    this._isStale = true;
    this._chosen = -1;
    this._frame = 0;
    this._drawnMs = 0;
    /** Pulses that are under way: stations, groups and when each began. */
    this._beats = { station: new Int32Array(PULSES_MAX), group: new Uint8Array(PULSES_MAX), bornMs: new Float64Array(PULSES_MAX), next: 0 };
    this._beats.bornMs.fill(-Infinity);
    this._still = matchMedia("(prefers-reduced-motion: reduce)");
    this._isMarked = false;
  }

  /** @param {Hierarchy} hierarchy @param {Tallies} tallies */
  show(hierarchy, tallies) {
    this._hierarchy = hierarchy;
    this._tallies = tallies;
    this._beats.bornMs.fill(-Infinity);
    this.stale();
  }

  /** @param {Palette} palette */
  paint(palette) {
    this._canvas.paint(palette);
    this.stale();
  }

  resize() {
    this._canvas.resize();
    this.stale();
  }

  /** The station around which a ring is drawn; -1 for none. @param {number} station */
  choose(station) {
    this._chosen = station;
    this.stale();
  }

  /** Shows that an EVSE of a station came into a group. @param {number} station @param {number} group */
  pulse(station, group) {
    if (this._still.matches || group < 0 || document.hidden) return;
    const beats = this._beats;
    beats.station[beats.next] = station;
    beats.group[beats.next] = group;
    beats.bornMs[beats.next] = performance.now();
    beats.next = (beats.next + 1) % PULSES_MAX;
  }

  /** Numbers are others: draws in the next frame. */
  stale() {
    this._isStale = true;
    this._ask();
  }

  _ask() {
    this._frame ||= requestAnimationFrame((nowMs) => {
      this._frame = 0;
      if (this._isStale || nowMs - this._drawnMs >= PULSE_FRAME_MS) this.draw();
      else this._ask();
    });
  }

  /** Draws now: the map calls it in each of its frames, so that both move as one. */
  draw() {
    const hierarchy = this._hierarchy;
    if (!hierarchy || !this._tallies || !this._canvas.width) return;
    const startMs = performance.now();
    const { x, y, zoom } = this._view();
    const level = Math.max(0, Math.min(LEVEL_MAX, Math.floor(zoom)));
    const worldPx = WORLD_PX * 2 ** zoom;
    const halfX = this._canvas.width / 2 / worldPx;
    const halfY = this._canvas.height / 2 / worldPx;
    const made = this._made;
    const isOut = x - halfX < made.left || x + halfX > made.right || y - halfY < made.top || y + halfY > made.bottom;
    const isNew = this._isStale || level !== made.level || isOut;
    if (isNew) {
      const margin = MARGIN_PX / worldPx;
      this._made = {
        level,
        originX: x,
        originY: y,
        left: x - halfX - margin,
        right: x + halfX + margin,
        top: y - halfY - margin,
        bottom: y + halfY + margin,
      };
      this._make(hierarchy, this._tallies);
    }
    this._isStale = false;
    const isBeating = this._beat(hierarchy, startMs);
    const { originX, originY } = this._made;
    const scale = worldPx / (WORLD_PX * 2 ** level);
    const placing = {
      x: this._canvas.width / 2 - (x - originX) * worldPx,
      y: this._canvas.height / 2 - (y - originY) * worldPx,
      scale,
    };
    this._canvas.draw(placing, this._markers, this._letters, this._pulses, isNew);
    this._drawnMs = startMs;
    if (!this._isMarked && this._marks.length > 0) performance.mark(DRAWN);
    this._isMarked ||= this._marks.length > 0;
    if (isBeating) this._ask();
  }

  /** @param {Hierarchy} hierarchy @param {Tallies} tallies */
  _make(hierarchy, tallies) {
    const { level, originX, originY } = this._made;
    const { shown } = tallies;
    const levelPx = WORLD_PX * 2 ** level;
    this._markers.clear();
    this._letters.clear();
    this._marks.length = 0;
    visit(hierarchy.levels[level], this._made, (node) => {
      const i = node * SLOTS;
      const stations = shown[i + 4];
      if (stations <= 0) return;
      const station = stations === 1 ? only(hierarchy, shown, node) : -1;
      const placed = station >= 0 ? station : node;
      const px = (hierarchy.x[placed] - originX) * levelPx;
      const py = (hierarchy.y[placed] - originY) * levelPx;
      if (station >= 0) this._addStation(px, py, station, tallies);
      else this._addCluster(px, py, shown, i, stations);
      this._marks.push({ node, stations, station });
    });
    if (this._chosen >= 0) {
      const px = (hierarchy.x[this._chosen] - originX) * levelPx;
      const py = (hierarchy.y[this._chosen] - originY) * levelPx;
      this._markers.add(px, py, STATION_PX + 6, CHOSEN, 0, 0, 0, 0);
    }
  }

  /** @param {number} px @param {number} py @param {number} station @param {Tallies} tallies */
  _addStation(px, py, station, tallies) {
    this._markers.add(px, py, STATION_PX, tallies.stateOf(station) + 1, 0, 0, 0, 0);
  }

  /** @param {number} px @param {number} py @param {Int32Array} shown @param {number} i @param {number} stations */
  _addCluster(px, py, shown, i, stations) {
    const all = Math.max(1, shown[i] + shown[i + 1] + shown[i + 2] + shown[i + 3]);
    const first = shown[i] / all;
    const second = first + shown[i + 1] / all;
    const third = second + shown[i + 2] / all;
    this._markers.add(px, py, radiusOf(stations), 0, first, second, third, 1);
    const text = short(stations, this._point);
    const step = Canvas.letterPx;
    for (let k = 0; k < text.length; k++) {
      this._letters.add(px, py, (k - (text.length - 1) / 2) * step, LETTERS.indexOf(text[k]));
    }
  }

  /** @param {Hierarchy} hierarchy @param {number} nowMs @returns {boolean} whether there are more frames to draw */
  _beat(hierarchy, nowMs) {
    const { level, originX, originY, left, right, top, bottom } = this._made;
    const { station, group, bornMs } = this._beats;
    const levelPx = WORLD_PX * 2 ** level;
    this._pulses.clear();
    let isBeating = false;
    for (let k = 0; k < PULSES_MAX; k++) {
      const age = (nowMs - bornMs[k]) / PULSE_MS;
      if (!(age < 1)) continue;
      isBeating = true;
      const x = hierarchy.x[station[k]];
      const y = hierarchy.y[station[k]];
      if (x < left || x > right || y < top || y > bottom) continue;
      this._pulses.add((x - originX) * levelPx, (y - originY) * levelPx, Math.max(0, age), group[k]);
    }
    return isBeating;
  }

  /**
   * What is drawn at a place of the canvas; null for nothing.
   *
   * @param {number} px from the left
   * @param {number} py from the top
   * @returns {Mark | null}
   */
  at(px, py) {
    const hierarchy = this._hierarchy;
    if (!hierarchy) return null;
    /** @type {Mark | null} */
    let found = null;
    let nearest = Infinity;
    for (const mark of this._marks) {
      const place = this.placeOf(mark.station >= 0 ? mark.station : mark.node);
      const distance = Math.hypot(place.x - px, place.y - py);
      const reach = mark.station >= 0 ? STATION_PX + 4 : radiusOf(mark.stations);
      if (distance > reach || distance - reach > nearest) continue;
      nearest = distance - reach;
      found = mark;
    }
    return found;
  }

  /** Where a node is on the canvas. @param {number} node */
  placeOf(node) {
    const { x, y, zoom } = this._view();
    const worldPx = WORLD_PX * 2 ** zoom;
    const hierarchy = /** @type {Hierarchy} */ (this._hierarchy);
    return {
      x: (hierarchy.x[node] - x) * worldPx + this._canvas.width / 2,
      y: (hierarchy.y[node] - y) * worldPx + this._canvas.height / 2,
    };
  }

  /** All that is drawn now. @returns {readonly Mark[]} */
  get marks() {
    return this._marks;
  }
}

/** The one station of a node that is shown. @param {Hierarchy} hierarchy @param {Int32Array} shown @param {number} node */
function only(hierarchy, shown, node) {
  while (node >= hierarchy.stations) {
    let next = -1;
    for (let one = hierarchy.child[node]; one >= 0 && next < 0; one = hierarchy.sibling[one]) {
      if (shown[one * SLOTS + 4] > 0) next = one;
    }
    if (next < 0) return -1;
    node = next;
  }
  return node;
}

/** @param {number} stations */
function radiusOf(stations) {
  return Math.min(CLUSTER_PX[1], CLUSTER_PX[0] + Math.log10(stations) * CLUSTER_GROWTH);
}

/** At most four letters. @param {number} n @param {string} point */
function short(n, point) {
  if (n < 1_000) return String(n);
  if (n < 9_950) return `${(n / 1_000).toFixed(1).replace(".", point)}k`;
  return `${Math.round(n / 1_000)}k`;
}
