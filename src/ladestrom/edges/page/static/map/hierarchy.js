/**
 * Stations gathered into clusters, level by level: made once, as stations do not move.
 *
 * Knows places and nothing of statuses. Pure, so that a worker can do it. Node i below the number of stations
 * is station i; clusters follow, each after all that is in it, so that one pass in order adds up everything.
 */

export const LEVEL_MAX = 15;
/** The level of single stations; only those that stand together are still gathered. Shown from this zoom on. */
export const WORLD_PX = 512;
/** How wide the world is at zoom 0. */
const RADIUS_PX = 46;
const TOGETHER_PX = 8;
const NODES_PER_CELL = 6;

/**
 * @typedef {object} Level what is drawn at one zoom, sorted into cells of a grid
 * @property {Int32Array} ids nodes, cell by cell
 * @property {Uint32Array} starts where each cell begins in `ids`; one more than there are cells
 * @property {number} columns
 * @property {number} rows
 * @property {number} left bounds of all nodes, in shares of the world (Web Mercator)
 * @property {number} top
 * @property {number} width
 * @property {number} height
 */
/**
 * @typedef {object} Hierarchy
 * @property {number} stations
 * @property {Float64Array} x in shares of the world, from the west
 * @property {Float64Array} y from the north
 * @property {Int32Array} parent -1 at the top
 * @property {Int32Array} child a cluster's first; -1 for stations
 * @property {Int32Array} sibling the next in the same cluster; -1 at the end
 * @property {Uint8Array} level at which a cluster was made: it falls apart at the next one
 * @property {Level[]} levels one for each zoom from 0
 */

/** @param {number} degrees */
export const xOf = (degrees) => degrees / 360 + 0.5;

/** @param {number} degrees */
export function yOf(degrees) {
  const sine = Math.sin((degrees * Math.PI) / 180);
  const y = 0.5 - (0.25 * Math.log((1 + sine) / (1 - sine))) / Math.PI;
  return Math.min(1, Math.max(0, y));
}

/** @param {number} x */
export const longitudeOf = (x) => (x - 0.5) * 360;

/** @param {number} y */
export const latitudeOf = (y) => (360 / Math.PI) * Math.atan(Math.exp((0.5 - y) * 2 * Math.PI)) - 90;

/**
 * @param {ArrayLike<number>} longitudes 1e-5 degrees
 * @param {ArrayLike<number>} latitudes 1e-5 degrees
 * @returns {Hierarchy}
 */
export function build(longitudes, latitudes) {
  const stations = longitudes.length;
  const most = Math.max(1, stations * 2);
  const made = {
    x: new Float64Array(most),
    y: new Float64Array(most),
    parent: new Int32Array(most).fill(-1),
    child: new Int32Array(most).fill(-1),
    sibling: new Int32Array(most).fill(-1),
    level: new Uint8Array(most),
    weight: new Uint32Array(most),
    nodes: stations,
  };
  for (let i = 0; i < stations; i++) {
    made.x[i] = xOf(longitudes[i] / 1e5);
    made.y[i] = yOf(latitudes[i] / 1e5);
    made.weight[i] = 1;
    made.level[i] = LEVEL_MAX;
  }
  let ids = Int32Array.from({ length: stations }, (_, i) => i);
  /** @type {Level[]} */
  const levels = [];
  for (let level = LEVEL_MAX; level >= 0; level--) {
    ids = gather(made, ids, level);
    levels[level] = sorted(made, ids);
  }
  const { nodes } = made;
  return {
    stations,
    x: made.x.slice(0, nodes),
    y: made.y.slice(0, nodes),
    parent: made.parent.slice(0, nodes),
    child: made.child.slice(0, nodes),
    sibling: made.sibling.slice(0, nodes),
    level: made.level.slice(0, nodes),
    levels,
  };
}

/**
 * Gathers what is near each other at a level; gives the nodes of that level.
 *
 * @param {{x: Float64Array, y: Float64Array, parent: Int32Array, child: Int32Array, sibling: Int32Array,
 *   level: Uint8Array, weight: Uint32Array, nodes: number}} made
 * @param {Int32Array} ids
 * @param {number} level
 */
function gather(made, ids, level) {
  const { x, y, weight } = made;
  const radius = (level === LEVEL_MAX ? TOGETHER_PX : RADIUS_PX) / (WORLD_PX * 2 ** level);
  const buckets = 2 ** Math.ceil(Math.log2(Math.max(16, ids.length * 2)));
  const head = new Int32Array(buckets).fill(-1);
  const next = new Int32Array(ids.length).fill(-1);
  const taken = new Uint8Array(ids.length);
  const bucket = (/** @type {number} */ column, /** @type {number} */ row) =>
    ((column * 73856093) ^ (row * 19349663)) & (buckets - 1);
  for (let i = ids.length - 1; i >= 0; i--) {
    const node = ids[i];
    const key = bucket(Math.floor(x[node] / radius), Math.floor(y[node] / radius));
    next[i] = head[key];
    head[key] = i;
  }
  const kept = [];
  const members = [];
  for (let i = 0; i < ids.length; i++) {
    if (taken[i]) continue;
    taken[i] = 1;
    const node = ids[i];
    const column = Math.floor(x[node] / radius);
    const row = Math.floor(y[node] / radius);
    members.length = 0;
    for (let dc = -1; dc <= 1; dc++) {
      for (let dr = -1; dr <= 1; dr++) {
        for (let j = head[bucket(column + dc, row + dr)]; j >= 0; j = next[j]) {
          if (taken[j]) continue;
          const other = ids[j];
          const dx = x[other] - x[node];
          const dy = y[other] - y[node];
          if (dx * dx + dy * dy > radius * radius) continue;
          taken[j] = 1;
          members.push(other);
        }
      }
    }
    if (members.length === 0) {
      kept.push(node);
      continue;
    }
    members.push(node);
    const cluster = made.nodes++;
    let sum = 0;
    for (const member of members) {
      const share = weight[member];
      sum += share;
      x[cluster] += x[member] * share;
      y[cluster] += y[member] * share;
      made.parent[member] = cluster;
      made.sibling[member] = made.child[cluster];
      made.child[cluster] = member;
    }
    x[cluster] /= sum;
    y[cluster] /= sum;
    weight[cluster] = sum;
    made.level[cluster] = level;
    kept.push(cluster);
  }
  return Int32Array.from(kept);
}

/**
 * @param {{x: Float64Array, y: Float64Array}} made
 * @param {Int32Array} ids
 * @returns {Level}
 */
function sorted({ x, y }, ids) {
  let [left, top, right, bottom] = [1, 1, 0, 0];
  for (const id of ids) {
    left = Math.min(left, x[id]);
    right = Math.max(right, x[id]);
    top = Math.min(top, y[id]);
    bottom = Math.max(bottom, y[id]);
  }
  const width = Math.max(1e-9, right - left);
  const height = Math.max(1e-9, bottom - top);
  const cells = Math.max(1, ids.length / NODES_PER_CELL);
  const columns = Math.max(1, Math.min(512, Math.round(Math.sqrt((cells * width) / height))));
  const rows = Math.max(1, Math.min(512, Math.round(cells / columns)));
  const level = { ids: new Int32Array(ids.length), starts: new Uint32Array(columns * rows + 1), columns, rows, left, top, width, height };
  const cell = new Int32Array(ids.length);
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i];
    const column = within(((x[id] - left) / width) * columns, columns);
    const row = within(((y[id] - top) / height) * rows, rows);
    cell[i] = row * columns + column;
    level.starts[cell[i] + 1] += 1;
  }
  for (let i = 0; i < columns * rows; i++) level.starts[i + 1] += level.starts[i];
  const filled = level.starts.slice();
  for (let i = 0; i < ids.length; i++) {
    const place = filled[cell[i]];
    level.ids[place] = ids[i];
    filled[cell[i]] = place + 1;
  }
  return level;
}

/**
 * Calls `take` for each node of a level that is in a box (and for some around it).
 *
 * @param {Level} level
 * @param {{left: number, top: number, right: number, bottom: number}} box in shares of the world
 * @param {(node: number) => void} take
 */
export function visit(level, box, take) {
  const { columns, rows, left, top, width, height, ids, starts } = level;
  if (box.right < left || box.left > left + width || box.bottom < top || box.top > top + height) return;
  const first = within(((box.left - left) / width) * columns, columns);
  const last = within(((box.right - left) / width) * columns, columns);
  const lowest = within(((box.bottom - top) / height) * rows, rows);
  for (let row = within(((box.top - top) / height) * rows, rows); row <= lowest; row++) {
    const until = starts[row * columns + last + 1];
    for (let i = starts[row * columns + first]; i < until; i++) take(ids[i]);
  }
}

/**
 * Calls `take` for each station in a node.
 *
 * @param {Hierarchy} hierarchy
 * @param {number} node
 * @param {(station: number) => void} take
 */
export function stationsOf(hierarchy, node, take) {
  const stack = [node];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    if (id < hierarchy.stations) take(id);
    else for (let one = hierarchy.child[id]; one >= 0; one = hierarchy.sibling[one]) stack.push(one);
  }
}

/** @param {number} value @param {number} size */
function within(value, size) {
  return Math.min(size - 1, Math.max(0, Math.floor(value)));
}
