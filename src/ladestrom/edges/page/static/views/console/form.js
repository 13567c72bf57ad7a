/**
 * An operation's parameters as form fields, and what is asked with what stands in them.
 */

import { bodyExample } from "../../base/contract.js";
import { h, put } from "../../base/dom.js";
import { inline } from "../../base/markdown.js";
import { t } from "../../base/words.js";

/** @typedef {import("../../base/contract.js").Operation} Operation */
/** @typedef {import("../../base/contract.js").Parameter} Parameter */
/** @typedef {import("../../base/snippets.js").Call} Call */

const NOT_ASKED = new Set(["Content-Encoding", "Last-Event-ID"]);
/** The first would need bytes that are packed so; the second is what `since` says. */

/**
 * Fields for one operation.
 *
 * @param {() => void} changed told whenever something else stands in them
 */
export function fields(changed) {
  const element = h("div", { class: "fields", oninput: changed });
  /** @type {Operation | null} */
  let operation = null;
  /** @type {Map<Parameter, HTMLInputElement | HTMLSelectElement>} */
  let inputs = new Map();
  /** @type {HTMLTextAreaElement | null} */
  let body = null;

  /** @param {Parameter["in"]} place @returns {[string, string][]} */
  function given(place) {
    return [...inputs]
      .filter(([parameter, input]) => parameter.in === place && input.value.trim() !== "")
      .map(([parameter, input]) => [parameter.name, input.value.trim()]);
  }

  return {
    element,
    /** @param {Operation} wanted @param {URLSearchParams} values */
    show(wanted, values) {
      operation = wanted;
      inputs = new Map();
      body = null;
      /** @type {HTMLElement[]} */
      const rows = wanted.parameters
        .filter((parameter) => !NOT_ASKED.has(parameter.name))
        .map((parameter, index) => row(parameter, index, values.get(parameter.name) ?? "", inputs));
      if (wanted.body) {
        body = h("textarea", { name: "body", rows: 9, spellcheck: "false", class: "mono" });
        body.value = bodyExample(wanted.body);
        rows.push(h("label", { class: "field wide" }, h("span", {}, t("console.body")), body));
      }
      put(element, rows.length > 0 ? rows : h("p", { class: "quiet" }, t("console.noparameters")));
    },
    /** What stands in the query's fields. */
    query: () => given("query"),
    /** The fields as an address keeps them. */
    kept: () => new URLSearchParams([...given("path"), ...given("query")]),
    /** What is asked. @returns {Call} */
    call() {
      const path = (operation?.path ?? "").replace(/\{(\w+)\}/g, (whole, name) => {
        const value = given("path").find(([each]) => each === name)?.[1];
        return value === undefined ? whole : encodeURIComponent(value);
      });
      const query = given("query")
        .map(([name, value]) => `${name}=${written(value)}`)
        .join("&");
      const headers = given("header");
      return {
        kind: operation?.kind === "socket" || !operation ? "rest" : operation.kind,
        method: operation?.method ?? "GET",
        path: query ? `${path}?${query}` : path,
        ...(body && { body: body.value }),
        ...(headers.length > 0 && { headers: Object.fromEntries(headers) }),
      };
    },
  };
}

/** A value in a query; what need not be escaped there is left readable. @param {string} value */
const written = (value) => encodeURIComponent(value).replaceAll("%2C", ",").replaceAll("%3A", ":");

/**
 * @param {Parameter} parameter
 * @param {number} index
 * @param {string} value
 * @param {Map<Parameter, HTMLInputElement | HTMLSelectElement>} inputs
 */
function row(parameter, index, value, inputs) {
  const { name, required, schema } = parameter;
  const help = `help-${index}`;
  const attributes = { name, required, "aria-describedby": help };
  const words = schema["items"]?.enum?.join(", ");
  /** @type {HTMLInputElement | HTMLSelectElement} */
  let input;
  if (Array.isArray(schema["enum"])) {
    const blank = schema["default"] === undefined ? "–" : t("console.default", { value: String(schema["default"]) });
    input = h(
      "select",
      attributes,
      h("option", { value: "" }, blank),
      schema["enum"].map((one) => h("option", {}, one)),
    );
  } else {
    const isNumber = schema["type"] === "integer";
    input = h("input", {
      ...attributes,
      type: isNumber ? "number" : "text",
      min: isNumber ? schema["minimum"] : null,
      max: isNumber ? schema["maximum"] : null,
      placeholder: parameter.example,
      spellcheck: "false",
      autocomplete: "off",
    });
  }
  input.value = value;
  inputs.set(parameter, input);
  return h(
    "div",
    { class: "field" },
    h("label", {}, h("code", {}, name), required && h("span", { class: "quiet" }, ` ${t("console.required")}`), input),
    h(
      "p",
      { class: "help quiet", id: help },
      inline(parameter.description),
      words && h("span", { class: "words" }, words),
    ),
  );
}
