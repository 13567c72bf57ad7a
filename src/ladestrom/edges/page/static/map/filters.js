/**
 * Which stations are shown: the choice, in the address and as columns pass it.
 */

import { STATES } from "./groups.js";
import { isOpen } from "./hours.js";

/** @typedef {import("./board.js").Columns} Columns */
/** @typedef {import("./tallies.js").Tallies} Tallies */
/** @typedef {import("./units.js").Units} Units */
/** @typedef {import("./board.js").EvseClass} EvseClass */
/** @typedef {import("./groups.js").StationState} StationState */
/**
 * @typedef {object} Choice what one and the same EVSE has to be
 * @property {string} operator empty for all
 * @property {string} country its three letters; empty for all
 * @property {number} kw at least
 * @property {string[]} plugs standards of which it has one, with that power; empty for all
 * @property {boolean} open whether its station has to be open now
 * @property {boolean} card whether one has to be able to pay by card
 * @property {string} vehicle what is charged; empty for all
 * @property {StationState[]} states those that are shown; empty for all
 */

export const POWERS_KW = [11, 22, 50, 150, 300];

/** @returns {Choice} */
export const everything = () => ({ operator: "", country: "", kw: 0, plugs: [], open: false, card: false, vehicle: "", states: [] });

/** @param {URLSearchParams} query @returns {Choice} */
export function fromQuery(query) {
  const kw = Number(query.get("kw") ?? 0);
  const list = (/** @type {string} */ name) => (query.get(name) ?? "").split(",").filter(Boolean);
  return {
    operator: query.get("operator") ?? "",
    country: query.get("country") ?? "",
    kw: Number.isFinite(kw) && kw > 0 ? kw : 0,
    plugs: list("plug"),
    open: query.get("open") === "1",
    card: query.get("card") === "1",
    vehicle: query.get("vehicle") ?? "",
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
    ["open", choice.open ? "1" : ""],
    ["card", choice.card ? "1" : ""],
    ["vehicle", choice.vehicle],
    ["state", choice.states.join(",")],
  ];
  for (const [name, value] of pairs) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
}

/** How many kinds of the choice narrow. @param {Choice} choice */
export function narrows(choice) {
  const { operator, country, kw, plugs, open, card, vehicle, states } = choice;
  return [operator, country, kw, plugs.length, open, card, vehicle, states.length].filter(Boolean).length;
}

/**
 * Sets what passes. What a register does not say does not pass; only of vehicles, cars are meant then. As the
 * server judges it (`core/features.py`).
 *
 * @param {Choice} choice
 * @param {Tallies} tallies
 * @param {Columns} columns
 * @param {Units} units
 */
export function pass(choice, tallies, columns, units) {
  const operator = choice.operator ? columns.operators.indexOf(choice.operator) : null;
  const country = choice.country ? columns.countries.indexOf(choice.country) : null;
  const plugs = new Set(choice.plugs.map((plug) => columns.standards.indexOf(plug)));
  const classes = columns.classes.map((each) => Number(meets(each, choice, plugs)));
  const now = Date.now();
  const open = choice.open ? columns.openings.map((each) => isOpen(judged(each), each.time_zone, now) === true) : null;
  for (let row = 0; row < columns.uuid.length; row++) {
    const isIn =
      (operator === null || (operator >= 0 && columns.operator[row] === operator)) &&
      (country === null || columns.country[row] === country) &&
      (open === null || open[columns.opening[row]] === true);
    for (let unit = units.starts[row]; unit < units.starts[row + 1]; unit++) {
      tallies.passes[unit] = isIn ? classes[units.classes[unit]] : 0;
    }
  }
  STATES.forEach((state, index) => {
    tallies.states[index] = Number(choice.states.length === 0 || choice.states.includes(state));
  });
}

/** @param {EvseClass} own @param {Choice} choice @param {Set<number>} plugs */
function meets(own, { kw, card, vehicle, plugs: wanted }, plugs) {
  if (own.kw < kw) return false;
  if (wanted.length && !own.plugs.some(([standard, each]) => plugs.has(standard) && each >= kw)) return false;
  if (card && !own.payment?.some((way) => way === "card" || way === "contactless")) return false;
  return !vehicle || (own.vehicles?.length ? own.vehicles : ["car"]).includes(vehicle);
}

/** What `isOpen` judges: that there is a text, it has to know. @param {Columns["openings"][number]} opening */
const judged = ({ more, ...opening }) => (more ? { ...opening, text: "" } : opening);
