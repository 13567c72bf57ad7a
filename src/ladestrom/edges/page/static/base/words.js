/**
 * The page's words, in the visitor's language, and numbers and times as that language writes them.
 */

import { keep, kept as keptAs } from "./kept.js";
import { words as en } from "../words/en.js";
import { words as fr } from "../words/fr.js";
import { words as nb } from "../words/nb.js";

/** @typedef {keyof typeof en} Word */
/** @typedef {"en" | "nb" | "fr"} Language */

/** @type {Record<Language, Record<Word, string>>} */
const WORDS = { en, nb, fr };
const KEPT = "ladestrom.language";
/** Languages of browsers, and the one of ours that they get. @type {Record<string, Language>} */
const SPOKEN = { en: "en", nb: "nb", no: "nb", nn: "nb", fr: "fr" };
/** @type {Record<Language, string>} */
const LOCALES = { en: "en-GB", nb: "nb-NO", fr: "fr-FR" };

/** @returns {Language} */
function chosen() {
  const kept = keptAs("local", KEPT);
  if (kept && Object.hasOwn(WORDS, kept)) return /** @type {Language} */ (kept);
  for (const wanted of navigator.languages) {
    const found = SPOKEN[wanted.toLowerCase().split("-")[0] ?? ""];
    if (found) return found;
  }
  return "en";
}

/** @type {Language} */
export const language = chosen();
document.documentElement.lang = language;

/**
 * Takes another language and shows the page anew in it.
 *
 * @param {Language} wanted
 */
export function setLanguage(wanted) {
  keep("local", KEPT, wanted);
  location.reload();
}

/**
 * A text in the visitor's language; `{name}` in it is replaced by `values.name`, numbers as the language
 * writes them.
 *
 * @param {Word} word
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(word, values = {}) {
  const text = WORDS[language][word] ?? word;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? number(value) : value;
  });
}

/**
 * A text that depends on a number: the words `WORD.one` and `WORD.other`.
 *
 * @param {string} word
 * @param {number} n
 * @param {Record<string, string | number>} [values]
 */
export function count(word, n, values = {}) {
  const form = new Intl.PluralRules(language).select(n) === "one" ? "one" : "other";
  return t(/** @type {Word} */ (`${word}.${form}`), { n, ...values });
}

/** Whether a text is there under this name. @param {string} word @returns {word is Word} */
export function isWord(word) {
  return word in en;
}

/** The text `KIND.WORD` for a word of the server's, or the word itself where there is none. @param {string} kind @param {string} word */
export function named(kind, word) {
  const name = `${kind}.${word}`;
  return isWord(name) ? t(name) : word;
}

const LOCALE = LOCALES[language];
const NUMBERS = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 1 });
const PERCENT = new Intl.NumberFormat(LOCALE, { style: "percent", maximumFractionDigits: 1 });
const MOMENT = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit" });
const WEEKDAY = new Intl.DateTimeFormat(LOCALE, { weekday: "short", timeZone: "UTC" });
const AGO = new Intl.RelativeTimeFormat(LOCALE, { numeric: "auto", style: "short" });
const STEPS = /** @type {const} */ ([
  [60, "second"],
  [60, "minute"],
  [24, "hour"],
  [7, "day"],
  [4.35, "week"],
  [12, "month"],
  [Infinity, "year"],
]);
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** @param {number} value */
export const number = (value) => NUMBERS.format(value);

/** A share of 1. @param {number | null} value */
export const percent = (value) => (value === null ? "–" : PERCENT.format(value));

/** @param {number} value */
export function bytes(value) {
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${number(value)} ${UNITS[unit]}`;
}

/** A span of time in the largest unit that says enough. @param {number} seconds */
export function span(seconds) {
  if (seconds < 120) return `${number(seconds)} s`;
  if (seconds < 7_200) return `${number(seconds / 60)} min`;
  if (seconds < 172_800) return `${number(seconds / 3_600)} h`;
  return `${number(seconds / 86_400)} d`;
}

/** Date and time of an ISO instant; a dash for none. @param {string | null} at */
export const moment = (at) => (at ? MOMENT.format(new Date(at)) : "–");

/** Hours and minutes of an ISO instant. @param {string | null} at */
export const clock = (at) => (at ? CLOCK.format(new Date(at)) : "–");

/** Hours and minutes of an ISO instant within the last day; with its date where it was before. @param {string} at */
export const hourOf = (at) => (Date.now() - Date.parse(at) < 86_400_000 ? clock(at) : moment(at));

/** A day of the week, shortly; 1 is Monday. @param {number} day */
export const weekday = (day) => WEEKDAY.format(Date.UTC(2024, 0, day));

/**
 * How long ago an ISO instant was (or how long until then), in the largest unit that fits.
 *
 * @param {string | null} at
 * @param {number} [now]
 */
export function ago(at, now = Date.now()) {
  if (!at) return "–";
  let value = (Date.parse(at) - now) / 1000;
  for (const [size, unit] of STEPS) {
    if (Math.abs(value) < size) return AGO.format(Math.round(value), unit);
    value /= size;
  }
  return moment(at);
}
