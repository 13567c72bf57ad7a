/**
 * The key in use: its state, its limits, what it was used for, and its end.
 */

import { ApiError, del, get, post, setKey } from "../../base/api.js";
import { confirmed } from "../../base/dialog.js";
import { h, put } from "../../base/dom.js";
import { poll } from "../../base/live.js";
import { failure } from "../../base/shell.js";
import { ago, bytes, moment, named, number, t } from "../../base/words.js";
import { shownOnce } from "./request.js";

const USE_MS = 2_000;

/**
 * @typedef {object} OwnKey
 * @property {string} id
 * @property {string} name
 * @property {"live" | "pending" | "expired" | "revoked"} state
 * @property {string[]} scopes
 * @property {string | null} operator
 * @property {string | null} created_at
 * @property {string | null} expires_at
 * @property {string | null} last_used_at
 * @property {Record<string, number>} limits
 * @property {{connections: number, connections_total: number, messages: number, bytes: number, requests: number, refused: number, since: string | null}} use
 */

/**
 * @param {import("../../base/shell.js").Shell} shell
 * @returns {{element: HTMLElement, stop: () => void}}
 */
export function own(shell) {
  const state = h("div", { class: "row" });
  const facts = h("dl", { class: "facts" });
  const use = h("dl", { class: "use" });
  const since = h("p", { class: "quiet" });
  const trouble = h("div");
  const successor = h("div");
  const rotate = h("button", { type: "button", onclick: rotated }, t("consumers.own.rotate"));
  const revoke = h("button", { type: "button", class: "danger", onclick: revoked }, t("consumers.own.revoke"));
  const forget = h("button", { type: "button", onclick: () => setKey("") }, t("shell.key.forget"));
  const known = h("div", { "aria-busy": "true" }, state, facts, h("h3", {}, t("consumers.own.use")), use, since);
  const element = h("div", {}, trouble, known, h("div", { class: "row" }, rotate, revoke, forget), successor);

  async function rotated() {
    try {
      const box = shownOnce(await post("/api/v2/keys/self/rotate"));
      put(successor, box);
      box.focus();
    } catch (error) {
      put(trouble, failure(error));
    }
  }

  async function revoked() {
    if (!(await confirmed(t("consumers.own.revoke.ask"), t("consumers.own.revoke.what"), t("consumers.own.revoke"))))
      return;
    try {
      await del("/api/v2/keys/self");
    } catch (error) {
      put(trouble, failure(error));
      return;
    }
    setKey("");
    shell.announce(t("consumers.own.revoke.done"));
    shell.main.focus();
  }

  /** @param {OwnKey} told */
  function show(told) {
    put(
      state,
      h("strong", { class: "name" }, told.name || told.id),
      h(
        "span",
        { class: "badge", "data-tone": told.state === "live" ? "good" : told.state === "pending" ? "wait" : "bad" },
        t(`key.${told.state}`),
      ),
    );
    put(
      facts,
      pair(t("consumers.own.id"), h("code", {}, told.id)),
      pair(t("consumers.own.scopes"), told.scopes.map((scope) => named("scope", scope)).join(", ")),
      told.operator && pair(t("consumers.own.operator"), told.operator),
      pair(t("consumers.own.expires"), told.expires_at ? moment(told.expires_at) : t("consumers.own.never")),
      Object.entries(told.limits).map(([name, value]) =>
        pair(named("limit", name), name.includes("bytes") ? bytes(value) : number(value)),
      ),
    );
    put(
      use,
      figure(t("consumers.use.connections"), number(told.use.connections)),
      figure(t("consumers.use.messages"), number(told.use.messages)),
      figure(t("consumers.use.bytes"), bytes(told.use.bytes)),
      figure(t("consumers.use.requests"), number(told.use.requests)),
      figure(t("consumers.use.refused"), number(told.use.refused)),
    );
    put(since, told.use.since ? t("consumers.use.since", { at: ago(told.use.since) }) : "");
    rotate.disabled = told.state !== "live";
    known.removeAttribute("aria-busy");
  }

  const asked = poll(
    async () => {
      const told = await get("/api/v2/keys/self");
      put(trouble);
      known.hidden = false;
      show(told);
    },
    USE_MS,
    (error) => {
      const isEnded = error instanceof ApiError && (error.status === 401 || error.status === 403);
      known.hidden = isEnded;
      known.removeAttribute("aria-busy");
      rotate.disabled = isEnded;
      revoke.disabled = isEnded;
      const detail = error instanceof Error ? error.message : String(error);
      const text = isEnded ? t("shell.key.wrong", { detail }) : t("shell.failed", { detail });
      if (trouble.textContent !== text) put(trouble, h("p", { class: "notice bad", role: "alert" }, text));
    },
  );
  return { element, stop: () => asked.stop() };
}

/** @param {string} name @param {import("../../base/dom.js").Child} value */
const pair = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));

/** @param {string} name @param {string} value */
const figure = (name, value) => h("div", {}, h("dt", {}, name), h("dd", { class: "value" }, value));
