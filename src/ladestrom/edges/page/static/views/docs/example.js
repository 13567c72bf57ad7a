/**
 * An operation as it is asked on this server: with a station that it has, where the contract has one of its own.
 */

import { get, key } from "../../base/api.js";
import { bodyExample } from "../../base/contract.js";

/** @typedef {import("../../base/contract.js").Operation} Operation */
/** @typedef {import("../../base/snippets.js").Call} Call */
/** @typedef {{uuid: string, country: string, evse: string}} Station */

/**
 * A station of this server; null where it has none, or none for this visitor.
 *
 * @param {string} known uuid of one that everybody may see; empty where there is none
 * @returns {Promise<Station | null>}
 */
export async function anyStation(known) {
  if (!known && !key()) return null;
  try {
    const uuid = known || (await get("/api/v2/stations?limit=1")).items[0].uuid;
    const found = await get(`/api/v2/stations/${encodeURIComponent(uuid)}`);
    return { uuid: found.uuid, country: found.country, evse: found.evses[0]?.evse ?? "" };
  } catch {
    return null;
  }
}

/** @param {Operation} operation @param {Station | null} station @returns {Call} */
export function callOf(operation, station) {
  /** @type {Record<string, string>} */
  const own = station ? { uuid: station.uuid, country: station.country, evse: station.evse } : {};
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name) => {
    const example = operation.parameters.find((each) => each.in === "path" && each.name === name)?.example ?? "";
    return encodeURIComponent(own[name] || example || name.toUpperCase());
  });
  const query = required(operation, "query")
    .map((each) => `${each.name}=${encodeURIComponent(each.example || each.name.toUpperCase())}`)
    .join("&");
  const headers = required(operation, "header").map((each) => [each.name, each.example]);
  return {
    kind: operation.kind === "socket" ? "rest" : operation.kind,
    method: operation.method,
    path: query ? `${path}?${query}` : path,
    ...(operation.body && { body: bodyExample(operation.body) }),
    ...(headers.length > 0 && { headers: Object.fromEntries(headers) }),
  };
}

/** @param {Operation} operation @param {"query" | "header"} place */
const required = (operation, place) => operation.parameters.filter((each) => each.in === place && each.required);
