/**
 * The process: whether it works, how big it is, where its log stands.
 */

import { get } from "../../base/api.js";
import { h, put } from "../../base/dom.js";
import { bytes, moment, number, span, t } from "../../base/words.js";

/**
 * @typedef {object} Overview what `/api/v2/admin` says
 * @property {string} version
 * @property {string | null} started_at
 * @property {number} uptime_s
 * @property {boolean} ready
 * @property {"full" | "relaxed" | "none"} durability
 * @property {number} memory_bytes
 * @property {{position: string, first_seq: number, last_seq: number, bytes: number, retention_days: number, retention_mib: number, checkpoint_seq: number}} log
 * @property {{address: string, revision: number}} store
 * @property {{stations: number, evses: number}} board
 * @property {{total: number, channels: number, bytes_out: number, frames: number}} consumers
 */

/** @returns {import("../admin.js").Part} */
export function overview() {
  const element = h("div");

  /** @param {Overview} told */
  function show(told) {
    const { log, store, board, consumers } = told;
    put(
      element,
      h(
        "p",
        { class: "row" },
        h(
          "span",
          { class: "badge", "data-tone": told.ready ? "good" : "bad" },
          t(told.ready ? "admin.ready" : "admin.notready"),
        ),
        h("span", { class: "quiet" }, t("shell.version", { version: told.version })),
      ),
      h(
        "dl",
        { class: "facts" },
        fact(t("admin.uptime"), span(told.uptime_s), told.started_at ? moment(told.started_at) : ""),
        fact(t("admin.memory"), bytes(told.memory_bytes)),
        fact(t("admin.board"), number(board.evses), t("admin.board.stations", { stations: board.stations })),
        fact(
          t("admin.consumers"),
          number(consumers.total),
          t("admin.consumers.out", {
            out: bytes(consumers.bytes_out),
            frames: consumers.frames,
            channels: consumers.channels,
          }),
        ),
        fact(
          t("admin.log"),
          bytes(log.bytes),
          t("admin.log.kept", { days: log.retention_days, most: bytes(log.retention_mib * 1_048_576) }),
        ),
        fact(
          t("admin.position"),
          h("code", {}, log.position),
          t("admin.position.of", {
            first: String(log.first_seq),
            last: String(log.last_seq),
            checkpoint: String(log.checkpoint_seq),
          }),
        ),
        fact(
          t("admin.durability"),
          told.durability,
          t(`admin.durability.${told.durability}`),
        ),
        fact(
          t("admin.store"),
          h("code", {}, store.address),
          t("admin.store.revision", { revision: String(store.revision) }),
        ),
      ),
    );
  }

  return { element, ask: async () => show(await get("/api/v2/admin")), everyMs: 2_000 };
}

/** @param {string} name @param {import("../../base/dom.js").Child} value @param {string} [more] */
const fact = (name, value, more) =>
  h(
    "div",
    {},
    h("dt", {}, name),
    h("dd", {}, h("span", { class: "value" }, value), more && h("span", { class: "quiet" }, more)),
  );
