/** What is in view: the viewpoint that shows all, the stations that are seen, the places they are in. */

import { WORLD_PX, latitudeOf, longitudeOf, visit, LEVEL_MAX } from "./hierarchy.js";
import { LISTED_MAX } from "./list.js";

/** @typedef {import("./hierarchy.js").Hierarchy} Hierarchy */
/** @typedef {import("./tallies.js").Tallies} Tallies */
/** @typedef {import("./board.js").Columns} Columns */
/** @typedef {import("./ground.js").Viewpoint} Viewpoint */
/** @typedef {{left: number, top: number, right: number, bottom: number}} Box in shares of the world */

/** Where one looks before stations are known. @type {Viewpoint} */
const EUROPE = { lon: 10, lat: 56, zoom: 3.6 };
const PADDING_PX = [50, 76];
/** Beside and above: legend and field lie there. */
const WHOLE_ZOOM_MAX = 13;
const PLACES_MAX = 2_000;

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
 * Rows of the stations in a box that are shown, those nearest to its middle first, at most `LISTED_MAX`.
 *
 * @param {Hierarchy} hierarchy
 * @param {Tallies} tallies
 * @param {Box | null} box null for the whole world
 */
export function stationsInView(hierarchy, tallies, box) {
  const whole = box ?? { left: 0, top: 0, right: 1, bottom: 1 };
  const level = hierarchy.levels[LEVEL_MAX];
  const middleX = box ? (box.left + box.right) / 2 : level.left + level.width / 2;
  const middleY = box ? (box.top + box.bottom) / 2 : level.top + level.height / 2;
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

/** @param {[number, number][]} nearest */
function cut(nearest) {
  return nearest.toSorted((one, other) => one[1] - other[1]).slice(0, LISTED_MAX);
}

/**
 * Cities with the middle of their stations, those with most first.
 *
 * @param {Columns} columns
 */
export function placeNames({ city, country, lon, lat }) {
  /** @type {Map<string, {name: string, lon: number, lat: number, stations: number}>} */
  const found = new Map();
  city.forEach((name, row) => {
    if (!name) return;
    const key = `${country[row]} ${name}`;
    const sum = found.get(key) ?? { name, lon: 0, lat: 0, stations: 0 };
    sum.lon += lon[row];
    sum.lat += lat[row];
    sum.stations += 1;
    found.set(key, sum);
  });
  return [...found.values()]
    .toSorted((one, other) => other.stations - one.stations)
    .slice(0, PLACES_MAX)
    .map(({ name, lon: sumLon, lat: sumLat, stations }) => ({
      name,
      stations,
      at: /** @type {[number, number]} */ ([sumLon / stations / 1e5, sumLat / stations / 1e5]),
    }));
}
