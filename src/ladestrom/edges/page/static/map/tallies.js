/**
 * How many EVSEs of each group every cluster holds, counting only EVSEs that pass the filter.
 *
 * A change moves up from its station to the top: a step for each level, whatever the number of stations.
 */

import { stateIndex } from "./groups.js";

const GROUPS = 4;
const SLOTS = 5;
/** Of each node: EVSEs of the four groups, then stations. */

/** @typedef {import("./hierarchy.js").Hierarchy} Hierarchy */

export class Tallies {
  /**
   * @param {Hierarchy} hierarchy
   * @param {Uint32Array} starts where the units of each station begin (`Units.starts`)
   */
  constructor(hierarchy, starts) {
    this._parent = hierarchy.parent;
    this._stations = hierarchy.stations;
    this._starts = starts;
    const units = starts[hierarchy.stations] ?? 0;
    /** EVSEs of each unit and group, whether it passes or not. */
    this.units = new Int32Array(units * GROUPS);
    /** Whether each unit passes what does not depend on a state. */
    this.passes = new Uint8Array(units).fill(1);
    /** Of each node and slot, what passes the filter. */
    this.shown = new Int32Array(hierarchy.parent.length * SLOTS);
    /** EVSEs of each station and group, of the units that pass. */
    this.held = new Int32Array(hierarchy.stations * GROUPS);
    /** Whether each of the five states passes. */
    this.states = new Uint8Array(5).fill(1);
    /** Totals of all that pass: the four groups, then stations. */
    this.totals = new Int32Array(SLOTS);
    /** Stations that pass but for their state, by state: what the legend says. */
    this.byState = new Int32Array(5);
    this._given = new Int32Array(hierarchy.stations * SLOTS);
    this._delta = new Int32Array(SLOTS);
  }

  /** The state of a station, by its EVSEs that pass, as an index of `STATES`; -1 where none is listed. @param {number} station */
  stateOf(station) {
    const { held } = this;
    const i = station * GROUPS;
    return stateIndex(held[i], held[i + 1], held[i + 2], held[i + 3]);
  }

  /** Whether a station is drawn. @param {number} station */
  isShown(station) {
    return this.shown[station * SLOTS + GROUPS] > 0;
  }

  /** Takes what every unit holds. @param {Int32Array} counts `Units.counted` */
  load(counts) {
    this.units.set(counts);
    this.recount();
  }

  /**
   * One EVSE of a station goes from one group to another; -1 is none.
   *
   * @param {number} station
   * @param {number} unit
   * @param {number} from
   * @param {number} to
   */
  move(station, unit, from, to) {
    if (from === to || unit >= this._starts[station + 1]) return;
    const gives = from >= 0 && this.units[unit * GROUPS + from] > 0;
    if (gives) this.units[unit * GROUPS + from] -= 1;
    if (to >= 0) this.units[unit * GROUPS + to] += 1;
    if (!this.passes[unit]) return;
    const before = this.stateOf(station);
    if (gives) this.held[station * GROUPS + from] -= 1;
    if (to >= 0) this.held[station * GROUPS + to] += 1;
    const after = this.stateOf(station);
    if (before >= 0) this.byState[before] -= 1;
    if (after >= 0) this.byState[after] += 1;
    this._settle(station);
  }

  /** Adds up anew, after `passes` or `states` were changed. */
  recount() {
    const { shown, _given: given, _parent: parent } = this;
    const { held, units, passes, _starts: starts } = this;
    shown.fill(0);
    given.fill(0);
    held.fill(0);
    this.totals.fill(0);
    this.byState.fill(0);
    for (let station = 0; station < this._stations; station++) {
      for (let unit = starts[station]; unit < starts[station + 1]; unit++) {
        if (!passes[unit]) continue;
        for (let group = 0; group < GROUPS; group++) held[station * GROUPS + group] += units[unit * GROUPS + group];
      }
      const state = this.stateOf(station);
      if (state < 0) continue;
      this.byState[state] += 1;
      if (!this.states[state]) continue;
      const i = station * SLOTS;
      for (let group = 0; group < GROUPS; group++) given[i + group] = held[station * GROUPS + group];
      given[i + GROUPS] = 1;
      for (let slot = 0; slot < SLOTS; slot++) {
        shown[i + slot] = given[i + slot];
        this.totals[slot] += given[i + slot];
      }
    }
    for (let node = 0; node < parent.length; node++) {
      if (parent[node] < 0) continue;
      const above = parent[node] * SLOTS;
      for (let slot = 0; slot < SLOTS; slot++) shown[above + slot] += shown[node * SLOTS + slot];
    }
  }

  /** Lets all above a station know what it gives now. @param {number} station */
  _settle(station) {
    const { shown, _given: given, _delta: delta, _parent: parent } = this;
    const state = this.stateOf(station);
    const counts = state >= 0 && this.states[state];
    const i = station * SLOTS;
    let differs = false;
    for (let slot = 0; slot < SLOTS; slot++) {
      const now = !counts ? 0 : slot === GROUPS ? 1 : this.held[station * GROUPS + slot];
      delta[slot] = now - given[i + slot];
      given[i + slot] = now;
      this.totals[slot] += delta[slot];
      if (delta[slot] !== 0) differs = true;
    }
    if (!differs) return;
    for (let node = station; node >= 0; node = parent[node]) {
      for (let slot = 0; slot < SLOTS; slot++) shown[node * SLOTS + slot] += delta[slot];
    }
  }
}
