/**
 * The ground's style for MapLibre, in the colours of the page: outlines of countries, names, and the operator's
 * own tiles where there are some.
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
const NOTHING = { type: "FeatureCollection", features: [] };

/** @param {Colours} colours @param {Tiles | null} tiles @param {string} language */
export function style(colours, tiles, language) {
  return {
    version: 8,
    sources: {
      land: { type: "geojson", data: NOTHING, tolerance: 0.25 },
      borders: { type: "geojson", data: NOTHING, tolerance: 0.25 },
      names: { type: "geojson", data: NOTHING },
      ...(tiles ? { tiles: tiles.source } : {}),
    },
    layers: [
      { id: "water", type: "background", paint: { "background-color": colours.water } },
      { id: "land", type: "fill", source: "land", paint: { "fill-color": colours.land, "fill-antialias": false } },
      { id: "coast", type: "line", source: "land", paint: { "line-color": colours.border, "line-width": 0.7 } },
      {
        id: "borders",
        type: "line",
        source: "borders",
        paint: { "line-color": colours.border, "line-width": ["interpolate", ["linear"], ["zoom"], 3, 0.8, 8, 1.6] },
      },
      ...(tiles?.kind === "raster" ? [{ id: "tiles", type: "raster", source: "tiles" }] : []),
      ...(tiles?.kind === "vector" ? basemap(colours, language) : []),
      ...(tiles ? [] : names(colours)),
    ],
  };
}

/** Names of countries, and of places that stations are in. @param {Colours} colours */
function names(colours) {
  return [
    {
      id: "places",
      type: "symbol",
      source: "names",
      filter: ["==", ["get", "kind"], "place"],
      minzoom: 5,
      layout: {
        "text-field": ["get", "name"],
        "text-font": REGULAR,
        "text-size": ["interpolate", ["linear"], ["zoom"], 5, 11, 11, 14],
        "text-anchor": "top",
        "text-offset": [0, 1.7],
        "text-padding": 6,
        "symbol-sort-key": ["-", ["get", "stations"]],
      },
      paint: { "text-color": colours.quiet, "text-halo-color": colours.land, "text-halo-width": 1.4 },
    },
    {
      id: "countries",
      type: "symbol",
      source: "names",
      filter: ["==", ["get", "kind"], "country"],
      maxzoom: 7,
      layout: {
        "text-field": ["get", "name"],
        "text-font": STRONG,
        "text-size": ["interpolate", ["linear"], ["zoom"], 2, 10, 6, 15],
        "text-letter-spacing": 0.08,
        "text-max-width": 7,
        "text-padding": 8,
      },
      paint: { "text-color": colours.quiet, "text-halo-color": colours.land, "text-halo-width": 1.6 },
    },
  ];
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
    line("boundaries", "boundaries", { paint: { "line-color": colours.border, "line-width": 1, "line-dasharray": [3, 2] } }),
    place(["neighbourhood", "macrohood"], 12, 11),
    place(["locality"], 5, 13),
    place(["region"], 5, 12),
    place(["country"], 0, 14),
  ];
}
