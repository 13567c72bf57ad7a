/**
 * The ground's style for MapLibre, in the colours of the page: land, lakes, borders and names of the page's own
 * tiles (`tools/ground.py`), and on them the operator's where there are some.
 *
 * Letters are drawn in the browser, as the style names no glyphs.
 */

/** @typedef {"vector" | "raster"} TileKind */
/**
 * @typedef {object} Tiles
 * @property {TileKind} kind
 * @property {object} source of the style
 */
/** @typedef {Record<"water" | "land" | "border" | "line" | "quiet" | "text" | "sunken" | "surface" | "page", string>} Colours */

const REGULAR = ["Noto Sans Regular"];
const STRONG = ["Noto Sans Medium"];
/** Ranks of places that are shown from each zoom on. */
const RANKS = ["step", ["zoom"], 0, 4, 1, 5, 2, 6, 3, 8, 4, 9, 5, 11, 9];

/**
 * @param {Colours} colours
 * @param {string} own address of the page's own tiles
 * @param {Tiles | null} tiles
 * @param {string} language
 */
export function style(colours, own, tiles, language) {
  const from = (/** @type {string} */ layer) => ({ source: "ground", "source-layer": layer });
  const edge = { "line-color": colours.border, "line-width": 0.7 };
  const border = { "line-color": colours.border, "line-width": ["interpolate", ["linear"], ["zoom"], 3, 0.8, 8, 1.6] };
  return {
    version: 8,
    sources: {
      ground: { type: "vector", url: `pmtiles://${own}` },
      ...(tiles ? { tiles: tiles.source } : {}),
    },
    layers: [
      { id: "water", type: "background", paint: { "background-color": colours.water } },
      { id: "land", type: "fill", ...from("land"), paint: { "fill-color": colours.land } },
      { id: "coast", type: "line", ...from("land"), paint: edge },
      { id: "lakes", type: "fill", ...from("lakes"), paint: { "fill-color": colours.water } },
      { id: "shores", type: "line", ...from("lakes"), paint: edge },
      { id: "borders", type: "line", ...from("borders"), paint: border },
      ...(tiles?.kind === "raster" ? [{ id: "tiles", type: "raster", source: "tiles" }] : []),
      ...(tiles?.kind === "vector" ? basemap(colours, language) : []),
      ...(tiles ? [] : names(colours, language)),
    ],
  };
}

/** Names of places and of countries. @param {Colours} colours @param {string} language */
function names(colours, language) {
  const halo = { "text-halo-color": colours.land, "text-halo-width": 1.4 };
  return [
    {
      id: "places",
      type: "symbol",
      source: "ground",
      "source-layer": "places",
      minzoom: 3.5,
      filter: ["<=", ["get", "rank"], RANKS],
      layout: {
        "text-field": ["get", "name"],
        "text-font": REGULAR,
        "text-size": ["interpolate", ["linear"], ["zoom"], 4, ["match", ["get", "rank"], 0, 12, 1, 11, 10.5], 11, ["match", ["get", "rank"], 0, 20, 1, 17, 2, 15, 3, 14, 12.5]],
        "text-variable-anchor": ["top", "bottom", "left", "right"],
        "text-radial-offset": 1.1,
        "text-padding": 6,
        "symbol-sort-key": ["get", "rank"],
      },
      paint: { "text-color": ["match", ["get", "rank"], [0, 1], colours.text, colours.quiet], ...halo },
    },
    {
      id: "countries",
      type: "symbol",
      source: "ground",
      "source-layer": "countries",
      maxzoom: 6,
      filter: ["<=", ["get", "rank"], ["step", ["zoom"], 3, 3, 5, 4, 9]],
      layout: {
        "text-field": countryNames(language),
        "text-font": STRONG,
        "text-size": ["interpolate", ["linear"], ["zoom"], 2, 10, 6, 15],
        "text-letter-spacing": 0.08,
        "text-max-width": 7,
        "text-padding": 8,
      },
      paint: { "text-color": colours.quiet, ...halo },
    },
  ];
}

/** The name of a country by its code, in a language. @param {string} language */
function countryNames(language) {
  const names = new Intl.DisplayNames(language, { type: "region", fallback: "none" });
  const letters = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];
  const known = letters.flatMap((first) => letters.flatMap((second) => names.of(first + second) ? [first + second, names.of(first + second)] : []));
  return ["match", ["get", "name"], ...known, ""];
}

/** The layers of the Protomaps basemap, plainly. @param {Colours} colours @param {string} language */
function basemap(colours, language) {
  /** @param {string} id @param {string} from @param {object} rest */
  const fill = (id, from, rest) => ({ id: `tiles-${id}`, type: "fill", source: "tiles", "source-layer": from, ...rest });
  /** @param {string} id @param {string} from @param {object} rest */
  const line = (id, from, rest) => ({ id: `tiles-${id}`, type: "line", source: "tiles", "source-layer": from, ...rest });
  /** @param {string[]} kinds @param {number} minzoom @param {number} size */
  const place = (kinds, minzoom, size) => ({
    id: `tiles-${kinds[0]}`,
    type: "symbol",
    source: "tiles",
    "source-layer": "places",
    minzoom,
    filter: ["in", ["get", "kind"], ["literal", kinds]],
    layout: {
      "text-field": ["coalesce", ["get", `name:${language}`], ["get", "name"]],
      "text-font": REGULAR,
      "text-size": size,
      "text-max-width": 8,
      "text-padding": 6,
    },
    paint: { "text-color": colours.quiet, "text-halo-color": colours.land, "text-halo-width": 1.4 },
  });
  const kinds = (/** @type {string[]} */ ...wanted) => ["in", ["get", "kind"], ["literal", wanted]];
  const width = (/** @type {number} */ low, /** @type {number} */ high) => ["interpolate", ["exponential", 1.6], ["zoom"], 6, low, 18, high];
  return [
    fill("earth", "earth", { filter: ["==", ["geometry-type"], "Polygon"], paint: { "fill-color": colours.land } }),
    fill("landuse", "landuse", {
      filter: kinds("park", "forest", "wood", "national_park", "nature_reserve", "grass", "farmland"),
      paint: { "fill-color": colours.sunken, "fill-opacity": 0.6 },
    }),
    fill("water", "water", { filter: ["==", ["geometry-type"], "Polygon"], paint: { "fill-color": colours.water } }),
    line("rivers", "water", { filter: ["==", ["geometry-type"], "LineString"], paint: { "line-color": colours.water, "line-width": 1 } }),
    line("paths", "roads", { minzoom: 13, filter: kinds("minor_road", "path", "other"), paint: { "line-color": colours.line, "line-width": width(0.3, 8) } }),
    line("roads", "roads", { filter: kinds("major_road"), paint: { "line-color": colours.line, "line-width": width(0.6, 14) } }),
    line("highways", "roads", { filter: kinds("highway"), paint: { "line-color": colours.border, "line-width": width(0.9, 18) } }),
    fill("buildings", "buildings", { minzoom: 14, paint: { "fill-color": colours.line, "fill-opacity": 0.5 } }),
    {
      id: "tiles-road-names",
      type: "symbol",
      source: "tiles",
      "source-layer": "roads",
      minzoom: 12,
      filter: ["has", "name"],
      layout: {
        "symbol-placement": "line",
        "text-field": ["coalesce", ["get", `name:${language}`], ["get", "name"]],
        "text-font": REGULAR,
        "text-size": 11,
        "text-padding": 4,
      },
      paint: { "text-color": colours.quiet, "text-halo-color": colours.land, "text-halo-width": 1.4 },
    },
    line("boundaries", "boundaries", { paint: { "line-color": colours.border, "line-width": 1, "line-dasharray": [3, 2] } }),
    place(["neighbourhood", "macrohood"], 12, 11),
    place(["locality"], 5, 13),
    place(["region"], 5, 12),
    place(["country"], 0, 14),
  ];
}
