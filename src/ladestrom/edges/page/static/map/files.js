/** The stations in view as files: what `/api/v2/stations.geojson` and its kin give for the view and the filters in force. */

import { send } from "../base/api.js";
import { h, put } from "../base/dom.js";
import { failure } from "../base/shell.js";
import { t } from "../base/words.js";
import { FREE } from "./choices.js";
import { latitudeOf, longitudeOf } from "./hierarchy.js";
import { NO_PLUG } from "./kinds.js";

/** @typedef {import("./filters.js").Choice} Choice */
/** @typedef {import("./looking.js").Box} Box */
/** @typedef {import("../base/words.js").Word} Word */

/** Path, what it is called, and how a saved one is. @type {readonly (readonly [string, Word, string])[]} */
const FORMS = [
  ["/api/v2/stations.geojson", "map.files.geojson", "stations.geojson"],
  ["/api/v2/stations.csv", "map.files.stations", "stations.csv"],
  ["/api/v2/evses.csv", "map.files.evses", "charging-points.csv"],
];
const KEPT_MS = 10_000;
/** So long a browser may take until it saves what it was given. */
const PLACES = 1e5;
/** Stations are at whole 1e-5 degrees. */

/**
 * The filters of lists that say a choice, and what of the choice they cannot say: of stations by state there is
 * only "free now", an operator's name may have no comma, and what is not known is no connector.
 *
 * @param {Choice} choice
 * @param {Box | null} box null for the whole world
 */
export function listFilters(choice, box) {
  /** @type {Word[]} */
  const unsaid = [];
  const isFree = choice.states.join() === FREE.join();
  if (choice.states.length && !isFree) unsaid.push("map.status");
  const hasOperator = !choice.operator.includes(",");
  if (!hasOperator) unsaid.push("map.operator");
  const hasPlugs = !choice.plugs.includes(NO_PLUG);
  if (!hasPlugs) unsaid.push("map.plugs");
  /** @type {[string, string][]} */
  const pairs = [
    ["bbox", box ? degrees(box) : ""],
    ["operator", hasOperator ? choice.operator : ""],
    ["country", choice.country],
    ["min_kw", choice.kw ? String(choice.kw) : ""],
    ["connector", hasPlugs ? choice.plugs.join(",") : ""],
    ["open_now", choice.open ? "1" : ""],
    ["payment", choice.card ? "card,contactless" : ""],
    ["vehicle", choice.vehicle],
    ["status", isFree ? "AVAILABLE" : ""],
  ];
  return { query: new URLSearchParams(pairs.filter(([, value]) => value)), unsaid };
}

/** West, south, east, north of a view, as far as it is on the map once. @param {Box} box */
function degrees({ left, top, right, bottom }) {
  const within = (/** @type {number} */ share) => Math.min(1, Math.max(0, share));
  const [west, east] = [left, right].map((x) => longitudeOf(within(x)));
  const [north, south] = [top, bottom].map((y) => latitudeOf(within(y)));
  return [Math.floor(west * PLACES), Math.floor(south * PLACES), Math.ceil(east * PLACES), Math.ceil(north * PLACES)].map((each) => each / PLACES).join();
}

export class Files {
  /**
   * @param {() => {choice: Choice, box: Box | null}} view what is looked at
   * @param {(text: string) => void} announce tells screen readers
   */
  constructor(view, announce) {
    this._view = view;
    this._announce = announce;
    this._said = h("div");
    this._buttons = h("div", { class: "row" });
    this.element = h("details", { class: "files" }, h("summary", {}, t("map.files")), this._buttons, this._said);
    this.refresh();
  }

  /** Says anew what the files cannot be narrowed by. */
  refresh() {
    const unsaid = listFilters(this._view().choice, null).unsaid.map((word) => t(word)).join(", ");
    const buttons = FORMS.map(([path, word, name]) => {
      const text = unsaid ? t("map.files.unsaid", { file: t(word), filters: unsaid }) : t(word);
      return h("button", { type: "button", onclick: (event) => this._save(path, name, event.currentTarget) }, text);
    });
    put(this._buttons, ...buttons);
  }

  /** @param {string} path @param {string} name @param {HTMLButtonElement} button */
  async _save(path, name, button) {
    const { choice, box } = this._view();
    const { query } = listFilters(choice, box);
    button.setAttribute("aria-busy", "true");
    put(this._said);
    try {
      const response = await send("GET", query.size ? `${path}?${query}` : path, undefined, { headers: { accept: "*/*" } });
      const address = URL.createObjectURL(await response.blob());
      const file = `${new Date().toISOString().slice(0, 16).replace(":", "")}Z-${name}`;
      h("a", { href: address, download: file }).click();
      setTimeout(() => URL.revokeObjectURL(address), KEPT_MS);
      this._announce(t("map.files.saved", { file }));
    } catch (error) {
      put(this._said, failure(error, () => this._save(path, name, button)));
    } finally {
      button.removeAttribute("aria-busy");
    }
  }
}
