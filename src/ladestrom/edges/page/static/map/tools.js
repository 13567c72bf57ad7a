/** Buttons on the map: nearer, farther, all of it, where I am. */

import { h, svg } from "../base/dom.js";
import { t } from "../base/words.js";

/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {import("./ground.js").Viewpoint} Viewpoint */

const NEAR_ZOOM = 12.5;
const POSITION_WAIT_MS = 15_000;

/**
 * @param {Scene} scene
 * @param {() => Viewpoint | null} whole
 * @param {(at: {lon: number, lat: number}) => void} found told where the visitor is
 * @param {(text: string) => void} told
 */
export function tools(scene, whole, found, told) {
  const { map } = scene.ground;
  const all = () => {
    const viewpoint = whole();
    if (viewpoint) scene.go(viewpoint);
  };
  // Who has allowed it before is not asked again.
  void navigator.permissions?.query({ name: "geolocation" }).then(
    ({ state }) => state === "granted" && navigator.geolocation.getCurrentPosition(({ coords }) => found({ lon: coords.longitude, lat: coords.latitude }), () => undefined, { maximumAge: 60_000 }),
    () => undefined,
  );
  return h(
    "div",
    { class: "tools", role: "group", "aria-label": t("map.tools") },
    button(t("map.zoom.in"), "M12 5v14M5 12h14", () => map.zoomIn()),
    button(t("map.zoom.out"), "M5 12h14", () => map.zoomOut()),
    button(t("map.whole"), "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5", all),
    "geolocation" in navigator && button(t("map.near"), "M12 2v4M12 18v4M2 12h4M18 12h4M12 7a5 5 0 1 0 0 10a5 5 0 0 0 0-10", () => near(scene, found, told)),
  );
}

/**
 * @param {Scene} scene
 * @param {(at: {lon: number, lat: number}) => void} found
 * @param {(text: string) => void} told
 */
function near(scene, found, told) {
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => {
      const at = { lon: coords.longitude, lat: coords.latitude };
      found(at);
      scene.go({ ...at, zoom: NEAR_ZOOM });
    },
    () => told(t("map.near.failed")),
    { timeout: POSITION_WAIT_MS, maximumAge: 60_000 },
  );
}

/** @param {string} label @param {string} path @param {() => void} pressed */
function button(label, path, pressed) {
  return h(
    "button",
    { type: "button", "aria-label": label, title: label, onclick: pressed },
    svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: path })),
  );
}
