/**
 * JSON Schemas as tables of members, with links to the schemas that they name.
 */

import { code } from "../../base/code.js";
import { h } from "../../base/dom.js";
import { blocks, inline } from "../../base/markdown.js";
import { t } from "../../base/words.js";

/** @typedef {import("../../base/dom.js").Child} Child */
/** @typedef {Record<string, any>} Schema */

const ENUM_SHOWN_MAX = 24;

/** A schema's type on one line; names are links. @param {Schema} schema @returns {Child[]} */
export function typed(schema) {
  if (typeof schema["$ref"] === "string") {
    const name = schema["$ref"].split("/").at(-1);
    return [h("a", { href: `#schema-${name}` }, name)];
  }
  const parts = schema["oneOf"] ?? schema["anyOf"] ?? schema["allOf"];
  if (parts)
    return parts.flatMap((/** @type {Schema} */ part, /** @type {number} */ index) => [
      index > 0 && ` ${t("docs.or")} `,
      ...typed(part),
    ]);
  if (schema["const"] !== undefined) return [h("code", {}, JSON.stringify(schema["const"]))];
  if (schema["type"] === "array" && schema["items"]) return [t("docs.list"), " ", ...typed(schema["items"])];
  if (schema["additionalProperties"] && typeof schema["additionalProperties"] === "object") {
    return [t("docs.map"), " ", ...typed(schema["additionalProperties"])];
  }
  const type = [schema["type"] ?? []].flat().join(` ${t("docs.or")} `);
  return [schema["format"] ? `${type} (${schema["format"]})` : type || t("docs.any")];
}

/** What a value may be, beside its type. @param {Schema} schema @returns {Child[]} */
export function bounds(schema) {
  /** @type {Child[]} */
  const said = [];
  const of = schema["items"]?.enum ?? schema["enum"];
  if (of) {
    const shown = of.slice(0, ENUM_SHOWN_MAX);
    said.push(
      h(
        "span",
        { class: "words" },
        shown.map((/** @type {unknown} */ one) => h("code", {}, typeof one === "string" ? one : JSON.stringify(one))),
      ),
    );
  }
  if (schema["minimum"] !== undefined || schema["maximum"] !== undefined) {
    said.push(h("span", { class: "words" }, `${schema["minimum"] ?? "−∞"} … ${schema["maximum"] ?? "∞"}`));
  }
  if (schema["default"] !== undefined)
    said.push(h("span", { class: "words" }, t("console.default", { value: String(schema["default"]) })));
  return said;
}

/** @param {Schema} schema @param {string} label */
export function members(schema, label) {
  const required = new Set(schema["required"] ?? []);
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    h(
      "table",
      { class: "members" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          [t("docs.member"), t("docs.type"), t("docs.meaning")].map((name) => h("th", { scope: "col" }, name)),
        ),
      ),
      h(
        "tbody",
        {},
        Object.entries(/** @type {Record<string, Schema>} */ (schema["properties"])).map(([name, member]) =>
          h(
            "tr",
            {},
            h(
              "th",
              { scope: "row" },
              h("code", {}, name),
              !required.has(name) && h("span", { class: "optional quiet" }, t("docs.optional")),
            ),
            h("td", {}, typed(member)),
            h("td", {}, inline(member["description"] ?? ""), bounds(member)),
          ),
        ),
      ),
    ),
  );
}

/** A named schema. @param {string} name @param {Schema} schema */
export function drawnSchema(name, schema) {
  const examples = /** @type {unknown[]} */ (schema["examples"] ?? []);
  return h(
    "div",
    {},
    h("h3", { id: `schema-${name}-title` }, h("a", { class: "anchor", href: `#schema-${name}` }, h("code", {}, name))),
    blocks(schema["description"] ?? ""),
    schema["properties"] ? members(schema, name) : h("p", { class: "row" }, typed(schema), bounds(schema)),
    examples.length > 0 &&
      h(
        "details",
        {},
        h("summary", {}, t("docs.example")),
        code(t("docs.example"), "json", JSON.stringify(examples[0], null, 2)),
      ),
  );
}
