/**
 * The board as the map sees it: stations in columns, their clusters, and how many EVSEs of each are in which
 * group now. Keeps itself in step with the server.
 */

import { ApiError, get } from "../base/api.js";
import { Stream } from "../base/stream.js";
import { groupIndex } from "./groups.js";
import { Tallies } from "./tallies.js";
import { Units } from "./units.js";

/** @typedef {import("./hierarchy.js").Hierarchy} Hierarchy */
/** @typedef {import("../base/stream.js").Change} Change */
/** @typedef {import("../base/stream.js").StreamState} StreamState */
/**
 * @typedef {object} Columns what `/api/v2/map/stations` says: row i of each column is one station
 * @property {number} revision
 * @property {string[]} operators
 * @property {string[]} standards
 * @property {string[]} countries
 * @property {string[]} uuid
 * @property {string[]} name
 * @property {(string | null)[]} city
 * @property {number[]} lon 1e-5 degrees
 * @property {number[]} lat 1e-5 degrees
 * @property {number[]} operator index; -1 for none
 * @property {number[]} country index
 * @property {number[]} power_kw of its strongest connector; 0 where it is not known
 * @property {number[]} standard a bit for each of `standards`
 * @property {number[]} evses
 * @property {number[]} opening index; -1 for none
 * @property {(import("./hours.js").Opening & {time_zone?: string, more?: boolean})[]} openings
 * @property {EvseClass[]} classes
 * @property {number[]} evse_class index, of the EVSEs of the first station, the second and so on
 * @property {string[]} named of EVSEs that are not of the class of their station's first one
 */
/**
 * @typedef {object} EvseClass
 * @property {number} kw 0 where it is not known
 * @property {[number, number][]} plugs index of `standards`, and kW
 * @property {string} [access]
 * @property {string[]} [payment]
 * @property {string[]} [vehicles]
 */
/** @typedef {(tallies: Tallies, columns: Columns, units: Units) => void} Filter sets `passes` and `states` of the tallies */
/**
 * @typedef {object} Listener
 * @property {(board: Board) => void} made stations are there, or others than before
 * @property {() => void} counted numbers were taken anew
 * @property {(row: number, change: Change) => void} changed an EVSE of a station changed
 * @property {() => void} settled all changes of a message were taken
 * @property {(state: StreamState, why: string) => void} stream
 * @property {(error: unknown) => void} failed the stations could not be fetched; `join` tries again
 */

const BATCH_MS = 150;
const REVISIONS_TRIED_MAX = 5;
const REVISION_WAIT_MS = 1_000;
const STRANGER_WAIT_MS = 6_000;
/** After a change of a station that is not known: the server makes new columns every five seconds at most. */
const FAILED_WAIT_MS = 3_000;

export class Board {
  /** @param {Listener} listener */
  constructor(listener) {
    this._listener = listener;
    /** @type {Columns | null} */
    this.columns = null;
    /** @type {Hierarchy | null} */
    this.hierarchy = null;
    /** @type {Tallies | null} */
    this.tallies = null;
    /** @type {Units | null} */
    this.units = null;
    /** @type {Map<string, number>} */
    this._rows = new Map();
    this._joining = 0;
    this._stranger = 0;
    /** @type {Filter} */
    this._filter = () => {};
    this._stream = new Stream(
      { mode: "every", batch_ms: String(BATCH_MS) },
      {
        changes: (changes) => this._take(changes),
        reset: () => {
          this._stream.stop();
          void this.join();
        },
        state: (state, why) => listener.stream(state, why),
      },
    );
  }

  /** The row of a station; undefined where it is not known. @param {string} uuid */
  rowOf(uuid) {
    return this._rows.get(uuid);
  }

  /** Position of the log that the numbers are at: `EPOCH-SEQ`. */
  get position() {
    return this._stream.position;
  }

  /**
   * What passes from now on; `filter` sets `passes` and `states` of the tallies.
   *
   * @param {Filter} filter
   */
  filter(filter) {
    this._filter = filter;
    if (!this.tallies || !this.columns || !this.units) return;
    filter(this.tallies, this.columns, this.units);
    this.tallies.recount();
    this._listener.counted();
  }

  /** Fetches stations and numbers, and follows from there. */
  async join() {
    const joining = ++this._joining;
    clearTimeout(this._stranger);
    this._stranger = 0;
    try {
      const { columns, state } = await fetched(this.columns);
      if (joining !== this._joining) return;
      if (columns !== this.columns) {
        const hierarchy = await gathered(columns);
        if (joining !== this._joining) return;
        this.columns = columns;
        this.hierarchy = hierarchy;
        this.units = new Units(columns);
        this.tallies = new Tallies(hierarchy, this.units.starts);
        this._rows = new Map(columns.uuid.map((uuid, row) => [uuid, row]));
        this._filter(this.tallies, columns, this.units);
        this.tallies.load(this.units.counted(state.evse_groups));
        this._listener.made(this);
      } else if (this.units) this.tallies?.load(this.units.counted(state.evse_groups));
      this._listener.counted();
      this._stream.start(state.position);
    } catch (error) {
      if (joining !== this._joining) return;
      this._listener.failed(error);
      const isFinal = error instanceof ApiError && (error.status === 401 || error.status === 403);
      if (!isFinal) setTimeout(() => joining === this._joining && this.join(), FAILED_WAIT_MS);
    }
  }

  /** @param {Change[]} changes */
  _take(changes) {
    const { tallies, units } = this;
    if (!tallies || !units) return;
    for (const change of changes) {
      const row = this._rows.get(change.station);
      const to = groupIndex(change);
      if (row === undefined) {
        if (to >= 0 && !this._stranger) this._stranger = setTimeout(() => this.join(), STRANGER_WAIT_MS);
        continue;
      }
      tallies.move(row, units.of(row, change.evse), groupIndex(change.was), to);
      this._listener.changed(row, change);
    }
    this._listener.settled();
  }
}

/**
 * Columns and numbers of one revision; the columns known already where they still hold.
 *
 * @param {Columns | null} known
 */
async function fetched(known) {
  let [columns, state] = await Promise.all([known ?? get("/api/v2/map/stations"), get("/api/v2/map")]);
  for (let tried = 1; columns.revision !== state.revision; tried++) {
    if (tried > REVISIONS_TRIED_MAX) throw new ApiError(0, "revision", "the stations change all the time");
    if (tried > 1) await new Promise((resolve) => setTimeout(resolve, REVISION_WAIT_MS));
    columns = await get("/api/v2/map/stations");
    state = await get("/api/v2/map");
  }
  return { columns: /** @type {Columns} */ (columns), state };
}

/** @param {Columns} columns @returns {Promise<Hierarchy>} */
function gathered({ lon, lat }) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./hierarchy-worker.js", import.meta.url), { type: "module" });
    worker.onmessage = (event) => {
      worker.terminate();
      resolve(event.data);
    };
    worker.onerror = (event) => {
      worker.terminate();
      reject(new Error(event.message || "the worker failed"));
    };
    worker.postMessage({ lon: Int32Array.from(lon), lat: Int32Array.from(lat) });
  });
}
