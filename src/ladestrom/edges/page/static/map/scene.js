/** The ground and the markers on it, as one: how it moves, what is under the pointer, its colours. */

import { h } from "../base/dom.js";
import { language, number, t } from "../base/words.js";
import { Ground, ZOOM_MAX, colour, lay } from "./ground.js";
import { LEVEL_MAX, latitudeOf, longitudeOf, stationsOf, xOf, yOf } from "./hierarchy.js";
import { placeOf } from "./looking.js";
import { Markers } from "./markers.js";

/** @typedef {import("./board.js").Board} Board */
/** @typedef {import("./hierarchy.js").Hierarchy} Hierarchy */
/** @typedef {import("./markers.js").Mark} Mark */
/** @typedef {import("./ground.js").Viewpoint} Viewpoint */
/** @typedef {{x: number, y: number}} Point */
/**
 * @typedef {object} Listener
 * @property {() => void} moved
 * @property {(mark: Mark) => void} pressed
 * @property {(mark: Mark | null, point: Point) => void} over
 */

const PALETTE = /** @type {const} */ (["available", "partly", "occupied", "faulty", "unknown", "accent", "surface", "text"]);
const FLIGHT_MS = 900;
const ENTER_PADDING_PX = 90;
export const PHONE_PX = 720;
/** Up to this width the panel comes from below, as the style sheet has it. */
const COVERED = 0.22;
const SEEN_PX = 40;
const STILL = 1e-4;
const clamp = (/** @type {number} */ value, /** @type {number} */ least, /** @type {number} */ most) => Math.min(Math.max(value, least), Math.max(least, most));

export class Scene {
  /**
   * @param {HTMLElement} container
   * @param {{viewpoint: Promise<Viewpoint>, tiles: string, attribution: string, tilesFailed: () => void}} options
   * @throws {Error} WebGL 2 is not there
   */
  static async set(container, { attribution, ...options }) {
    if (!document.createElement("canvas").getContext("webgl2")) throw new Error("WebGL 2 is not there");
    const ground = await lay(container, {
      ...options,
      language,
      locale: { "Map.Title": t("map.title") },
    });
    const credits = h("p", { class: "credits" }, [attribution, "GeoNames", "Natural Earth"].filter(Boolean).join(" · "));
    const canvas = h("canvas", { class: "markers", "aria-hidden": "true" });
    ground.map.getCanvasContainer().after(canvas);
    container.append(credits);
    return new Scene(ground, canvas);
  }

  /** @param {Ground} ground @param {HTMLCanvasElement} canvas */
  constructor(ground, canvas) {
    this.ground = ground;
    const { map } = ground;
    const point = number(1.5)[1];
    this.markers = new Markers(
      canvas,
      () => {
        const { lng, lat } = map.getCenter();
        return { x: xOf(lng), y: yOf(lat), zoom: map.getZoom() };
      },
      point,
    );
    /** @type {Hierarchy | null} */
    this._hierarchy = null;
    this.markers.resize();
    this._paint();
    map.on("resize", () => this.markers.resize());
    map.on("render", () => map.isMoving() && this.markers.draw());
    map.on("moveend", () => this.markers.stale());
    /** @type {{lon: number, lat: number} | null} */
    this._here = null;
    this._dot = h("div", { class: "here", role: "img", "aria-label": t("map.here"), hidden: true });
    map.getCanvasContainer().parentElement?.append(this._dot);
    map.on("move", () => this._place());
    map.on("resize", () => this._place());
  }

  /** Shows where the visitor is. @param {{lon: number, lat: number}} at */
  stand(at) {
    this._here = at;
    this._dot.hidden = false;
    this._place();
  }

  _place() {
    if (!this._here) return;
    const { x, y } = this.ground.map.project([this._here.lon, this._here.lat]);
    this._dot.style.translate = `${x}px ${y}px`;
  }

  /** @param {Board} board */
  show({ hierarchy, tallies }) {
    if (!hierarchy || !tallies) return;
    this._hierarchy = hierarchy;
    this.markers.show(hierarchy, tallies);
  }

  /** Takes the page's colours as they are now. */
  repaint() {
    this.ground.repaint();
    this._paint();
  }

  _paint() {
    this.markers.paint(/** @type {import("./canvas.js").Palette} */ (Object.fromEntries(PALETTE.map((name) => [name, colour(name)]))));
  }

  /** @returns {Viewpoint} */
  viewpoint() {
    const { lng, lat } = this.ground.map.getCenter();
    return { lon: lng, lat, zoom: this.ground.map.getZoom() };
  }

  /** What is in view, in shares of the world. */
  box() {
    const bounds = this.ground.map.getBounds();
    return { left: xOf(bounds.getWest()), right: xOf(bounds.getEast()), top: yOf(bounds.getNorth()), bottom: yOf(bounds.getSouth()) };
  }

  /** @param {Viewpoint} viewpoint @param {[number, number]} [offset] pixels from the middle, where it shall be */
  go({ lon, lat, zoom }, offset = [0, 0]) {
    this.ground.map.flyTo({ center: [lon, lat], zoom, offset, duration: FLIGHT_MS });
  }

  /** Is there at once. @param {Viewpoint} viewpoint */
  jump({ lon, lat, zoom }) {
    const { map } = this.ground;
    const now = map.getCenter();
    if (Math.abs(now.lng - lon) + Math.abs(now.lat - lat) + Math.abs(map.getZoom() - zoom) > STILL) map.jumpTo({ center: [lon, lat], zoom });
  }

  /**
   * Moves the map as far as it needs for a place not to lie beneath a sheet.
   *
   * @param {{lon: number, lat: number}} place
   * @param {HTMLElement} sheet
   */
  reveal({ lon, lat }, sheet) {
    const { map } = this.ground;
    const canvas = map.getCanvas().getBoundingClientRect();
    const over = sheet.getBoundingClientRect();
    const { x, y } = map.project([lon, lat]);
    const isBelow = over.width > canvas.width * 0.8;
    const room = isBelow
      ? { left: SEEN_PX, right: canvas.width - SEEN_PX, top: SEEN_PX * 3, bottom: Math.max(SEEN_PX * 4, over.top - canvas.top - SEEN_PX) }
      : { left: SEEN_PX, right: Math.max(SEEN_PX, over.left - canvas.left - SEEN_PX), top: SEEN_PX, bottom: canvas.height - SEEN_PX };
    const isNear = x > -canvas.width && x < 2 * canvas.width && y > -canvas.height && y < 2 * canvas.height;
    const by = /** @type {[number, number]} */ ([x - clamp(x, room.left, room.right), y - clamp(y, room.top, room.bottom)]);
    if (isNear && (by[0] || by[1])) map.panBy(by, { duration: FLIGHT_MS / 3 });
  }

  /**
   * Goes to a station, at least so near, and leaves room for the panel that lies on the map.
   *
   * @param {Hierarchy} hierarchy
   * @param {number} row
   * @param {number} zoom
   */
  fly(hierarchy, row, zoom) {
    const { map } = this.ground;
    const { clientWidth: width, clientHeight: height } = map.getCanvas();
    /** @type {[number, number]} */
    const offset = width <= PHONE_PX ? [0, -height * COVERED] : [0, 0];
    this.go({ ...placeOf(hierarchy, row), zoom: Math.max(zoom, map.getZoom()) }, offset);
  }

  /**
   * Goes so near to a cluster that it falls apart; false where it never does.
   *
   * @param {number} node
   */
  enter(node) {
    const hierarchy = this._hierarchy;
    if (!hierarchy || hierarchy.level[node] >= LEVEL_MAX) return false;
    let [left, top, right, bottom] = [1, 1, 0, 0];
    stationsOf(hierarchy, node, (station) => {
      left = Math.min(left, hierarchy.x[station]);
      right = Math.max(right, hierarchy.x[station]);
      top = Math.min(top, hierarchy.y[station]);
      bottom = Math.max(bottom, hierarchy.y[station]);
    });
    const southWest = /** @type {[number, number]} */ ([longitudeOf(left), latitudeOf(bottom)]);
    const northEast = /** @type {[number, number]} */ ([longitudeOf(right), latitudeOf(top)]);
    this.ground.map.fitBounds([southWest, northEast], {
      padding: ENTER_PADDING_PX,
      duration: FLIGHT_MS,
      maxZoom: Math.min(ZOOM_MAX, Math.max(hierarchy.level[node] + 1.2, this.ground.map.getZoom())),
    });
    return true;
  }

  /** @param {Listener} listener */
  listen({ moved, pressed, over }) {
    const { map } = this.ground;
    map.on("moveend", moved);
    map.on("click", ({ point }) => {
      const mark = this.markers.at(point.x, point.y);
      if (mark) pressed(mark);
    });
    map.on("mousemove", ({ point }) => {
      const mark = map.isMoving() ? null : this.markers.at(point.x, point.y);
      map.getCanvas().style.cursor = mark ? "pointer" : "";
      over(mark, point);
    });
    map.on("mouseout", ({ point }) => over(null, point));
  }
}
