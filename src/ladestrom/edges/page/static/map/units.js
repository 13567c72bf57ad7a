/**
 * The EVSEs of each station by what they can do: a unit is those of one station that are of one class.
 *
 * What a filter passes are units. So "free now, CCS, 150 kW" is said of EVSEs that are all three at once.
 */

import { GROUPS } from "./groups.js";

/** @typedef {import("./board.js").Columns} Columns */

const DIGIT_0 = 48;

export class Units {
  /** @param {Columns} columns */
  constructor({ evses, evse_class: classes, named }) {
    const stations = evses.length;
    /** Where the units of each station begin; one more than there are stations. */
    this.starts = new Uint32Array(stations + 1);
    /** The unit of each EVSE. */
    this._unitOf = new Uint32Array(classes.length);
    /** @type {Map<string, number>} */
    this._named = new Map();
    /** @type {number[]} */
    const made = [];
    let evse = 0;
    let name = 0;
    for (let station = 0; station < stations; station++) {
      const start = made.length;
      this.starts[station] = start;
      for (let own = 0; own < evses[station]; own++, evse++) {
        let unit = made.indexOf(classes[evse], start);
        if (unit < 0) unit = made.push(classes[evse]) - 1;
        this._unitOf[evse] = unit;
        if (unit !== start) this._named.set(named[name++], unit);
      }
    }
    this.starts[stations] = made.length;
    /** The class of each unit. */
    this.classes = Uint32Array.from(made);
  }

  /**
   * The unit of an EVSE; the first one of its station where its name is not known.
   *
   * @param {number} station
   * @param {string} evse
   */
  of(station, evse) {
    const named = this._named.get(evse);
    if (named !== undefined && named >= this.starts[station] && named < this.starts[station + 1]) return named;
    return this.starts[station];
  }

  /** EVSEs of each unit and group. @param {string} groups `evse_groups` of `/api/v2/map` */
  counted(groups) {
    const counts = new Int32Array(this.classes.length * GROUPS.length);
    for (let evse = 0; evse < this._unitOf.length; evse++) {
      const group = groups.charCodeAt(evse) - DIGIT_0;
      if (group >= 0 && group < GROUPS.length) counts[this._unitOf[evse] * GROUPS.length + group] += 1;
    }
    return counts;
  }
}
