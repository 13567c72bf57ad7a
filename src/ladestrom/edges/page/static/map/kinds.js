/** What EVSEs are called by what they can do: "CCS 150 kW". One that has several plugs is of several kinds. */

import { number, t } from "../base/words.js";
import { plugName } from "./names.js";

/** @typedef {import("./board.js").Columns} Columns */
/** @typedef {import("./filters.js").Choice} Choice */
/** @typedef {import("./tallies.js").Tallies} Tallies */
/** @typedef {import("./units.js").Units} Units */
/** @typedef {{kw: number, free: number, n: number}} Kind EVSEs of one kind, and how many of them are free */

const KINDS_MAX = 2;
export const NO_PLUG = "UNKNOWN";
/** The standard of connectors whose standard is not known. */

/**
 * Names of the kinds that an EVSE is of, with their power.
 *
 * @param {readonly (readonly [string, number])[]} plugs standard and kW, 0 where that is not known
 * @param {number} kw of the EVSE
 * @returns {Map<string, number>}
 */
export function kindNames(plugs, kw) {
  const known = plugs.filter(([standard]) => standard !== NO_PLUG);
  /** @type {(readonly [string, number])[]} */
  const told = known.length ? known.map(([standard, own]) => [plugName(standard), own]) : [["", kw]];
  return new Map(told.map(([name, own]) => [[name, own > 0 && t("map.kw", { kw: number(own) })].filter(Boolean).join(" "), own]));
}

/** How many of a kind are free. @param {string} kind @param {number} free @param {number} n */
export const kindFree = (kind, free, n) => (kind ? t("map.kind.free", { free, n, kind }) : t("map.free", { free, n }));

/**
 * EVSEs of a station that pass the filter, by kind, the strongest first; only kinds that the filter asks for.
 *
 * @param {Columns} columns
 * @param {Units} units
 * @param {Tallies} tallies
 * @param {number} row
 * @param {Choice} choice
 */
export function kindsOf(columns, units, tallies, row, choice) {
  /** @type {Map<string, Kind>} */
  const found = new Map();
  for (let unit = units.starts[row]; unit < units.starts[row + 1]; unit++) {
    if (!tallies.passes[unit]) continue;
    const own = columns.classes[units.classes[unit]];
    const counts = tallies.units.subarray(unit * 4, unit * 4 + 4);
    const n = counts.reduce((sum, each) => sum + each, 0);
    if (n === 0) continue;
    const plugs = own.plugs.map(([standard, kw]) => /** @type {const} */ ([columns.standards[standard], kw]));
    const wanted = plugs.filter(([standard, kw]) => kw >= choice.kw && (choice.plugs.length === 0 || choice.plugs.includes(standard)));
    for (const [name, kw] of kindNames(wanted, own.kw)) {
      const kind = found.get(name) ?? { kw, free: 0, n: 0 };
      kind.free += counts[0];
      kind.n += n;
      found.set(name, kind);
    }
  }
  return [...found].toSorted((one, other) => other[1].kw - one[1].kw || other[1].n - one[1].n);
}

/** Kinds in a line: "3 of 4 CCS 150 kW free". @param {[string, Kind][]} kinds */
export function kindsText(kinds) {
  const shown = kinds.slice(0, KINDS_MAX).map(([name, { free, n }]) => kindFree(name, free, n));
  return [...shown, kinds.length > KINDS_MAX && t("map.kind.more", { n: kinds.length - KINDS_MAX })].filter(Boolean).join(" · ");
}
