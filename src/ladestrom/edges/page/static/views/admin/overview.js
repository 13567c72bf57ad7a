/**
 * The process: whether it works, how big it is, where its log stands.
 */

import { get } from "../../base/api.js";
import { h, put } from "../../base/dom.js";
import { bytes, moment, named, number, percent, span, t } from "../../base/words.js";

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
 * @property {{total_bytes: number, free_bytes: number} | null} disk
 * @property {Record<string, string>} reasons
 * @property {{stations: number, evses: number}} board
 * @property {{total: number, channels: number, bytes_out: number, frames: number}} consumers
 */

const DISK_SHARE = 0.85;
/** A disk that is fuller is told of. */

/** @param {import("./verdict.js").Verdict} verdict @returns {import("../admin.js").Part} */
export function overview(verdict) {
  const element = h("div");

  /** @param {Overview} told */
  function show(told) {
    const { log, store, board, consumers, disk } = told;
    const used = disk && disk.total_bytes > 0 ? 1 - disk.free_bytes / disk.total_bytes : null;
    const reasons = Object.entries(told.reasons);
    verdict.tell(
      "process",
      reasons.map(([check, reason]) => ({
        text: t("admin.verdict.notready", { check: named("check", check), reason }),
        href: "#overview",
      })),
    );
    verdict.tell(
      "disk",
      used !== null && used >= DISK_SHARE ? [{ text: t("admin.verdict.disk", { share: percent(used) }), href: "#overview" }] : [],
    );
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
      reasons.map(([check, reason]) => h("p", { class: "bad" }, `${named("check", check)}: `, h("span", { lang: "en" }, reason))),
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
        disk &&
          fact(
            t("admin.disk"),
            percent(used),
            t("admin.disk.free", { free: bytes(disk.free_bytes), all: bytes(disk.total_bytes) }),
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
