/**
 * One request: parameters, content, answers, refusals.
 */

import { code, codeTabs } from "../../base/code.js";
import { h } from "../../base/dom.js";
import { blocks, inline } from "../../base/markdown.js";
import { PLACEHOLDER, snippets } from "../../base/snippets.js";
import { named, t } from "../../base/words.js";
import { callOf } from "./example.js";
import { heading } from "./heading.js";
import { bounds, typed } from "./schema.js";

/** @typedef {import("../../base/contract.js").Document} Document */
/** @typedef {import("../../base/contract.js").Operation} Operation */
/** @typedef {Record<string, any>} Node */

/**
 * @param {Document} document
 * @param {Operation} operation
 * @param {import("./example.js").Station | null} station
 */
export function drawnOperation(document, operation, station) {
  const { id, method, path, summary, description, kind, scopes } = operation;
  const isSocket = kind === "v1" || kind === "v2" || kind === "socket";
  const answers = Object.entries(operation.responses);
  const refusals = answers.filter(([status]) => Number(status) >= 400);
  return h(
    "div",
    {},
    heading(id, isSocket ? "WS" : method, path),
    h("p", { class: "summary" }, inline(summary)),
    blocks(description),
    h(
      "p",
      { class: "row small" },
      h(
        "span",
        { class: "quiet" },
        scopes.length > 0
          ? t("docs.scopes", { scopes: scopes.map((scope) => named("scope", scope)).join(", ") })
          : t("docs.nokey"),
      ),
      kind !== "socket" && h("a", { href: `/console#${id}` }, t("docs.try")),
    ),
    kind !== "socket" && [h("h4", {}, t("docs.code")), asCode(operation, station)],
    operation.parameters.length > 0 && [h("h4", {}, t("docs.parameters")), parameters(operation)],
    operation.body && [h("h4", {}, t("docs.body")), content(document, operation.body)],
    h("h4", {}, t("docs.answers")),
    answers.filter(([status]) => Number(status) < 400).map(([status, answer]) => answered(document, status, answer)),
    refusals.length > 0 &&
      h(
        "details",
        {},
        h("summary", {}, t("docs.refusals", { n: refusals.length })),
        h(
          "dl",
          { class: "refusals" },
          refusals.map(([status, answer]) => refused(status, answer)),
        ),
      ),
  );
}

/** @param {Operation} operation @param {import("./example.js").Station | null} station */
function asCode(operation, station) {
  const tabs = codeTabs(`${t("docs.code")} ${operation.method} ${operation.path}`);
  tabs.show(snippets(callOf(operation, station), PLACEHOLDER));
  return tabs.element;
}

/** @param {Operation} operation */
function parameters({ parameters, path }) {
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": `${t("docs.parameters")} ${path}` },
    h(
      "table",
      { class: "members" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          [t("docs.parameter"), t("docs.type"), t("docs.meaning")].map((name) => h("th", { scope: "col" }, name)),
        ),
      ),
      h(
        "tbody",
        {},
        parameters.map((each) =>
          h(
            "tr",
            {},
            h(
              "th",
              { scope: "row" },
              h("code", {}, each.name),
              h(
                "span",
                { class: "optional quiet" },
                [named("docs.in", each.in), each.required && t("console.required")].filter(Boolean).join(", "),
              ),
            ),
            h("td", {}, typed(each.schema)),
            h(
              "td",
              {},
              inline(each.description),
              bounds(each.schema),
              each.example && h("span", { class: "words" }, t("docs.forexample"), " ", h("code", {}, each.example)),
            ),
          ),
        ),
      ),
    ),
  );
}

/** @param {Document} document @param {Node} node a body or an answer */
function content(document, node) {
  const types = Object.entries(/** @type {Record<string, Node>} */ (node["content"] ?? {}));
  return h(
    "div",
    {},
    node["description"] && h("p", {}, inline(node["description"])),
    types.map(([type, { schema, example, examples }]) => {
      const first = example ?? Object.values(examples ?? {})[0]?.["value"] ?? exampleOf(document, schema);
      return h(
        "div",
        {},
        h("p", { class: "row" }, h("code", {}, type), schema && h("span", {}, typed(schema))),
        first !== undefined &&
          h(
            "details",
            {},
            h("summary", {}, t("docs.example")),
            code(t("docs.example"), "json", typeof first === "string" ? first : JSON.stringify(first, null, 2)),
          ),
      );
    }),
  );
}

/** The example of the schema that is named. @param {Document} document @param {Node | undefined} schema @returns {unknown} */
function exampleOf(document, schema) {
  const name =
    String((schema?.["items"] ?? schema)?.["$ref"] ?? "")
      .split("/")
      .at(-1) ?? "";
  const example = document["components"].schemas[name]?.examples?.[0];
  return schema?.["type"] === "array" && example !== undefined ? [example] : example;
}

/** @param {Document} document @param {string} status @param {Node} answer */
function answered(document, status, answer) {
  const headers = Object.keys(answer["headers"] ?? {});
  return h(
    "div",
    { class: "answered" },
    h(
      "p",
      { class: "row" },
      h("span", { class: "badge", "data-tone": "good" }, status),
      headers.length > 0 && h("span", { class: "quiet" }, t("docs.headers", { names: headers.join(", ") })),
    ),
    content(document, answer),
  );
}

/** @param {string} status @param {Node} answer */
function refused(status, answer) {
  return h(
    "div",
    {},
    h("dt", {}, h("span", { class: "badge", "data-tone": "bad" }, status)),
    h("dd", {}, inline(answer["description"] ?? "")),
  );
}
