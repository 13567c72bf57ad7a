/**
 * One stream: what is said on it, in either direction.
 */

import { code } from "../../base/code.js";
import { resolved } from "../../base/contract.js";
import { h } from "../../base/dom.js";
import { blocks, inline } from "../../base/markdown.js";
import { t } from "../../base/words.js";
import { heading } from "./heading.js";
import { typed } from "./schema.js";

/** @typedef {import("../../base/contract.js").Document} Document */
/** @typedef {{id: string, name: string, summary: string, payload: Record<string, any>, example: unknown}} Message */
/**
 * @typedef {object} Channel
 * @property {string} id
 * @property {string} address
 * @property {string} title
 * @property {string} description
 * @property {boolean} isSocket
 * @property {Message[]} messages
 * @property {Set<string>} said ids of those that a client may say
 */

const CONSOLE = new Set(["streamV1", "streamV2", "eventsV2"]);

/** @param {Document} document @returns {Channel[]} */
export function channels(document) {
  return Object.entries(/** @type {Document} */ (document["channels"])).map(([id, channel]) => ({
    id,
    address: channel.address,
    title: channel.title ?? "",
    description: channel.description ?? "",
    isSocket: channel.bindings?.ws !== undefined,
    messages: Object.entries(channel.messages).map(([key, node]) => message(key, resolved(document, node))),
    said: said(document, id),
  }));
}

/** @param {string} id @param {any} node @returns {Message} */
function message(id, node) {
  return {
    id,
    name: node.name,
    summary: node.summary ?? "",
    payload: node.payload ?? {},
    example: node.examples?.[0]?.payload,
  };
}

/** Messages that the server receives on a channel. @param {Document} document @param {string} channel */
function said(document, channel) {
  const ids = new Set();
  for (const operation of Object.values(/** @type {Document} */ (document["operations"]))) {
    if (operation.action !== "receive" || !operation.channel.$ref.endsWith(`/${channel}`)) continue;
    for (const node of operation.messages ?? []) ids.add(node.$ref.split("/").at(-1));
  }
  return ids;
}

/** @param {Document} _document @param {Channel} channel */
export function drawnChannel(_document, channel) {
  const id = `stream-${channel.id}`;
  /** @param {boolean} isSaid */
  const side = (isSaid) => channel.messages.filter((each) => channel.said.has(each.id) === isSaid);
  return h(
    "div",
    {},
    heading(id, channel.isSocket ? "WS" : "SSE", channel.address),
    h("p", { class: "summary" }, channel.title),
    blocks(channel.description),
    CONSOLE.has(channel.id) &&
      h("p", { class: "row small" }, h("a", { href: `/console#${channel.id}` }, t("docs.try"))),
    listed(t("docs.told"), side(false)),
    listed(t("docs.said"), side(true)),
  );
}

/** @param {string} heading @param {Message[]} messages */
function listed(heading, messages) {
  if (messages.length === 0) return null;
  return h(
    "div",
    {},
    h("h4", {}, heading),
    h(
      "dl",
      { class: "said" },
      messages.map((each) =>
        h(
          "div",
          {},
          h("dt", {}, h("code", {}, each.name), " ", typed(each.payload)),
          h(
            "dd",
            {},
            inline(each.summary),
            each.example !== undefined &&
              h(
                "details",
                {},
                h("summary", {}, t("docs.example")),
                code(`${t("docs.example")} ${each.name}`, "json", JSON.stringify(each.example, null, 2)),
              ),
          ),
        ),
      ),
    ),
  );
}
