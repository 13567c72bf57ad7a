/** What a driver wants to know of a station beside its statuses, as rows of a list. What is not known has no row. */

import { h, put } from "../base/dom.js";
import { named, number, t, weekday } from "../base/words.js";
import { isOpen, rowsOf } from "./hours.js";

/** @typedef {import("./hours.js").Opening} Opening */
/** @typedef {import("../base/dom.js").Child} Child */
/**
 * @typedef {object} Terms
 * @property {string} [access]
 * @property {string} [access_text]
 * @property {string} [accessibility]
 * @property {string[]} [vehicles]
 * @property {number} [max_height_m]
 * @property {Record<string, boolean>} [payment]
 * @property {string} [tariff_text]
 */
/**
 * @typedef {Terms & {opening?: Opening, time_zone?: string, directions?: string,
 *   contact?: {phone?: string, web?: string}}} Facts
 */

/** What decides whether one goes there at all, beside whether it is open. @param {Facts} facts */
export function badges({ access, payment, vehicles }) {
  const isForCars = !vehicles?.length || vehicles.includes("car");
  return [
    access && h("span", { class: access === "public" ? null : "narrow" }, named("map.access", access)),
    ...(isForCars ? [] : vehicles.map((each) => h("span", { class: "narrow" }, named("map.vehicle", each)))),
    ...ways(payment).map((way) => h("span", {}, way)),
    payment && payment["card"] === false && payment["contactless"] !== true && !payment["free"] && h("span", { class: "narrow" }, t("map.nocard")),
  ];
}

/** Of a station. @param {Facts} facts */
export function rows(facts) {
  const { opening, directions, contact } = facts;
  return [
    ...(opening ? row(t("map.opening"), times(opening)) : []),
    ...termRows(facts),
    ...(contact?.phone || contact?.web ? row(t("map.contact"), contacts(contact)) : []),
    ...(directions ? row(t("map.find.way"), directions) : []),
  ];
}

/** Of an EVSE that differs from its station. @param {Terms} terms */
export function termRows(terms) {
  const { access, access_text: words, accessibility, vehicles, max_height_m: height, payment, tariff_text: price } = terms;
  const paid = [...ways(payment), price].filter(Boolean).join(", ");
  const who = [access && named("map.access", access), words].filter(Boolean).join(": ");
  const below = height !== undefined && t("map.height", { m: number(height) });
  // Cars are what most are for.
  const others = vehicles?.join() === "car" ? [] : (vehicles ?? []);
  const what = [...others.map((each) => named("map.vehicle", each)), below].filter(Boolean).join(", ");
  return [
    ...(who ? row(t("map.access"), who) : []),
    ...(paid ? row(t("map.payment"), paid) : []),
    ...(what ? row(t("map.vehicles"), what) : []),
    ...(accessibility ? row(t("map.accessibility"), named("map.accessibility", accessibility)) : []),
  ];
}

/** Says whether a station is open now. @param {HTMLElement} open @param {Facts} facts */
export function tellOpen(open, { opening, time_zone: zone }) {
  const is = isOpen(opening, zone, Date.now());
  open.hidden = is === null;
  open.dataset["open"] = String(is);
  put(open, is === null ? "" : t(is ? "map.open" : "map.closed"));
}

/** @param {string} name @param {Child | Child[]} value */
const row = (name, value) => [h("dt", {}, name), h("dd", {}, ...(Array.isArray(value) ? value : [value]))];

/** @param {Opening} opening */
function times({ always, hours = [], text }) {
  const found = [];
  if (always) found.push(t("map.always"));
  else if (hours.length) {
    for (const [from, to, ranges] of rowsOf(hours)) {
      const days = from === to ? weekday(from) : `${weekday(from)}–${weekday(to)}`;
      found.push(`${days} ${ranges.length ? ranges.join(", ") : t("map.closed.day")}`);
    }
  }
  if (text) found.push(text);
  if (always === false && found.length === 0) found.push(t("map.notalways"));
  return found.map((each) => h("span", { class: "line" }, each));
}

/** @param {Record<string, boolean> | undefined} payment */
const ways = (payment) =>
  ["free", "card", "contactless", "ad_hoc", "other"].filter((way) => payment?.[way]).map((way) => named("map.payment", way));

/** @param {{phone?: string, web?: string}} contact */
function contacts({ phone, web }) {
  const number_ = phone?.replace(/[^+\d]/g, "");
  return [
    phone && h("span", { class: "line" }, number_ ? h("a", { href: `tel:${number_}` }, phone) : phone),
    web && h("span", { class: "line" }, /^https?:\/\//.test(web) ? h("a", { href: web, rel: "noopener noreferrer" }, web) : web),
  ];
}
