/** One station: what it has, how each of its EVSEs is now, and how its day was. Live while it is open. */

import { get } from "../base/api.js";
import { h, put } from "../base/dom.js";
import { failure } from "../base/shell.js";
import { ago, clock, moment, t } from "../base/words.js";
import { badges, rows, tellOpen, termRows } from "./facts.js";
import { STATES, groupIndex, groupOf, stateIndex } from "./groups.js";
import { kindFree, kindNames } from "./kinds.js";
import { RANGES, Strip, statusName } from "./strip.js";

/** @typedef {import("../base/stream.js").Change} Change */
/** @typedef {import("./strip.js").Segment} Segment */
/**
 * @typedef {object} Evse
 * @property {string} evse
 * @property {string} status
 * @property {0 | 1} error
 * @property {string | null} changed_at
 * @property {string | null} observed_at
 * @property {string} source
 * @property {{standard: string, max_kw?: number}[]} connectors
 * @property {string} [label]
 * @property {number} [max_kw]
 */
/** @typedef {import("./facts.js").Facts} Facts */
/** @typedef {{told: Evse, kinds: Map<string, number>, chip: HTMLElement, since: HTMLElement}} Shown */

const TICK_MS = 10_000;
const DAY_MS = 86_400_000;
const OLD_MS = 12 * 3_600_000;
/** From this age on a status is likely to be another one by now: few cars charge for so long. */

export class Panel {
  /**
   * @param {{closed: () => void, look: (uuid: string) => void, grown: (uuid: string) => void}} asks `grown` is told
   *   when a station is shown, and takes its room
   */
  constructor(asks) {
    this._asks = asks;
    this.uuid = "";
    this._run = 0;
    this._timer = 0;
    /** @type {Map<string, Shown>} */
    this._shown = new Map();
    /** @type {Strip | null} */
    this._strip = null;
    this._overview = h("div", { class: "overview" });
    this._open = h("strong", {});
    this._taller = h("button", { type: "button", class: "taller", "aria-expanded": "false", "aria-controls": "station-body", onclick: () => this._grow() }, t("map.taller"));
    /** @type {Facts} */
    this._facts = {};
    /** @type {HTMLElement | null} */
    this._opener = null;
    this._body = h("div", { class: "body", id: "station-body" });
    this._title = h("h2", { tabindex: -1, id: "station-name" });
    this.element = h(
      "section",
      {
        class: "station",
        "aria-labelledby": "station-name",
        hidden: true,
        onkeydown: (event) => {
          if (event.key !== "Escape") return;
          event.stopPropagation();
          this._asks.closed();
        },
      },
      h("header", {}, this._title, this._taller, h("button", { type: "button", class: "close", "aria-label": t("shell.close"), onclick: () => this._asks.closed() }, "×")),
      this._body,
    );
  }

  /** On a phone: shows all of it, or only as much as leaves the map to be seen. @param {boolean} [whole] */
  _grow(whole = !this.element.classList.contains("whole")) {
    this.element.classList.toggle("whole", whole);
    this._taller.setAttribute("aria-expanded", String(whole));
    put(this._taller, t(whole ? "map.shorter" : "map.taller"));
  }

  /**
   * Opens the panel of a station; `opener` gets the focus back when it closes.
   *
   * @param {string} uuid
   * @param {string} name
   * @param {HTMLElement | null} opener
   */
  async open(uuid, name, opener) {
    if (uuid === this.uuid) return this._title.focus();
    const run = ++this._run;
    if (!this.uuid) this._opener = opener;
    this.uuid = uuid;
    this._shown.clear();
    this._strip = null;
    this._grow(false);
    this.element.hidden = false;
    put(this._title, name || uuid);
    put(this._body, h("p", { class: "quiet", "aria-busy": "true" }, t("shell.loading")));
    this._title.focus();
    clearInterval(this._timer);
    this._timer = setInterval(() => this._tick(), TICK_MS);
    const path = `/api/v2/stations/${encodeURIComponent(uuid)}`;
    try {
      const [station, history] = await Promise.all([get(path), get(`${path}/history?hours=${RANGES[0].hours}`).catch(() => null)]);
      if (run === this._run) this._show(station, history);
    } catch (error) {
      if (run !== this._run) return;
      const again = () => {
        this.uuid = "";
        void this.open(uuid, name, this._opener);
      };
      put(this._body, failure(error, again));
    }
  }

  close() {
    if (!this.uuid) return;
    const hadFocus = this.element.contains(document.activeElement);
    this._run += 1;
    this.uuid = "";
    this._shown.clear();
    clearInterval(this._timer);
    this.element.hidden = true;
    put(this._body);
    const opener = this._opener?.isConnected && this._opener.getClientRects().length ? this._opener : null;
    if (hadFocus) (opener ?? /** @type {HTMLElement | null} */ (document.querySelector("#find")))?.focus();
    this._opener = null;
  }

  /** Takes what changed. @param {Change} change */
  take(change) {
    if (change.station !== this.uuid) return;
    const shown = this._shown.get(bare(change.evse));
    if (!shown) return;
    const { status, error, changed_at, observed_at, source } = change;
    shown.told = { ...shown.told, status, error, changed_at, observed_at, source };
    this._strip?.add(bare(change.evse), { at: changed_at ?? new Date().toISOString(), status, error });
    this._tell(shown);
    this._sum();
  }

  /** Asks anew: the numbers were taken anew too. */
  refresh() {
    const { uuid } = this;
    if (!uuid || this._shown.size === 0) return;
    const run = this._run;
    void get(`/api/v2/stations/${encodeURIComponent(uuid)}`).then(
      (station) => {
        if (run !== this._run) return;
        for (const evse of station.evses) {
          const shown = this._shown.get(bare(evse.evse));
          if (!shown) continue;
          const { status, error, changed_at: at } = evse;
          this._strip?.add(bare(evse.evse), { at: at ?? new Date().toISOString(), status, error });
          shown.told = evse;
          this._tell(shown);
        }
        this._sum();
      },
      () => undefined,
    );
  }

  /** @param {any} station @param {{complete_from: string, evses: {evse: string, segments: Segment[]}[]} | null} history */
  _show(station, history) {
    put(this._title, station.name || station.uuid);
    this._facts = station;
    tellOpen(this._open, station);
    this._strip = history && new Strip(new Map(history.evses.map(({ evse, segments }) => [bare(evse), segments])), history.complete_from);
    const place = placed(station);
    const evses = h("ul", { class: "evses" }, station.evses.map((/** @type {Evse} */ evse, /** @type {number} */ index) => this._evse(evse, index)));
    put(
      this._body,
      this._overview,
      h("p", { class: "badges" }, this._open, badges(station)),
      this._ways(station),
      h(
        "dl",
        { class: "facts" },
        place && [h("dt", {}, t("map.address")), h("dd", {}, place)],
        rows(station),
        station.operator && [h("dt", {}, t("map.operator")), h("dd", {}, station.operator)],
      ),
      this._strip?.element,
      station.evses.length > 0 ? [h("h3", {}, t("map.points")), evses] : h("p", { class: "quiet" }, t("map.noevses")),
      details(station),
    );
    this._sum();
    this._asks.grown(station.uuid);
  }

  /** What one does with a station: go there, show it to others. @param {any} station */
  _ways({ uuid, name, position: { latitude, longitude } }) {
    const copied = h("span", { class: "quiet", role: "status" });
    const share = async () => {
      try {
        if (navigator.share && matchMedia("(pointer: coarse)").matches) return await navigator.share({ title: name || uuid, url: location.href });
        await navigator.clipboard.writeText(location.href);
        put(copied, t("map.shared"));
      } catch (error) {
        if (/** @type {Error} */ (error).name !== "AbortError") put(copied, location.href);
      }
    };
    const at = `${latitude},${longitude}`;
    const link = (/** @type {string} */ href, /** @type {string} */ text) => h("li", {}, h("a", { href, rel: "noopener noreferrer" }, text));
    return h(
      "div",
      { class: "row" },
      h(
        "details",
        { class: "ways" },
        h("summary", { class: "button" }, t("map.go")),
        h(
          "ul",
          {},
          link(`geo:${at}?q=${at}(${encodeURIComponent(name || uuid)})`, t("map.go.app")),
          link(`https://www.openstreetmap.org/directions?to=${encodeURIComponent(at)}`, "OpenStreetMap"),
          link(`https://www.google.com/maps/dir/?api=1&destination=${encodeURIComponent(at)}`, "Google Maps"),
          link(`https://maps.apple.com/?daddr=${encodeURIComponent(at)}`, "Apple Maps"),
        ),
      ),
      h("button", { type: "button", onclick: share }, t("map.share")),
      h("button", { type: "button", onclick: () => this._asks.look(uuid) }, t("map.look")),
      copied,
    );
  }

  /** @param {Evse & import("./facts.js").Terms} evse @param {number} index */
  _evse(evse, index) {
    /** @type {Shown} */
    const shown = { told: evse, kinds: kindsOf(evse), chip: h("span", { class: "state" }), since: h("span", { class: "quiet" }) };
    this._shown.set(bare(evse.evse), shown);
    this._tell(shown);
    const own = termRows(evse);
    return h(
      "li",
      { class: "evse" },
      h("p", { class: "now" }, h("strong", {}, evse.label || t("map.point", { n: index + 1 })), shown.kinds.size > 0 && h("span", {}, [...shown.kinds.keys()].join(", ")), shown.chip, shown.since),
      own.length > 0 && h("dl", { class: "facts" }, own),
    );
  }

  /** @param {Shown} shown */
  _tell({ told, chip, since }) {
    chip.dataset["group"] = groupOf(told) ?? "unknown";
    put(chip, statusName(told));
    const heard = told.observed_at ? t("map.confirmed", { ago: ago(told.observed_at), source: told.source || "–" }) : t("map.unheard");
    put(since, [told.changed_at ? t("map.since", { at: shortly(told.changed_at), ago: ago(told.changed_at) }) : "", heard].filter(Boolean).join(" · "));
    since.title = moment(told.changed_at);
  }

  /** Of each kind of EVSE: how many are free, and when that was last confirmed. */
  _sum() {
    /** @type {Map<string, {groups: number[], kw: number, heard: (string | null)[]}>} */
    const kinds = new Map();
    for (const { told, kinds: own } of this._shown.values()) {
      const group = groupIndex(told);
      if (group < 0) continue;
      for (const [kind, kw] of own) {
        const one = kinds.get(kind) ?? { groups: [0, 0, 0, 0], kw, heard: [] };
        one.groups[group] += 1;
        if (group < 3) one.heard.push(told.observed_at);
        kinds.set(kind, one);
      }
    }
    const lines = [...kinds].toSorted((one, other) => other[1].kw - one[1].kw);
    put(
      this._overview,
      lines.map(([kind, { groups, heard }]) => {
        const state = STATES[stateIndex(groups[0], groups[1], groups[2], groups[3])] ?? "unknown";
        const n = groups.reduce((sum, each) => sum + each, 0);
        // What holds for all of them was confirmed with the last one of them.
        const oldest = heard.filter(Boolean).toSorted()[0] ?? null;
        const isOld = oldest !== null && Date.now() - Date.parse(oldest) > OLD_MS;
        const told = oldest === null ? t("map.unheard") : t(isOld ? "map.kind.old" : "map.kind.confirmed", { ago: ago(oldest) });
        return h(
          "p",
          {},
          h("strong", { class: "state", "data-group": state }, kindFree(kind, groups[0], n)),
          " ",
          h("span", { class: isOld ? "old" : "quiet" }, told),
        );
      }),
    );
  }

  _tick() {
    tellOpen(this._open, this._facts);
    for (const shown of this._shown.values()) this._tell(shown);
    this._sum();
    this._strip?.draw();
  }
}

/** The power of an EVSE. @param {Evse} evse */
const powerOf = ({ connectors, max_kw: kw }) => kw ?? Math.max(0, ...connectors.map((each) => each.max_kw ?? 0));

/** What an EVSE is called by what it can do. @param {Evse} evse */
function kindsOf(evse) {
  const { connectors } = evse;
  const only = connectors.length === 1 ? powerOf(evse) : 0;
  return kindNames(connectors.map(({ standard, max_kw: kw }) => [standard, kw ?? only]), powerOf(evse));
}

/** The address; what it says already is not said again. @param {any} station */
function placed({ address, postal_code: code, city, municipality }) {
  const said = address ?? "";
  const rest = [code, city ?? municipality].filter((part) => part && !said.toLowerCase().includes(part.toLowerCase())).join(" ");
  return [said, rest].filter(Boolean).join(", ");
}

/** What is for developers: ids, and the record as it is served. @param {any} station */
function details({ uuid, register, native_id: native, ids = [], evses }) {
  const row = (/** @type {string} */ name, /** @type {string[]} */ values) =>
    values.length > 0 && [h("dt", {}, name), h("dd", {}, values.map((value) => h("code", { class: "line" }, value)))];
  return h(
    "details",
    { class: "more" },
    h("summary", {}, t("map.details")),
    h(
      "dl",
      { class: "facts" },
      row(t("map.uuid"), [uuid]),
      row(t("map.ids"), [native && native !== uuid && `${register} ${native}`, ...ids.map((/** @type {{register: string, id: string}} */ each) => `${each.register} ${each.id}`)].filter(Boolean)),
      row(t("map.points"), evses.map((/** @type {Evse} */ { evse, label }) => (label ? `${evse} (${label})` : evse))),
    ),
    h("a", { class: "button", href: `/api/v2/stations/${encodeURIComponent(uuid)}` }, t("map.rest")),
  );
}

/** The time alone where it is of the last day. @param {string} at */
function shortly(at) {
  return Date.now() - Date.parse(at) < DAY_MS ? clock(at) : moment(at);
}

/** An id as all of its written forms have it. @param {string} evse */
function bare(evse) {
  return evse.replace(/[*-]/g, "").toUpperCase();
}
