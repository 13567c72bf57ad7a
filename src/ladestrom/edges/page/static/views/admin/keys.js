/**
 * All keys, without what is secret of them; those that wait are approved here, and any is revoked.
 */

import { del, get, post } from "../../base/api.js";
import { confirmed } from "../../base/dialog.js";
import { h, put } from "../../base/dom.js";
import { failure } from "../../base/shell.js";
import { table } from "../../base/table.js";
import { ago, count, moment, named, t } from "../../base/words.js";

/** @typedef {"live" | "pending" | "expired" | "revoked"} KeyState */
/**
 * @typedef {object} KeyRow
 * @property {string} id
 * @property {string} name
 * @property {string | null} email
 * @property {string | null} purpose
 * @property {KeyState} state
 * @property {string[]} scopes
 * @property {string | null} operator
 * @property {string | null} created_at
 * @property {string | null} expires_at
 * @property {string | null} last_used_at
 */

/** @type {Record<KeyState, string>} */
const TONES = { live: "good", pending: "wait", expired: "plain", revoked: "plain" };
/** @type {KeyState[]} */
const ORDER = ["pending", "live", "expired", "revoked"];

/**
 * @param {import("../../base/shell.js").Shell} shell
 * @param {import("./verdict.js").Verdict} verdict
 * @returns {import("../admin.js").Part}
 */
export function keys(shell, verdict) {
  /** @type {KeyRow[]} */
  let all = [];
  const trouble = h("div");
  const waiting = h("p", { class: "quiet" });
  const search = h("input", { type: "search", name: "keys", autocomplete: "off", oninput: draw });
  const only = h(
    "select",
    { name: "state", onchange: draw },
    h("option", { value: "" }, t("admin.keys.all")),
    ORDER.map((state) => h("option", { value: state }, t(`key.${state}`))),
  );
  /** @type {import("../../base/table.js").Column<KeyRow>[]} */
  const columns = [
    {
      label: t("admin.keys.name"),
      head: true,
      order: (row) => row.name,
      cell: (row) => [row.name, h("code", { class: "quiet more" }, row.id)],
    },
    {
      label: t("admin.keys.state"),
      order: (row) => ORDER.indexOf(row.state),
      cell: (row) => h("span", { class: "badge", "data-tone": TONES[row.state] }, t(`key.${row.state}`)),
    },
    {
      label: t("admin.keys.who"),
      cell: (row) => [row.email ?? "", row.purpose && h("span", { class: "quiet more" }, row.purpose)],
    },
    {
      label: t("consumers.own.scopes"),
      cell: (row) => [
        row.scopes.map((scope) => named("scope", scope)).join(", "),
        row.operator && h("span", { class: "quiet more" }, row.operator),
      ],
    },
    { label: t("admin.keys.created"), order: (row) => row.created_at, cell: (row) => instant(row.created_at) },
    { label: t("admin.keys.used"), order: (row) => row.last_used_at, cell: (row) => instant(row.last_used_at) },
    {
      label: t("consumers.own.expires"),
      order: (row) => row.expires_at,
      cell: (row) => (row.expires_at ? moment(row.expires_at) : t("consumers.own.never")),
    },
    { label: t("admin.act"), cell: acts },
  ];
  const shown = table(columns, { caption: t("admin.keys"), empty: t("admin.keys.empty"), sorted: 1, quiet: true });
  const element = h(
    "div",
    {},
    h(
      "div",
      { class: "row filters" },
      h("label", { class: "check" }, t("admin.keys.search"), search),
      h("label", { class: "check" }, t("admin.keys.state"), only),
      waiting,
    ),
    trouble,
    shown.element,
  );

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown.show(
      all.filter((row) => {
        const text = [row.id, row.name, row.email, row.purpose, row.operator].join(" ").toLowerCase();
        return words.every((word) => text.includes(word)) && (only.value === "" || row.state === only.value);
      }),
    );
    const n = all.filter((row) => row.state === "pending").length;
    put(waiting, n > 0 ? count("admin.keys.waiting", n) : "");
    verdict.tell("keys", n > 0 ? [{ text: count("admin.verdict.keys", n), href: "#keys" }] : []);
  }

  /** @param {KeyRow} row */
  function acts(row) {
    if (row.state !== "pending" && row.state !== "live") return "";
    return h(
      "div",
      { class: "row" },
      row.state === "pending" &&
        h(
          "button",
          {
            type: "button",
            class: "primary",
            "data-act": `approve:${row.id}`,
            "aria-label": t("admin.keys.approve.one", { name: row.name }),
            onclick: () =>
              done(
                () => post(`/api/v2/keys/${encodeURIComponent(row.id)}/approve`),
                t("admin.keys.approve.done", { name: row.name }),
              ),
          },
          t("admin.keys.approve"),
        ),
      h(
        "button",
        {
          type: "button",
          class: "danger",
          "data-act": `revoke:${row.id}`,
          "aria-label": t("admin.keys.revoke.one", { name: row.name }),
          onclick: async () => {
            const isSure = await confirmed(
              t("admin.keys.revoke.ask", { name: row.name }),
              t("consumers.own.revoke.what"),
              t("admin.keys.revoke"),
            );
            if (isSure)
              await done(
                () => del(`/api/v2/keys/${encodeURIComponent(row.id)}`),
                t("admin.keys.revoke.done", { name: row.name }),
              );
          },
        },
        t("admin.keys.revoke"),
      ),
    );
  }

  /** @param {() => Promise<unknown>} act @param {string} said */
  async function done(act, said) {
    try {
      await act();
      put(trouble);
      await ask();
      shell.announce(said);
    } catch (error) {
      put(trouble, failure(error));
    }
  }

  async function ask() {
    all = (await get("/api/v2/keys")).items;
    draw();
  }

  return { element, ask, everyMs: 10_000 };
}

/** @param {string | null} at */
const instant = (at) => (at ? h("time", { datetime: at, title: moment(at) }, ago(at)) : "–");
