/**
 * Which stations are shown: the choice, in the address and as columns pass it.
 */

import { STATES } from "./groups.js";

/** @typedef {import("./board.js").Columns} Columns */
/** @typedef {import("./tallies.js").Tallies} Tallies */
/** @typedef {import("./groups.js").StationState} StationState */
/**
 * @typedef {object} Choice
 * @property {string} operator empty for all
 * @property {string} country its three letters; empty for all
 * @property {number} kw of the strongest connector at least
 * @property {string[]} plugs standards of which a station has one; empty for all
 * @property {StationState[]} states those that are shown; empty for all
 */

export const POWERS_KW = [11, 22, 50, 150, 300];

/** @returns {Choice} */
export const everything = () => ({ operator: "", country: "", kw: 0, plugs: [], states: [] });

/** @param {URLSearchParams} query @returns {Choice} */
export function fromQuery(query) {
  const kw = Number(query.get("kw") ?? 0);
  const list = (/** @type {string} */ name) => (query.get(name) ?? "").split(",").filter(Boolean);
  return {
    operator: query.get("operator") ?? "",
    country: query.get("country") ?? "",
    kw: Number.isFinite(kw) && kw > 0 ? kw : 0,
    plugs: list("plug"),
    states: STATES.filter((state) => list("state").includes(state)),
  };
}

/** Writes the choice into a query. @param {Choice} choice @param {URLSearchParams} query */
export function intoQuery(choice, query) {
  /** @type {[string, string][]} */
  const pairs = [
    ["operator", choice.operator],
    ["country", choice.country],
    ["kw", choice.kw ? String(choice.kw) : ""],
    ["plug", choice.plugs.join(",")],
    ["state", choice.states.join(",")],
  ];
  for (const [name, value] of pairs) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
}

/** How many kinds of the choice narrow. @param {Choice} choice */
export function narrows(choice) {
  return [choice.operator, choice.country, choice.kw, choice.plugs.length, choice.states.length].filter(Boolean).length;
}

/**
 * Sets what passes.
 *
 * @param {Choice} choice
 * @param {Tallies} tallies
 * @param {Columns} columns
 */
export function pass(choice, tallies, columns) {
  const operator = choice.operator ? columns.operators.indexOf(choice.operator) : null;
  const country = choice.country ? columns.countries.indexOf(choice.country) : null;
  let plugs = 0;
  for (const plug of choice.plugs) {
    const bit = columns.standards.indexOf(plug);
    if (bit >= 0) plugs |= 1 << bit;
  }
  const wantsPlugs = choice.plugs.length > 0;
  for (let row = 0; row < columns.uuid.length; row++) {
    tallies.passes[row] = Number(
      (operator === null || (operator >= 0 && columns.operator[row] === operator)) &&
        (country === null || columns.country[row] === country) &&
        columns.power_kw[row] >= choice.kw &&
        (!wantsPlugs || (columns.standard[row] & plugs) !== 0),
    );
  }
  STATES.forEach((state, index) => {
    tallies.states[index] = Number(choice.states.length === 0 || choice.states.includes(state));
  });
}
