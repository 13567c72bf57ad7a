/**
 * A request that is answered once: status, headers and content.
 */

import { ask } from "../../base/api.js";
import { coloured, copyButton } from "../../base/code.js";
import { h, put } from "../../base/dom.js";
import { failure } from "../../base/shell.js";
import { bytes, number, t } from "../../base/words.js";

/** @typedef {import("../../base/snippets.js").Call} Call */

const SHOWN_CHARACTERS_MAX = 60_000;

/** @param {import("../../base/shell.js").Shell} shell */
export function answer(shell) {
  const element = h("div", { class: "answer" });
  /** @type {AbortController | null} */
  let under = null;

  return {
    element,
    stop: () => under?.abort(),
    /** Asks, and shows what comes. @param {Call} call */
    async run(call) {
      under?.abort();
      const own = new AbortController();
      under = own;
      element.setAttribute("aria-busy", "true");
      put(element, h("p", { class: "quiet" }, t("shell.loading")));
      const began = performance.now();
      try {
        const response = await ask(call.method, call.path, call.body, {
          signal: own.signal,
          cache: "no-store",
          headers: { accept: "*/*", ...call.headers },
        });
        const text = await response.text();
        const tookMs = performance.now() - began;
        put(element, ...parts(response, text, tookMs));
        shell.announce(t("console.answered", { status: `${response.status} ${response.statusText}` }));
      } catch (error) {
        if (own.signal.aborted) return;
        put(element, failure(error));
      }
      element.removeAttribute("aria-busy");
    },
  };
}

/**
 * @param {Response} response
 * @param {string} text
 * @param {number} tookMs
 */
function parts(response, text, tookMs) {
  const type = response.headers.get("content-type") ?? "";
  const isJson = /\bjson\b/.test(type);
  const pretty = isJson ? indented(text) : text;
  const shown = pretty.slice(0, SHOWN_CHARACTERS_MAX);
  return [
    h(
      "div",
      { class: "row outcome" },
      h(
        "span",
        { class: "badge", "data-tone": response.ok ? "good" : "bad" },
        `${response.status} ${response.statusText}`,
      ),
      h("span", { class: "quiet" }, t("console.took", { ms: number(Math.round(tookMs)) })),
      h("span", { class: "quiet" }, bytes(new TextEncoder().encode(text).length)),
      type && h("span", { class: "quiet" }, type),
    ),
    h(
      "details",
      {},
      h("summary", {}, t("console.headers")),
      h(
        "dl",
        { class: "headers" },
        [...response.headers].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
      ),
    ),
    text === ""
      ? h("p", { class: "quiet" }, t("console.nocontent"))
      : h(
          "div",
          { class: "code" },
          h(
            "pre",
            { tabindex: 0, role: "region", "aria-label": t("console.content") },
            h("code", {}, coloured(shown, isJson ? "json" : "text")),
          ),
          copyButton(() => pretty),
        ),
    shown.length < pretty.length &&
      h("p", { class: "quiet" }, t("console.cut", { shown: shown.length, all: pretty.length })),
  ];
}

/** @param {string} text */
export function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
