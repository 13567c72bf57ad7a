/** Makes the hierarchy of clusters beside the page: it takes some tenths of a second for a whole continent. */

import { build } from "./hierarchy.js";

self.onmessage = (/** @type {MessageEvent<{lon: Int32Array, lat: Int32Array}>} */ event) => {
  self.postMessage(build(event.data.lon, event.data.lat));
};
