/** The form of filters, and the legend, whose marks switch states on and off. */

import { h, put } from "../base/dom.js";
import { named, number, t } from "../base/words.js";
import { POWERS_KW, everything, narrows } from "./filters.js";
import { STATES } from "./groups.js";
import { countryName, plugName } from "./names.js";

/** @typedef {import("./board.js").Columns} Columns */
/** @typedef {import("./filters.js").Choice} Choice */
/** @typedef {import("./groups.js").StationState} StationState */

const VEHICLES = ["car", "truck", "bus", "motorcycle", "bicycle"];
const CCS = ["IEC_62196_T2_COMBO", "IEC_62196_T1_COMBO"];
const TYPE_2 = ["IEC_62196_T2"];
/** What "free now" shows. @type {StationState[]} */
export const FREE = ["available", "partly"];

/**
 * What drivers ask for most, as buttons above the map.
 *
 * @param {Columns} columns
 * @param {Choice} choice
 * @param {(choice: Choice) => void} changed
 */
export function chips(columns, choice, changed) {
  const plug = (/** @type {string} */ name, /** @type {string} */ text, /** @type {string[]} */ of) => {
    const all = of.filter((each) => columns.standards.includes(each));
    const isOn = all.length > 0 && all.every((each) => choice.plugs.includes(each));
    const others = choice.plugs.filter((each) => !all.includes(each));
    return all.length > 0 && chip(name, text, isOn, () => changed({ ...choice, plugs: isOn ? others : [...others, ...all] }));
  };
  const power = (/** @type {number} */ kw) =>
    chip(`kw-${kw}`, t("map.kw", { kw }), choice.kw === kw, () => changed({ ...choice, kw: choice.kw === kw ? 0 : kw }));
  const isFree = choice.states.join() === FREE.join();
  return [
    chip("free", t("map.chip.free"), isFree, () => changed({ ...choice, states: isFree ? [] : FREE })),
    plug("ccs", "CCS", CCS),
    power(50),
    power(150),
    plug("type2", plugName("IEC_62196_T2"), TYPE_2),
    chip("open", t("map.chip.open"), choice.open, () => changed({ ...choice, open: !choice.open })),
    chip("card", t("map.chip.card"), choice.card, () => changed({ ...choice, card: !choice.card })),
  ];
}

/** @param {string} name @param {string} text @param {boolean} isOn @param {() => void} pressed */
const chip = (name, text, isOn, pressed) => h("button", { type: "button", class: "chip", name, "aria-pressed": String(isOn), onclick: pressed }, text);

/**
 * Fields of the filters.
 *
 * @param {Columns} columns
 * @param {Choice} choice
 * @param {(choice: Choice) => void} changed
 */
export function fields(columns, choice, changed) {
  const operators = columns.operators.toSorted((one, other) => one.localeCompare(other));
  const countries = columns.countries.map((code) => /** @type {const} */ ([code, countryName(code)]));
  countries.sort((one, other) => one[1].localeCompare(other[1]));
  const set = (/** @type {Partial<Choice>} */ part) => changed({ ...choice, ...part });
  return h(
    "form",
    { class: "fields", onsubmit: (event) => event.preventDefault() },
    select(t("map.operator"), "operator", choice.operator, [["", t("map.all")], ...operators.map((name) => pair(name, name))], (operator) => set({ operator })),
    countries.length > 1 &&
      select(t("map.country"), "country", choice.country, [["", t("map.all")], ...countries.map(([code, name]) => pair(code, name))], (country) => set({ country })),
    select(
      t("map.power"),
      "kw",
      String(choice.kw),
      [["0", t("map.any")], ...POWERS_KW.map((kw) => pair(String(kw), t("map.power.least", { kw })))],
      (kw) => set({ kw: Number(kw) }),
    ),
    h(
      "fieldset",
      { class: "plugs" },
      h("legend", {}, t("map.plugs")),
      columns.standards.map((standard) =>
        h(
          "label",
          {},
          h("input", {
            type: "checkbox",
            name: "plug",
            value: standard,
            checked: choice.plugs.includes(standard),
            onchange: (event) => {
              const plugs = choice.plugs.filter((plug) => plug !== standard);
              set({ plugs: event.target.checked ? [...plugs, standard] : plugs });
            },
          }),
          plugName(standard),
        ),
      ),
    ),
    h(
      "fieldset",
      { class: "plugs" },
      h("legend", {}, t("map.terms")),
      check("open", t("map.chip.open"), choice.open, (open) => set({ open })),
      check("card", t("map.chip.card"), choice.card, (card) => set({ card })),
    ),
    select(
      t("map.vehicles"),
      "vehicle",
      choice.vehicle,
      [["", t("map.any")], ...VEHICLES.map((each) => pair(each, named("map.vehicle", each)))],
      (vehicle) => set({ vehicle }),
    ),
    h("button", { type: "button", disabled: narrows(choice) === 0, onclick: () => changed(everything()) }, t("map.clear")),
  );
}

/** @param {string} name @param {string} text @param {boolean} checked @param {(checked: boolean) => void} changed */
const check = (name, text, checked, changed) =>
  h("label", {}, h("input", { type: "checkbox", name, checked, onchange: (event) => changed(event.target.checked) }), text);

/** @param {string} value @param {string} text @returns {[string, string]} */
const pair = (value, text) => [value, text];

/**
 * @param {string} label
 * @param {string} name
 * @param {string} chosen
 * @param {[string, string][]} options
 * @param {(value: string) => void} changed
 */
function select(label, name, chosen, options, changed) {
  return h(
    "label",
    { class: "field" },
    h("span", {}, label),
    h(
      "select",
      { name, onchange: (event) => changed(event.target.value) },
      options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
    ),
  );
}

/** The legend: a button for each state, with how many stations in view are in it, that shows those alone. */
export class Legend {
  /** @param {(states: StationState[]) => void} changed those that are shown; empty for all */
  constructor(changed) {
    /** @type {StationState[]} */
    this._states = [];
    this._changed = changed;
    this._numbers = STATES.map(() => h("span", { class: "amount" }));
    this._buttons = STATES.map((state, index) =>
      h(
        "button",
        { type: "button", "aria-pressed": "false", onclick: () => this._toggle(state) },
        h("span", { class: "state", "data-group": state }, t(`group.${state}`)),
        this._numbers[index],
      ),
    );
    this._told = new Array(STATES.length).fill(-1);
    this._sum = h("p", { class: "sum" });
    this._nearest = h("button", { type: "button", class: "nearest", hidden: true });
    this._row = h("div", { class: "legend", role: "group", "aria-label": t("map.legend") }, this._buttons);
    this.element = h("div", { class: "foot" }, this._sum, this._nearest, this._row);
  }

  /** @param {StationState[]} states */
  show(states) {
    this._states = states;
    this._row.classList.toggle("some", states.length > 0);
    STATES.forEach((state, index) => this._buttons[index].setAttribute("aria-pressed", String(states.includes(state))));
  }

  /**
   * @param {ArrayLike<number>} byState stations in view of each state
   * @param {ArrayLike<number>} groups EVSEs in view of each group
   * @param {string} what they are called where a filter chooses among them
   */
  tell(byState, groups, what) {
    for (let index = 0; index < STATES.length; index++) {
      if (this._told[index] === byState[index]) continue;
      this._told[index] = byState[index];
      put(this._numbers[index], number(byState[index]));
    }
    const n = groups[0] + groups[1] + groups[2] + groups[3];
    const text = what ? t("map.sum.kind", { free: groups[0], n, kind: what }) : t("map.sum", { free: groups[0], n });
    if (this._sum.textContent !== text) put(this._sum, text);
  }

  /** Offers the station that is nearest of those that are shown; null takes the offer back. @param {{text: string, pressed: (opener: HTMLElement) => void} | null} offer */
  offer(offer) {
    this._nearest.hidden = offer === null;
    if (!offer) return;
    if (this._nearest.textContent !== offer.text) put(this._nearest, h("span", {}, offer.text));
    this._nearest.onclick = () => offer.pressed(this._nearest);
  }

  /** @param {StationState} toggled */
  _toggle(toggled) {
    const on = STATES.filter((state) => this._states.includes(state) !== (state === toggled));
    this._changed(on.length === STATES.length ? [] : on);
  }
}
