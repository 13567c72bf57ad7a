/** One station: what it has, how each of its EVSEs is now, and how its day was. Live while it is open. */

import { get } from "../base/api.js";
import { h, put } from "../base/dom.js";
import { failure } from "../base/shell.js";
import { ago, clock, moment, number, t } from "../base/words.js";
import { rows, tellOpen, termRows } from "./facts.js";
import { STATES, groupIndex, groupOf, stateIndex } from "./groups.js";
import { plugName } from "./names.js";
import { Strip, statusName } from "./strip.js";

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
/** @typedef {{told: Evse, chip: HTMLElement, since: HTMLElement, confirmed: HTMLElement, strip: Strip | null}} Shown */

const TICK_MS = 10_000;
const DAY_MS = 86_400_000;

export class Panel {
  /**
   * @param {{closed: () => void, look: (uuid: string) => void}} asks
   */
  constructor(asks) {
    this._asks = asks;
    this.uuid = "";
    this._run = 0;
    this._timer = 0;
    /** @type {Map<string, Shown>} */
    this._shown = new Map();
    this._overview = h("p", { class: "overview" });
    this._open = h("strong", { class: "line" });
    /** @type {Facts} */
    this._facts = {};
    /** @type {HTMLElement | null} */
    this._opener = null;
    this._body = h("div", { class: "body" });
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
      h("header", {}, this._title, h("button", { type: "button", class: "close", "aria-label": t("shell.close"), onclick: () => this._asks.closed() }, "×")),
      this._body,
    );
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
    this.element.hidden = false;
    put(this._title, name || uuid);
    put(this._body, h("p", { class: "quiet", "aria-busy": "true" }, t("shell.loading")));
    this._title.focus();
    clearInterval(this._timer);
    this._timer = setInterval(() => this._tick(), TICK_MS);
    const path = `/api/v2/stations/${encodeURIComponent(uuid)}`;
    try {
      const [station, history] = await Promise.all([get(path), get(`${path}/history?hours=24`).catch(() => null)]);
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
    shown.strip?.add({ at: changed_at ?? new Date().toISOString(), status, error });
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
          shown.strip?.add({ at: at ?? new Date().toISOString(), status, error });
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
    const days = new Map(history?.evses.map(({ evse, segments }) => [bare(evse), segments]));
    this._facts = station;
    tellOpen(this._open, station);
    const place = [station.address, station.city].filter(Boolean).join(", ");
    const copied = h("span", { class: "quiet", role: "status" });
    const share = async () => {
      try {
        await navigator.clipboard.writeText(location.href);
        put(copied, t("map.shared"));
      } catch {
        put(copied, location.href);
      }
    };
    put(
      this._body,
      this._overview,
      h(
        "dl",
        { class: "facts" },
        place && [h("dt", {}, t("map.address")), h("dd", {}, place)],
        station.operator && [h("dt", {}, t("map.operator")), h("dd", {}, station.operator)],
        rows(station, this._open),
        [h("dt", {}, t("map.uuid")), h("dd", {}, h("code", {}, station.uuid))],
      ),
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", onclick: () => this._asks.look(station.uuid) }, t("map.look")),
        h("button", { type: "button", onclick: share }, t("map.share")),
        h("a", { class: "button", href: `/api/v2/stations/${encodeURIComponent(station.uuid)}` }, t("map.rest")),
        copied,
      ),
      h(
        "ul",
        { class: "evses" },
        station.evses.map((/** @type {Evse} */ evse) => this._evse(evse, days.get(bare(evse.evse)), history?.complete_from ?? "")),
      ),
    );
    if (station.evses.length === 0) this._body.append(h("p", { class: "quiet" }, t("map.noevses")));
    this._sum();
  }

  /** @param {Evse & import("./facts.js").Terms} evse @param {Segment[] | undefined} segments @param {string} completeFrom */
  _evse(evse, segments, completeFrom) {
    /** @type {Shown} */
    const shown = {
      told: evse,
      chip: h("span", { class: "state" }),
      since: h("span"),
      confirmed: h("p", { class: "quiet" }),
      strip: segments ? new Strip([...segments], completeFrom) : null,
    };
    this._shown.set(bare(evse.evse), shown);
    this._tell(shown);
    const own = termRows(evse);
    const plugs = evse.connectors.map(({ standard, max_kw: kw = evse.max_kw }) => (kw ? `${plugName(standard)} ${number(kw)} kW` : plugName(standard)));
    return h(
      "li",
      { class: "evse" },
      h("h3", {}, evse.evse, evse.label && h("span", { class: "quiet" }, ` ${evse.label}`)),
      h("p", { class: "now" }, shown.chip, " ", shown.since),
      plugs.length > 0 && h("p", {}, plugs.join(" · ")),
      own.length > 0 && h("dl", { class: "facts" }, own),
      shown.confirmed,
      shown.strip?.element,
    );
  }

  /** @param {Shown} shown */
  _tell({ told, chip, since, confirmed }) {
    chip.dataset["group"] = groupOf(told) ?? "unknown";
    put(chip, statusName(told));
    put(since, told.changed_at ? t("map.since", { at: shortly(told.changed_at), ago: ago(told.changed_at) }) : "");
    since.title = moment(told.changed_at);
    put(confirmed, told.observed_at ? t("map.confirmed", { ago: ago(told.observed_at), source: told.source || "–" }) : t("map.unheard"));
    confirmed.title = moment(told.observed_at);
  }

  _sum() {
    const groups = [0, 0, 0, 0];
    for (const { told } of this._shown.values()) {
      const group = groupIndex(told);
      if (group >= 0) groups[group] += 1;
    }
    const state = STATES[stateIndex(groups[0], groups[1], groups[2], groups[3])] ?? "unknown";
    const n = groups.reduce((sum, each) => sum + each, 0);
    put(this._overview, h("span", { class: "state", "data-group": state }, t("map.free", { free: groups[0], n })));
  }

  _tick() {
    tellOpen(this._open, this._facts);
    for (const shown of this._shown.values()) {
      this._tell(shown);
      shown.strip?.draw();
    }
  }
}

/** The time alone where it is of the last day. @param {string} at */
function shortly(at) {
  return Date.now() - Date.parse(at) < DAY_MS ? clock(at) : moment(at);
}

/** An id as all of its written forms have it. @param {string} evse */
function bare(evse) {
  return evse.replace(/[*-]/g, "").toUpperCase();
}
