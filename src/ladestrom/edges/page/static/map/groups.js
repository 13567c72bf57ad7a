/**
 * What a driver can do with an EVSE, and what that makes of a station. Also the marks of it.
 */

/** @typedef {"available" | "occupied" | "faulty" | "unknown"} Group */
/** @typedef {"available" | "partly" | "occupied" | "faulty" | "unknown"} StationState */

/** In the order in which rings show them, from the top clockwise. @type {readonly Group[]} */
export const GROUPS = ["available", "occupied", "faulty", "unknown"];

/** @type {readonly StationState[]} */
export const STATES = ["available", "partly", "occupied", "faulty", "unknown"];

const MOSTLY = 0.5;
/** From this share of free EVSEs on a station counts as available. */

/** @type {Record<string, Group | null>} */
const GROUP_OF = {
  AVAILABLE: "available",
  CHARGING: "occupied",
  BLOCKED: "occupied",
  RESERVED: "occupied",
  INOPERATIVE: "faulty",
  OUTOFORDER: "faulty",
  UNKNOWN: "unknown",
  PLANNED: null,
  REMOVED: null,
};

/**
 * The group of an EVSE; null for one that is not listed.
 *
 * @param {{status: string, error: number}} evse
 * @returns {Group | null}
 */
export function groupOf({ status, error }) {
  const group = GROUP_OF[status] ?? null;
  return group && error ? "faulty" : group;
}

/** Its place in `GROUPS`; -1 for one that is not listed. @param {{status: string, error: number}} evse */
export function groupIndex(evse) {
  const group = groupOf(evse);
  return group ? GROUPS.indexOf(group) : -1;
}

/**
 * The state of a station, as an index of `STATES`; -1 where none of its EVSEs is listed.
 *
 * @param {number} available
 * @param {number} occupied
 * @param {number} faulty
 * @param {number} unknown
 */
export function stateIndex(available, occupied, faulty, unknown) {
  const all = available + occupied + faulty + unknown;
  if (all <= 0) return -1;
  if (available > 0) return available / all >= MOSTLY ? 0 : 1;
  if (occupied > 0) return 2;
  return faulty >= unknown ? 3 : 4;
}
