/**
 * How sources deliver, in words and figures: what several views say of them.
 */

import { h } from "./dom.js";
import { t } from "./words.js";

/** @typedef {"paused" | "resting" | "lost" | "failing" | "new" | "silent" | "fresh"} SourceState */
/**
 * @typedef {object} Delay changes by how long they took, as `/api/v2/operators` tells it
 * @property {number[]} bounds_s
 * @property {number[]} counts one more than bounds, none of them cumulated
 */
/**
 * @typedef {object} Source
 * @property {string} source
 * @property {string} protocol
 * @property {"push" | "pull" | "follow"} kind
 * @property {SourceState} state
 * @property {string | null} last_delivery_at
 * @property {number} reports
 * @property {number} changes
 * @property {Record<string, number>} refused
 * @property {number} unmapped
 * @property {number} unreadable
 * @property {string | null} error
 * @property {string | null} error_at
 * @property {Delay} delay
 * @property {number} late
 * @property {string | null} next_at
 */

/** @type {Record<SourceState, "good" | "bad" | "plain">} */
const TONES = {
  fresh: "good",
  new: "plain",
  paused: "plain",
  silent: "bad",
  resting: "bad",
  failing: "bad",
  lost: "bad",
};

/** A source's state as a word with a sign. @param {SourceState} state @param {number} [n] of how many, where it says so */
export function stateBadge(state, n) {
  const text = t(`source.${state}`);
  return h("span", { class: "badge", "data-tone": TONES[state] }, n === undefined ? text : `${n} ${text}`);
}

/** Sums of several histograms with the same bounds. @param {Delay[]} delays @returns {Delay} */
export function together(delays) {
  const bounds_s = delays[0]?.bounds_s ?? [];
  const counts = Array.from({ length: bounds_s.length + 1 }, (_, index) =>
    delays.reduce((sum, each) => sum + (each.counts[index] ?? 0), 0),
  );
  return { bounds_s, counts };
}

/** @param {Delay} delay */
export const measured = (delay) => delay.counts.reduce((sum, each) => sum + each, 0);

/**
 * The median of a histogram, in seconds, taken evenly within its bucket; null where nothing was measured.
 *
 * @param {Delay} delay
 */
export function median(delay) {
  const half = measured(delay) / 2;
  if (half === 0) return null;
  let below = 0;
  for (const [index, count] of delay.counts.entries()) {
    if (below + count >= half && count > 0) {
      const low = delay.bounds_s[index - 1] ?? 0;
      const high = delay.bounds_s[index] ?? low;
      return low + ((high - low) * (half - below)) / count;
    }
    below += count;
  }
  return null;
}

/** @param {Record<string, number>} counts */
export const sum = (counts) => Object.values(counts).reduce((total, each) => total + each, 0);
