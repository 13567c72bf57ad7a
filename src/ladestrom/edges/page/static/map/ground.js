/**
 * The ground beneath the markers: MapLibre with outlines that the page brings itself, or the operator's tiles.
 *
 * Knows how the map moves; knows no stations. The library comes when it is needed, not with the page.
 */

import { decoded } from "./topology.js";
import { style } from "./style.js";

/** @typedef {import("../vendor/maplibre-gl.mjs").Map} MapLibre */
/** @typedef {import("./topology.js").Topology} Topology */
/** @typedef {import("./style.js").Tiles} Tiles */
/** @typedef {{name: string, at: [number, number], stations: number}} Place */
/** @typedef {{lon: number, lat: number, zoom: number}} Viewpoint */

export const ZOOM_MAX = 18;
const ZOOM_MIN = 1.5;
const FINE_ZOOM = 5.2;
/** From here on one sees that the outlines of the first view are coarse. */
const COLOURS = /** @type {const} */ (["water", "land", "border", "line", "quiet", "text", "sunken", "surface", "page"]);
/** Short names of the outlines' source that are not those of the browser. @type {Record<string, string>} */
const CODES = { "Bosnia and Herz.": "BA", Macedonia: "MK", Czechia: "CZ", "Faeroe Is.": "FO", "Dem. Rep. Congo": "CD", "Dominican Rep.": "DO", "Central African Rep.": "CF", "S. Sudan": "SS", "W. Sahara": "EH", "United States of America": "US", "Côte d'Ivoire": "CI", Turkey: "TR", "Eq. Guinea": "GQ", "Åland": "AX" };

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
  const [library, coarse, tiles, viewpoint] = await Promise.all([
    import("../vendor/maplibre-gl.mjs"),
    outlines("countries-coarse.json"),
    tilesOf(address).catch(() => (tilesFailed(), null)),
    told,
    sheet("maplibre-gl.css"),
  ]);
  if (tiles?.protocol) library.addProtocol("pmtiles", tiles.protocol);
  library.setWorkerCount(1);
  const map = new library.Map({
    container,
    style: style(colours(), tiles, language),
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
  let isTold = false;
  map.on("error", ({ error }) => {
    if (!address) console.warn(error);
    else if (!isTold) tilesFailed();
    isTold = address !== "";
  });
  return new Ground(map, coarse, tiles, language);
}

export class Ground {
  /**
   * @param {MapLibre} map
   * @param {Topology} coarse
   * @param {Tiles | null} tiles
   * @param {string} language
   */
  constructor(map, coarse, tiles, language) {
    this.map = map;
    this._tiles = tiles;
    this._language = language;
    this._drawn = decoded(coarse, "countries");
    this._countries = named(this._drawn.labels, language);
    /** @type {Place[]} */
    this._places = [];
    this._isFine = false;
    this._isLoaded = false;
    map.once("load", () => {
      this._isLoaded = true;
      this.repaint();
      this._fill();
    });
    map.on("moveend", () => this._refine());
    this._refine();
  }

  /** Shows names of these places, those with many stations first. @param {Place[]} places */
  name(places) {
    this._places = places;
    this._fillNames();
  }

  /** Takes the page's colours as they are now. */
  repaint() {
    if (!this._isLoaded) return;
    for (const layer of style(colours(), this._tiles, this._language).layers) {
      for (const [name, value] of Object.entries(/** @type {any} */ (layer).paint ?? {})) {
        this.map.setPaintProperty(layer.id, name, value);
      }
    }
  }

  async _refine() {
    if (this._isFine || this.map.getZoom() < FINE_ZOOM) return;
    this._isFine = true;
    try {
      const { labels } = this._drawn;
      this._drawn = { ...decoded(await outlines("countries-fine.json"), "countries"), labels };
      this._fill();
    } catch {
      this._isFine = false;
    }
  }

  _fill() {
    void this.map.getSource("land")?.setData(this._drawn.land);
    void this.map.getSource("borders")?.setData(this._drawn.borders);
    this._fillNames();
  }

  _fillNames() {
    const point = (/** @type {[number, number]} */ coordinates, /** @type {object} */ properties) => ({
      type: "Feature",
      properties,
      geometry: { type: "Point", coordinates },
    });
    void this.map.getSource("names")?.setData({
      type: "FeatureCollection",
      features: [
        ...this._countries.map(({ name, at }) => point(at, { kind: "country", name })),
        ...this._places.map(({ name, at, stations }) => point(at, { kind: "place", name, stations })),
      ],
    });
  }
}

function colours() {
  return /** @type {import("./style.js").Colours} */ (Object.fromEntries(COLOURS.map((name) => [name, colour(name)])));
}

/** @param {string} name @returns {Promise<Topology>} */
async function outlines(name) {
  const response = await fetch(new URL(`../vendor/${name}`, import.meta.url));
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return response.json();
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

/** The names of countries in a language; as the source writes them where it knows none. @param {{name: string, at: [number, number]}[]} labels @param {string} language */
function named(labels, language) {
  const english = new Intl.DisplayNames("en", { type: "region", fallback: "none" });
  const theirs = new Intl.DisplayNames(language, { type: "region", fallback: "none" });
  /** @type {Record<string, string>} */
  const codes = { ...CODES };
  const letters = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];
  for (const first of letters) {
    for (const second of letters) {
      const name = english.of(first + second);
      if (name) codes[name] ??= first + second;
    }
  }
  return labels.map(({ name, at }) => ({ name: (codes[name] && theirs.of(codes[name])) || name, at }));
}

/**
 * The tiles that the setting names; null for none.
 *
 * @param {string} address of an archive, or a template with {z}, {x} and {y}
 * @returns {Promise<(Tiles & {protocol?: any}) | null>}
 */
async function tilesOf(address) {
  if (!address) return null;
  const whole = address.startsWith("/") ? location.origin + address : address;
  const path = whole.split(/[?#]/)[0];
  if (!path.endsWith(".pmtiles")) {
    const kind = /\.(mvt|pbf)$/.test(path) ? "vector" : "raster";
    return { kind, source: { type: kind, tiles: [whole], tileSize: kind === "raster" ? 256 : 512, maxzoom: kind === "vector" ? 15 : 19 } };
  }
  await script("pmtiles.js");
  const { PMTiles, Protocol } = /** @type {any} */ (window).pmtiles;
  const archive = new PMTiles(whole);
  const header = await archive.getHeader();
  const protocol = new Protocol();
  protocol.add(archive);
  const kind = header.tileType === 1 ? "vector" : "raster";
  return { kind, source: { type: kind, url: `pmtiles://${whole}`, ...(kind === "raster" ? { tileSize: 256 } : {}) }, protocol: protocol.tile };
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
