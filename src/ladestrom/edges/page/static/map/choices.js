/** The form of filters, and the legend, whose marks switch states on and off. */

import { h, put } from "../base/dom.js";
import { number, t } from "../base/words.js";
import { POWERS_KW, everything, narrows } from "./filters.js";
import { STATES } from "./groups.js";
import { countryName, plugName } from "./names.js";

/** @typedef {import("./board.js").Columns} Columns */
/** @typedef {import("./filters.js").Choice} Choice */
/** @typedef {import("./groups.js").StationState} StationState */

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
    h("button", { type: "button", disabled: narrows(choice) === 0, onclick: () => changed(everything()) }, t("map.clear")),
  );
}

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

/** The legend: a button for each state, with how many stations are in it. */
export class Legend {
  /** @param {(states: StationState[]) => void} changed those that are shown; empty for all */
  constructor(changed) {
    this._changed = changed;
    this._numbers = STATES.map(() => h("span", { class: "amount" }));
    this._buttons = STATES.map((state, index) =>
      h(
        "button",
        { type: "button", "aria-pressed": "true", onclick: () => this._toggle(index) },
        h("span", { class: "state", "data-group": state }, t(`group.${state}`)),
        this._numbers[index],
      ),
    );
    this._told = new Array(STATES.length).fill(-1);
    this.element = h("div", { class: "legend", role: "group", "aria-label": t("map.legend") }, this._buttons);
  }

  /** @param {StationState[]} states */
  show(states) {
    STATES.forEach((state, index) => {
      this._buttons[index].setAttribute("aria-pressed", String(states.length === 0 || states.includes(state)));
    });
  }

  /** @param {ArrayLike<number>} byState stations of each state */
  tell(byState) {
    for (let index = 0; index < STATES.length; index++) {
      if (this._told[index] === byState[index]) continue;
      this._told[index] = byState[index];
      put(this._numbers[index], number(byState[index]));
    }
  }

  /** @param {number} toggled */
  _toggle(toggled) {
    const on = STATES.filter((_, index) => (this._buttons[index].getAttribute("aria-pressed") === "true") !== (index === toggled));
    this._changed(on.length === STATES.length ? [] : on);
  }
}
