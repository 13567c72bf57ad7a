/**
 * The ground beneath the markers: MapLibre with the tiles that the page brings itself, and on them the operator's.
 *
 * Knows how the map moves; knows no stations. The library comes when it is needed, not with the page.
 */

import { style } from "./style.js";

/** @typedef {import("../vendor/maplibre-gl.mjs").Map} MapLibre */
/** @typedef {import("./style.js").Tiles} Tiles */
/** @typedef {{lon: number, lat: number, zoom: number}} Viewpoint */

export const ZOOM_MAX = 18;
const ZOOM_MIN = 1.5;
const COLOURS = /** @type {const} */ (["water", "land", "border", "line", "quiet", "text", "sunken", "surface", "page"]);
const OWN = "../ground/ground.pmtiles";

/** A page colour. @param {string} name */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/**
 * Draws the ground.
 *
 * @param {HTMLElement} container
 * @param {{viewpoint: Promise<Viewpoint>, tiles: string, language: string, locale: Record<string, string>,
 *   tilesFailed: () => void}} options
 * @throws {Error} WebGL 2 is not there, or the library cannot be had
 */
export async function lay(container, { viewpoint: told, tiles: address, language, locale, tilesFailed }) {
  const [library, archives, viewpoint] = await Promise.all([
    import("../vendor/maplibre-gl.mjs"),
    archivesOf(),
    told,
    sheet("maplibre-gl.css"),
  ]);
  const own = new URL(OWN, import.meta.url).href;
  const tiles = await archives.tiles(address).catch(() => (tilesFailed(), null));
  library.addProtocol("pmtiles", archives.protocol);
  library.setWorkerCount(1);
  const map = new library.Map({
    container,
    style: style(colours(), own, tiles, language),
    center: [viewpoint.lon, viewpoint.lat],
    zoom: viewpoint.zoom,
    minZoom: ZOOM_MIN,
    maxZoom: ZOOM_MAX,
    attributionControl: false,
    dragRotate: false,
    pitchWithRotate: false,
    touchPitch: false,
    rollEnabled: false,
    renderWorldCopies: false,
    fadeDuration: 0,
    locale,
  });
  map.touchZoomRotate.disableRotation();
  map.keyboard.disableRotation();
  const ground = new Ground(map, own, tiles, language);
  map.on("error", ({ error }) => {
    if (ground.forget()) tilesFailed();
    else console.warn(error);
  });
  return ground;
}

export class Ground {
  /**
   * @param {MapLibre} map
   * @param {string} own address of the page's own tiles
   * @param {Tiles | null} tiles
   * @param {string} language
   */
  constructor(map, own, tiles, language) {
    this.map = map;
    this._own = own;
    this._tiles = tiles;
    this._language = language;
    this._isLoaded = false;
    map.once("load", () => {
      this._isLoaded = true;
      this.repaint();
    });
  }

  /** Does without the operator's tiles; false where there are none. */
  forget() {
    if (!this._tiles) return false;
    this._tiles = null;
    this.map.setStyle(style(colours(), this._own, null, this._language));
    return true;
  }

  /** Takes the page's colours as they are now. */
  repaint() {
    if (!this._isLoaded) return;
    for (const layer of style(colours(), this._own, this._tiles, this._language).layers) {
      for (const [name, value] of Object.entries(/** @type {any} */ (layer).paint ?? {})) {
        this.map.setPaintProperty(layer.id, name, value);
      }
    }
  }
}

function colours() {
  return /** @type {import("./style.js").Colours} */ (Object.fromEntries(COLOURS.map((name) => [name, colour(name)])));
}

/** @param {string} name */
function sheet(name) {
  return new Promise((resolve, reject) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = new URL(`../vendor/${name}`, import.meta.url).href;
    link.onload = resolve;
    link.onerror = () => reject(new Error(`${name} cannot be loaded`));
    document.head.prepend(link);
  });
}

/** What reads archives of tiles. */
async function archivesOf() {
  await script("pmtiles.js");
  const { PMTiles, Protocol } = /** @type {any} */ (window).pmtiles;
  const protocol = new Protocol();
  return {
    protocol: protocol.tile,
    /**
     * The tiles that the setting names; null for none.
     *
     * @param {string} address of an archive, or a template with {z}, {x} and {y}
     * @returns {Promise<Tiles | null>}
     */
    async tiles(address) {
      if (!address) return null;
      const whole = address.startsWith("/") ? location.origin + address : address;
      const path = whole.split(/[?#]/)[0];
      if (!path.endsWith(".pmtiles")) {
        const kind = /\.(mvt|pbf)$/.test(path) ? "vector" : "raster";
        return { kind, source: { type: kind, tiles: [whole], tileSize: kind === "raster" ? 256 : 512, maxzoom: kind === "vector" ? 15 : 19 } };
      }
      const archive = new PMTiles(whole);
      const header = await archive.getHeader();
      protocol.add(archive);
      const kind = header.tileType === 1 ? "vector" : "raster";
      return { kind, source: { type: kind, url: `pmtiles://${whole}`, ...(kind === "raster" ? { tileSize: 256 } : {}) } };
    },
  };
}

/** @param {string} name */
function script(name) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = new URL(`../vendor/${name}`, import.meta.url).href;
    element.onload = resolve;
    element.onerror = () => reject(new Error(`${name} cannot be loaded`));
    document.head.append(element);
  });
}
