/**
 * Reads TopoJSON: countries as polygons, and the lines between two of them.
 *
 * Source: the TopoJSON format specification, sections 2.1 (topology objects) and 2.2 (geometry objects).
 */

/** @typedef {[number, number]} Position */
/** @typedef {{type: string, arcs?: any, properties?: Record<string, any>}} Geometry */
/**
 * @typedef {object} Topology
 * @property {[number, number][][]} arcs
 * @property {{scale: Position, translate: Position}} transform
 * @property {Record<string, {geometries: Geometry[]}>} objects
 */
/** @typedef {{type: "FeatureCollection", features: any[]}} Features */

/**
 * @param {Topology} topology
 * @param {string} name of the object that holds the countries
 * @returns {{land: Features, borders: Features, labels: {name: string, at: Position}[]}}
 */
export function decoded(topology, name) {
  const lines = topology.arcs.map((arc) => absolute(arc, topology.transform));
  const uses = new Uint8Array(lines.length);
  const features = [];
  const labels = [];
  for (const geometry of topology.objects[name].geometries) {
    /** @type {number[][][]} */
    const polygons = geometry.type === "Polygon" ? [geometry.arcs] : geometry.type === "MultiPolygon" ? geometry.arcs : [];
    const coordinates = polygons.map((rings) => rings.map((ring) => ringOf(ring, lines, uses)));
    features.push({ type: "Feature", properties: {}, geometry: { type: "MultiPolygon", coordinates } });
    const { name: text, x, y } = geometry.properties ?? {};
    if (text) labels.push({ name: text, at: /** @type {Position} */ ([x, y]) });
  }
  const shared = lines.filter((_, arc) => uses[arc] > 1).map(unwrapped);
  return {
    land: { type: "FeatureCollection", features },
    borders: {
      type: "FeatureCollection",
      features: [{ type: "Feature", properties: {}, geometry: { type: "MultiLineString", coordinates: shared } }],
    },
    labels,
  };
}

/** @param {Position[]} arc each but the first as steps from the one before @param {{scale: Position, translate: Position}} transform */
function absolute(arc, { scale, translate }) {
  let [x, y] = [0, 0];
  return arc.map(([dx, dy]) => {
    x += dx;
    y += dy;
    return /** @type {Position} */ ([x * scale[0] + translate[0], y * scale[1] + translate[1]]);
  });
}

/** @param {number[]} arcs a negative one runs backwards @param {Position[][]} lines @param {Uint8Array} uses */
function ringOf(arcs, lines, uses) {
  /** @type {Position[]} */
  const ring = [];
  for (const arc of arcs) {
    const index = arc < 0 ? ~arc : arc;
    uses[index] += 1;
    const line = arc < 0 ? lines[index].toReversed() : lines[index];
    ring.push(...(ring.length ? line.slice(1) : line));
  }
  return unwrapped(ring);
}

/** A line that crosses the antimeridian goes on beyond 180 degrees. @param {Position[]} line */
function unwrapped(line) {
  let turn = 0;
  return line.map(([x, y], index) => {
    const step = index === 0 ? 0 : x - line[index - 1][0];
    if (step > 180) turn -= 360;
    if (step < -180) turn += 360;
    return /** @type {Position} */ ([x + turn, y]);
  });
}
