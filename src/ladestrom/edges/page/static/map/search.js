/**
 * Finds places and stations by what is typed: names, towns, addresses, postal codes, municipalities, operators and
 * ids; ids of EVSEs, which only the server knows, too.
 *
 * What is not needed for the map is fetched when one begins to search.
 */

import { ApiError, get } from "../base/api.js";
import { language } from "../base/words.js";

/** @typedef {import("./board.js").Columns} Columns */
/** @typedef {{name: string, country: string, lon: number, lat: number, population: number}} Place */
/** @typedef {{revision: number, address: (string | null)[], postal_code: (string | null)[], municipality: (string | null)[], ids: string[]}} Texts */
/** @typedef {{population: number[], name: string[], country: string[], lon: number[], lat: number[]}} Gazetteer 1e-3 degrees */

export const FOUND_MAX = 12;
export const TYPED_MAX = 200;
const PLACES_MAX = 4;
const PLACE_CHARACTERS_MIN = 2;
const EVSE_CHARACTERS_MIN = 6;
const REGIONS = new Intl.DisplayNames(language, { type: "region", fallback: "code" });

/** The same for all stations. @type {Promise<{places: Place[], texts: string[]}> | null} */
let gazetteer = null;

export class Search {
  /** @param {Columns} columns */
  constructor(columns) {
    this._columns = columns;
    /** @type {string[] | null} */
    this._texts = null;
    /** @type {Texts | null} */
    this._more = null;
    /** @type {{places: Place[], texts: string[]}} */
    this._places = { places: [], texts: [] };
    /** @type {Promise<void> | null} */
    this._loading = null;
  }

  /** Fetches what the map did without. Resolves when there is more to find; never fails. */
  load() {
    this._loading ??= Promise.all([
      (gazetteer ??= placesOf()).catch(() => (gazetteer = null)),
      get("/api/v2/map/texts").catch(() => null),
    ]).then(([places, texts]) => {
      if (places) this._places = places;
      if (texts?.revision === this._columns.revision) this._more = texts;
      if (!places || !this._more) this._loading = null;
      this._texts = null;
    });
    return this._loading;
  }

  /**
   * Places whose name begins with what is typed, the largest first.
   *
   * @param {string} typed
   */
  places(typed) {
    const whole = folded(typed).trim();
    if (whole.length < PLACE_CHARACTERS_MIN) return [];
    const { places, texts } = this._places;
    /** @type {Place[]} */
    const found = [];
    // They are sorted by population. Those of this very name come before those that go on.
    for (const isWhole of [true, false]) {
      for (let i = 0; i < texts.length && found.length < PLACES_MAX; i++) {
        if (isWhole ? texts[i] === whole : texts[i] !== whole && texts[i].startsWith(whole)) found.push(places[i]);
      }
    }
    return found;
  }

  /**
   * Rows of stations that have every word typed, best first: those of this very id, those whose name begins with
   * it, then those with many EVSEs.
   *
   * @param {string} typed
   */
  rows(typed) {
    const words = folded(typed).split(/[\s,;]+/).filter(Boolean);
    if (words.length === 0) return [];
    const { uuid, name, evses } = this._columns;
    const texts = (this._texts ??= this._folded());
    const whole = words.join(" ");
    /** @type {[number, number][]} */
    const found = [];
    for (let row = 0; row < texts.length; row++) {
      const text = texts[row];
      if (!words.every((word) => text.includes(word))) continue;
      const isId = uuid[row].toLowerCase() === whole || this._more?.ids[row].toLowerCase().split(" ").includes(whole);
      const starts = text.startsWith(whole) || folded(name[row]).startsWith(whole);
      found.push([row, (isId ? 2_000_000 : 0) + (starts ? 1_000_000 : 0) + evses[row]]);
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
    const more = this._more;
    return uuid.map((id, row) => {
      const texts = [name[row], city[row], id, operators[operator[row]]];
      if (more) texts.push(more.address[row], more.postal_code[row], more.municipality[row], more.ids[row]);
      return folded(texts.filter(Boolean).join(" "));
    });
  }
}

/** The gazetteer, the largest places first. */
async function placesOf() {
  const response = await fetch(new URL("../ground/places.json", import.meta.url));
  if (!response.ok) throw new Error(`places.json: ${response.status}`);
  const { name, country, lon, lat, population } = /** @type {Gazetteer} */ (await response.json());
  const places = name.map((each, i) => ({ name: each, country: REGIONS.of(country[i]) ?? country[i], lon: lon[i] / 1e3, lat: lat[i] / 1e3, population: population[i] }));
  return { places, texts: name.map(folded) };
}

/** Without capitals and accents: who types "tromso" finds "Tromsø". @param {string} text */
function folded(text) {
  return text
    .toLowerCase()
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .replaceAll("ø", "o")
    .replaceAll("æ", "ae")
    .replaceAll("ß", "ss")
    .replace(/[-'’]/g, " ")
    .replace(/\bst(e?) /g, "saint$1 ");
}
