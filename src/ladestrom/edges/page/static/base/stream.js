/**
 * Version 2 of the stream over WebSocket: joins with a ticket, comes back by itself, and goes on where it was.
 */

import { ApiError, post } from "./api.js";

/** @typedef {"connecting" | "live" | "waiting" | "ended"} StreamState */
/**
 * @typedef {object} Change
 * @property {string} station
 * @property {string} evse
 * @property {string} status
 * @property {0 | 1} error
 * @property {string | null} changed_at
 * @property {string | null} observed_at
 * @property {string} source
 * @property {string} cause
 * @property {{status: string, error: 0 | 1}} was
 */
/**
 * @typedef {object} Listener
 * @property {(message: any) => void} [message] every message as it came
 * @property {(changes: Change[], seq: number) => void} [changes] of whole batches
 * @property {() => void} [reset] the position is not kept any more: fetch the state anew, then `start` again
 * @property {(state: StreamState, why: string) => void} [state]
 */

const FIRST_WAIT_MS = 500;
const WAIT_MS_MAX = 15_000;
const SILENT_BEATS = 2.5;
/** After so many heartbeats' time without a word the connection is taken for dead. */
const STEADY_MS = 10_000;
/** A connection that held for so long was a good one: the next wait begins from the shortest again. */

export class Stream {
  /**
   * @param {Record<string, string>} query filters, `mode`, `batch_ms`
   * @param {Listener} listener
   */
  constructor(query, listener) {
    this._query = query;
    this._listener = listener;
    /** @type {string} */
    this._since = "";
    this._epoch = "";
    /** @type {number | null} */
    this._seq = null;
    /** Changes of a batch whose last message is still to come. @type {Change[]} */
    this._held = [];
    /** @type {WebSocket | null} */
    this._socket = null;
    this._timer = 0;
    this._silence = 0;
    this._heartbeatMs = 20_000;
    this._waitMs = FIRST_WAIT_MS;
    this._run = 0;
    /** What the server asked to wait before coming back, as it is about to end. */
    this._drainMs = 0;
    /** @type {StreamState} */
    this.state = "waiting";
  }

  /** Where the stream is: `EPOCH-SEQ`; empty before anything came. */
  get position() {
    return this._seq === null ? this._since : `${this._epoch}-${this._seq}`;
  }

  /** Connects, and goes on from a position where one is given. @param {string} [since] */
  start(since = "") {
    this.stop();
    this._since = since;
    this._seq = null;
    this._waitMs = FIRST_WAIT_MS;
    void this._connect(++this._run);
  }

  /** Ends; `start` begins again. */
  stop() {
    this._run += 1;
    clearTimeout(this._timer);
    clearTimeout(this._silence);
    const socket = this._socket;
    this._socket = null;
    if (socket) socket.close(1000);
  }

  /** @param {number} run */
  async _connect(run) {
    this._tell("connecting", "");
    let ticket;
    try {
      ticket = (await post("/api/v2/tickets")).ticket;
    } catch (error) {
      if (run !== this._run) return;
      const told = error instanceof ApiError ? error : new ApiError(0, "unreachable", String(error));
      if (told.status === 401 || told.status === 403) this._tell("ended", told.code);
      else this._again(run, told.code, (told.retryAfterS ?? 0) * 1000);
      return;
    }
    if (run !== this._run) return;
    // A batch that was cut off comes again as a whole.
    this._held = [];
    const asked = new URLSearchParams(this._query);
    if (this.position) asked.set("since", this.position);
    asked.set("ticket", ticket);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/api/v2/stream?${asked}`);
    this._socket = socket;
    const openedAt = performance.now();
    socket.onmessage = (event) => {
      if (run === this._run) this._take(JSON.parse(event.data), run);
    };
    socket.onclose = (event) => {
      if (run !== this._run || socket !== this._socket) return;
      this._socket = null;
      clearTimeout(this._silence);
      if (performance.now() - openedAt > STEADY_MS) this._waitMs = FIRST_WAIT_MS;
      if (event.code >= 4400 && event.code < 4500) this._tell("ended", String(event.code));
      else this._again(run, String(event.code), this._drainMs);
      this._drainMs = 0;
    };
    this._listen(run);
  }

  /** @param {any} message @param {number} run */
  _take(message, run) {
    this._listen(run);
    this._listener.message?.(message);
    if (run !== this._run) return;
    switch (message.type) {
      case "hello":
        this._heartbeatMs = message.limits.heartbeat_s * 1000;
        this._epoch = message.epoch;
        if (this._since && this._seq === null) this._seq = Number(this._since.split("-")[1]);
        this._tell("live", "");
        break;
      case "snapshot":
        if (message.part === message.parts) this._seq = message.seq;
        break;
      case "changes":
        if (this._seq !== null && message.prev !== this._seq) this._lost(run);
        else {
          this._held.push(...message.changes);
          if (message.seq > message.prev) this._release(message.seq);
        }
        break;
      case "heartbeat":
        if (this._seq !== null && message.prev !== this._seq) this._lost(run);
        else this._release(message.seq);
        break;
      case "reset":
        this._seq = null;
        this._since = "";
        this._listener.reset?.();
        break;
      case "drain":
        this._drainMs = message.retry_after_ms;
        break;
    }
  }

  /** The batch is complete: its changes, if there are any, are passed on, once. @param {number} seq */
  _release(seq) {
    this._seq = seq;
    const changes = this._held;
    this._held = [];
    if (changes.length > 0) this._listener.changes?.(changes, seq);
  }

  /** Something between two messages is missing: comes back, and asks for it. @param {number} run */
  _lost(run) {
    this._socket?.close(1000);
    this._socket = null;
    this._again(run, "lost", 0);
  }

  /** @param {number} run */
  _listen(run) {
    clearTimeout(this._silence);
    this._silence = setTimeout(() => {
      if (run === this._run && this._socket) this._lost(run);
    }, this._heartbeatMs * SILENT_BEATS);
  }

  /** @param {number} run @param {string} why @param {number} atLeastMs */
  _again(run, why, atLeastMs) {
    this._tell("waiting", why);
    const wait = Math.max(atLeastMs, this._waitMs * (0.5 + Math.random() / 2));
    this._waitMs = Math.min(WAIT_MS_MAX, this._waitMs * 2);
    clearTimeout(this._timer);
    this._timer = setTimeout(() => {
      if (run === this._run) void this._connect(run);
    }, wait);
  }

  /** @param {StreamState} state @param {string} why */
  _tell(state, why) {
    this.state = state;
    this._listener.state?.(state, why);
  }
}
