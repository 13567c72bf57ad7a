/**
 * What the address says of the map: where one looks, what is chosen, which station is open.
 */

import { fromQuery, intoQuery } from "./filters.js";

/** @typedef {import("./filters.js").Choice} Choice */
/** @typedef {import("./ground.js").Viewpoint} Viewpoint */
/** @typedef {{viewpoint: Viewpoint | null, choice: Choice, station: string}} Place */

/** @returns {Place} */
export function read() {
  const query = new URLSearchParams(location.search);
  const [lat, lon, zoom] = ["lat", "lon", "z"].map((name) => (query.get(name) ? Number(query.get(name)) : NaN));
  const isThere = Math.abs(lat) <= 85 && Math.abs(lon) <= 180 && zoom >= 0 && zoom <= 22;
  return { viewpoint: isThere ? { lat, lon, zoom } : null, choice: fromQuery(query), station: query.get("station") ?? "" };
}

/**
 * The address of a place.
 *
 * @param {Place} place
 */
export function addressOf({ viewpoint, choice, station }) {
  const query = new URLSearchParams();
  if (viewpoint) {
    query.set("lat", viewpoint.lat.toFixed(5));
    query.set("lon", viewpoint.lon.toFixed(5));
    query.set("z", viewpoint.zoom.toFixed(2));
  }
  intoQuery(choice, query);
  if (station) query.set("station", station);
  const text = query.toString().replaceAll("%2C", ",");
  return text ? `${location.pathname}?${text}` : location.pathname;
}

/**
 * Writes a place into the address; one that is `pushed` is left again by going back.
 *
 * @param {Place} place
 * @param {boolean} [pushed]
 */
export function write(place, pushed = false) {
  const address = addressOf(place);
  if (address === location.pathname + location.search) return;
  if (pushed) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}
