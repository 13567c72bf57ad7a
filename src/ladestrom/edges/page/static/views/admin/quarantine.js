/**
 * What came and could not be read: looked at as it came, and read again.
 */

import { get, post, send } from "../../base/api.js";
import { h, put } from "../../base/dom.js";
import { failure } from "../../base/shell.js";
import { table } from "../../base/table.js";
import { ago, bytes, moment, t } from "../../base/words.js";

/** @typedef {{id: string, source: string, protocol: string, at: string | null, bytes: number, code: string, detail: string}} Unread */

/** @param {import("../../base/shell.js").Shell} shell @returns {import("../admin.js").Part} */
export function quarantine(shell) {
  const said = h("div");
  /** @type {import("../../base/table.js").Column<Unread>[]} */
  const columns = [
    {
      label: t("admin.quarantine.at"),
      order: (row) => row.at,
      cell: (row) => (row.at ? h("time", { datetime: row.at, title: moment(row.at) }, ago(row.at)) : "–"),
    },
    {
      label: t("admin.sources.source"),
      head: true,
      order: (row) => row.source,
      cell: (row) => [row.source, h("span", { class: "quiet more" }, row.protocol)],
    },
    {
      label: t("admin.quarantine.why"),
      order: (row) => row.code,
      cell: (row) => [h("code", {}, row.code), h("span", { class: "quiet more" }, row.detail)],
    },
    { label: t("admin.quarantine.size"), number: true, order: (row) => row.bytes, cell: (row) => bytes(row.bytes) },
    {
      label: t("admin.act"),
      cell: (row) =>
        h(
          "div",
          { class: "row" },
          h(
            "button",
            { type: "button", "data-act": `save:${row.id}`, onclick: () => done(() => save(row)) },
            t("admin.quarantine.save"),
          ),
          h(
            "button",
            { type: "button", "data-act": `again:${row.id}`, onclick: () => done(() => again(row)) },
            t("admin.quarantine.again"),
          ),
        ),
    },
  ];
  const shown = table(columns, { caption: t("admin.quarantine"), empty: t("admin.quarantine.empty"), quiet: true });
  const element = h("div", {}, said, shown.element);

  /** @param {() => Promise<void>} act */
  async function done(act) {
    try {
      await act();
    } catch (error) {
      put(said, failure(error));
    }
  }

  /** @param {Unread} row */
  async function save(row) {
    const response = await send("GET", `/api/v2/admin/quarantine/${encodeURIComponent(row.id)}`);
    const address = URL.createObjectURL(await response.blob());
    h("a", { href: address, download: `${row.id}.bin` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
    put(said);
  }

  /** @param {Unread} row */
  async function again(row) {
    const { accepted, unchanged, refused } = await post(
      `/api/v2/admin/quarantine/${encodeURIComponent(row.id)}/replay`,
    );
    const text = t("admin.quarantine.taken", { accepted, unchanged, refused });
    put(said, h("p", { class: "notice good" }, text));
    shell.announce(text);
    await ask();
  }

  async function ask() {
    shown.show((await get("/api/v2/admin/quarantine")).items);
  }

  return { element, ask, everyMs: 10_000 };
}
