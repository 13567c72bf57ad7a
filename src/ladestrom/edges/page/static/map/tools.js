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
 * @param {(text: string) => void} told
 */
export function tools(scene, whole, told) {
  const { map } = scene.ground;
  const all = () => {
    const viewpoint = whole();
    if (viewpoint) scene.go(viewpoint);
  };
  return h(
    "div",
    { class: "tools", role: "group", "aria-label": t("map.tools") },
    button(t("map.zoom.in"), "M12 5v14M5 12h14", () => map.zoomIn()),
    button(t("map.zoom.out"), "M5 12h14", () => map.zoomOut()),
    button(t("map.whole"), "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5", all),
    "geolocation" in navigator && button(t("map.near"), "M12 2v4M12 18v4M2 12h4M18 12h4M12 7a5 5 0 1 0 0 10a5 5 0 0 0 0-10", () => near(scene, told)),
  );
}

/** @param {Scene} scene @param {(text: string) => void} told */
function near(scene, told) {
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => scene.go({ lon: coords.longitude, lat: coords.latitude, zoom: NEAR_ZOOM }),
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
