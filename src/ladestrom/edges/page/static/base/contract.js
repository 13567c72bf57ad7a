/**
 * The server's contract of its requests, `/openapi.json`, as lists that views can show.
 */

import { get } from "./api.js";

/** @typedef {Record<string, any>} Document */
/** @typedef {"rest" | "v1" | "v2" | "events" | "socket"} Kind `socket`: one that is only spoken to */
/**
 * @typedef {object} Parameter
 * @property {string} name
 * @property {"query" | "path" | "header"} in
 * @property {string} description
 * @property {boolean} required
 * @property {Record<string, any>} schema
 * @property {string} example as it is written
 */
/**
 * @typedef {object} Operation
 * @property {string} id
 * @property {string} method in capitals
 * @property {string} path
 * @property {string} tag
 * @property {string} summary
 * @property {string} description
 * @property {Kind} kind
 * @property {Parameter[]} parameters
 * @property {Record<string, any> | null} body
 * @property {Record<string, any>} responses each resolved
 * @property {string[]} scopes of which a key needs one; empty where none is needed
 */

/** @returns {Promise<Document>} */
export const openapi = () => get("/openapi.json");

/** @returns {Promise<Document>} */
export const asyncapi = () => get("/asyncapi.json");

/**
 * A node of a document, or what it refers to.
 *
 * @param {Document} document
 * @param {any} node
 * @returns {any}
 */
export function resolved(document, node) {
  let found = node;
  while (found && typeof found["$ref"] === "string") {
    /** @type {any} */
    let place = document;
    for (const part of found["$ref"].slice(2).split("/")) {
      place = place[decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~")];
    }
    found = place;
  }
  return found;
}

/** All operations, in the document's order. @param {Document} document @returns {Operation[]} */
export function operations(document) {
  return Object.entries(document["paths"]).flatMap(([path, methods]) =>
    Object.entries(/** @type {Document} */ (methods)).map(([method, given]) =>
      operation(document, path, method, given),
    ),
  );
}

/**
 * @param {Document} document
 * @param {string} path
 * @param {string} method
 * @param {any} given
 * @returns {Operation}
 */
function operation(document, path, method, given) {
  const security = /** @type {Record<string, string[]>[]} */ (given.security ?? document["security"] ?? []);
  const responses = Object.entries(given.responses).map(([status, node]) => [status, resolved(document, node)]);
  return {
    id: given.operationId,
    method: method.toUpperCase(),
    path,
    tag: given.tags?.[0] ?? "",
    summary: given.summary ?? "",
    description: given.description ?? "",
    kind: kindOf(path, given),
    parameters: (given.parameters ?? []).map((/** @type {any} */ node) => parameter(resolved(document, node))),
    body: given.requestBody ? resolved(document, given.requestBody) : null,
    responses: Object.fromEntries(responses),
    scopes: [...new Set(security.flatMap((each) => Object.values(each).flat()))],
  };
}

/** @param {string} path @param {any} given @returns {Kind} */
function kindOf(path, given) {
  if (given.responses["200"]?.content?.["text/event-stream"]) return "events";
  if (!given.responses["101"]) return "rest";
  if (path === "/api/v2/stream") return "v2";
  return path.startsWith("/api/v1/") ? "v1" : "socket";
}

/** @param {any} node @returns {Parameter} */
function parameter(node) {
  return {
    name: node.name,
    in: node.in,
    description: node.description ?? "",
    required: node.required === true,
    schema: node.schema ?? {},
    example: node.example === undefined ? "" : [node.example].flat().join(","),
  };
}

/** The first example of a body, as text; `{}` where there is none. @param {Record<string, any> | null} body */
export function bodyExample(body) {
  const content = body?.["content"]?.["application/json"];
  const example = content?.example ?? Object.values(content?.examples ?? {})[0]?.value ?? {};
  return JSON.stringify(example, null, 2);
}
