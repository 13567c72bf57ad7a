/**
 * Finds stations by what is typed: name, place, uuid, operator; and by the id of an EVSE, which the server knows.
 */

import { ApiError, get } from "../base/api.js";

/** @typedef {import("./board.js").Columns} Columns */

export const FOUND_MAX = 12;
const EVSE_CHARACTERS_MIN = 6;

export class Search {
  /** @param {Columns} columns */
  constructor(columns) {
    this._columns = columns;
    /** @type {string[] | null} */
    this._texts = null;
  }

  /**
   * Rows of stations that have every word typed, best first: those whose name or uuid begins with it, then
   * those with many EVSEs.
   *
   * @param {string} typed
   */
  rows(typed) {
    const words = folded(typed).split(/\s+/).filter(Boolean);
    if (words.length === 0) return [];
    const { uuid, name, evses } = this._columns;
    const texts = (this._texts ??= this._folded());
    const whole = words.join(" ");
    /** @type {[number, number][]} */
    const found = [];
    for (let row = 0; row < texts.length; row++) {
      const text = texts[row];
      if (!words.every((word) => text.includes(word))) continue;
      const starts = text.startsWith(whole) || uuid[row].toLowerCase() === whole || folded(name[row]).startsWith(whole);
      found.push([row, (starts ? 1_000_000 : 0) + evses[row]]);
    }
    found.sort((one, other) => other[1] - one[1] || one[0] - other[0]);
    return found.slice(0, FOUND_MAX).map(([row]) => row);
  }

  /**
   * The uuid of the station whose EVSE has this id, in any of its written forms; null where there is none.
   *
   * @param {string} typed
   * @returns {Promise<string | null>}
   */
  async byEvse(typed) {
    const id = typed.trim();
    if (id.length < EVSE_CHARACTERS_MIN || /\s/.test(id) || !/\d/.test(id)) return null;
    try {
      return (await get(`/api/v2/evses/${encodeURIComponent(id)}`)).station;
    } catch (error) {
      if (error instanceof ApiError) return null;
      throw error;
    }
  }

  _folded() {
    const { uuid, name, city, operator, operators } = this._columns;
    return uuid.map((id, row) => folded(`${name[row]} ${city[row] ?? ""} ${id} ${operators[operator[row]] ?? ""}`));
  }
}

/** Without capitals and accents: who types "tromso" finds "Tromsø". @param {string} text */
function folded(text) {
  return text
    .toLowerCase()
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .replaceAll("ø", "o")
    .replaceAll("æ", "ae")
    .replaceAll("ß", "ss");
}
