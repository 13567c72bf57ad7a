/**
 * The heading of an operation or a stream, with the link to itself.
 */

import { h } from "../../base/dom.js";

/** @param {string} id @param {string} method HTTP method, WS or SSE @param {string} path */
export function heading(id, method, path) {
  return h(
    "h3",
    { id: `${id}-title` },
    h(
      "a",
      { class: "anchor", href: `#${id}` },
      h("span", { class: "method", "data-method": method }, method),
      h("code", {}, path),
    ),
  );
}
