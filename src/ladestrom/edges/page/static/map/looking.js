/** What is in view: the viewpoint that shows all, the stations that are seen, the places they are in. */

import { WORLD_PX, latitudeOf, longitudeOf, visit, LEVEL_MAX } from "./hierarchy.js";
import { LISTED_MAX } from "./list.js";

/** @typedef {import("./hierarchy.js").Hierarchy} Hierarchy */
/** @typedef {import("./tallies.js").Tallies} Tallies */
/** @typedef {import("./ground.js").Viewpoint} Viewpoint */
/** @typedef {{left: number, top: number, right: number, bottom: number}} Box in shares of the world */

/** Where one looks before stations are known. @type {Viewpoint} */
const EUROPE = { lon: 10, lat: 56, zoom: 3.6 };
const PADDING_PX = [50, 76];
/** Beside and above: legend and field lie there. */
const WHOLE_ZOOM_MAX = 13;
const EARTH_KM = 6_371;

/**
 * The viewpoint from which all stations are seen.
 *
 * @param {HTMLElement} container
 * @param {Hierarchy | null} hierarchy
 * @returns {Viewpoint}
 */
export function viewpointOf(container, hierarchy) {
  if (!hierarchy || hierarchy.stations === 0) return EUROPE;
  const { left, top, width, height } = hierarchy.levels[LEVEL_MAX];
  const roomX = Math.max(100, container.clientWidth - 2 * PADDING_PX[0]);
  const roomY = Math.max(100, container.clientHeight - 2 * PADDING_PX[1]);
  const zoom = Math.min(Math.log2(roomX / (width * WORLD_PX)), Math.log2(roomY / (height * WORLD_PX)));
  return { lon: longitudeOf(left + width / 2), lat: latitudeOf(top + height / 2), zoom: Math.min(WHOLE_ZOOM_MAX, Math.max(1.5, zoom)) };
}

/** Where a node is. @param {Hierarchy} hierarchy @param {number} node */
export function placeOf(hierarchy, node) {
  return { lon: longitudeOf(hierarchy.x[node]), lat: latitudeOf(hierarchy.y[node]) };
}

/**
 * Rows of the stations in a box that are shown, those nearest first, at most `LISTED_MAX`.
 *
 * @param {Hierarchy} hierarchy
 * @param {Tallies} tallies
 * @param {Box | null} box null for the whole world
 * @param {{x: number, y: number} | null} from in shares of the world; null for the middle of the box
 */
export function stationsInView(hierarchy, tallies, box, from = null) {
  const whole = box ?? { left: 0, top: 0, right: 1, bottom: 1 };
  const level = hierarchy.levels[LEVEL_MAX];
  const middleX = from ? from.x : box ? (box.left + box.right) / 2 : level.left + level.width / 2;
  const middleY = from ? from.y : box ? (box.top + box.bottom) / 2 : level.top + level.height / 2;
  const { x, y } = hierarchy;
  let inView = 0;
  /** @type {[number, number][]} */
  let nearest = [];
  let reach = Infinity;
  const take = (/** @type {number} */ row) => {
    if (!tallies.isShown(row) || x[row] < whole.left || x[row] > whole.right || y[row] < whole.top || y[row] > whole.bottom) return;
    inView += 1;
    const distance = (x[row] - middleX) ** 2 + (y[row] - middleY) ** 2;
    if (distance >= reach) return;
    nearest.push([row, distance]);
    if (nearest.length < LISTED_MAX * 4) return;
    nearest = cut(nearest);
    reach = nearest[nearest.length - 1][1];
  };
  visit(level, whole, (node) => {
    if (node < hierarchy.stations) take(node);
    else for (let one = hierarchy.child[node]; one >= 0; one = hierarchy.sibling[one]) take(one);
  });
  return { rows: cut(nearest).map(([row]) => row), inView };
}

/**
 * Stations in a box by state, whether that state is shown or not, and their EVSEs by group.
 *
 * @param {Hierarchy} hierarchy
 * @param {Tallies} tallies
 * @param {Box | null} box null for the whole world
 */
export function countsInView(hierarchy, tallies, box) {
  const whole = box ?? { left: 0, top: 0, right: 1, bottom: 1 };
  const { x, y } = hierarchy;
  const byState = [0, 0, 0, 0, 0];
  const groups = [0, 0, 0, 0];
  const take = (/** @type {number} */ row) => {
    if (x[row] < whole.left || x[row] > whole.right || y[row] < whole.top || y[row] > whole.bottom) return;
    const state = tallies.stateOf(row);
    if (state < 0) return;
    byState[state] += 1;
    if (tallies.states[state]) for (let group = 0; group < 4; group++) groups[group] += tallies.held[row * 4 + group];
  };
  visit(hierarchy.levels[LEVEL_MAX], whole, (node) => {
    if (node < hierarchy.stations) take(node);
    else for (let one = hierarchy.child[node]; one >= 0; one = hierarchy.sibling[one]) take(one);
  });
  return { byState, groups };
}

/** Kilometres between two places, as the crow flies. @param {{lon: number, lat: number}} one @param {{lon: number, lat: number}} other */
export function kilometres(one, other) {
  const radians = Math.PI / 180;
  const a =
    Math.sin(((other.lat - one.lat) * radians) / 2) ** 2 +
    Math.cos(one.lat * radians) * Math.cos(other.lat * radians) * Math.sin(((other.lon - one.lon) * radians) / 2) ** 2;
  return 2 * EARTH_KM * Math.asin(Math.min(1, Math.sqrt(a)));
}

/** @param {[number, number][]} nearest */
function cut(nearest) {
  return nearest.toSorted((one, other) => one[1] - other[1]).slice(0, LISTED_MAX);
}
