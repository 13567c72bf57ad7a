/**
 * A small picture of how late changes were, minute by minute.
 */

import { h, svg } from "../../base/dom.js";
import { span, t } from "../../base/words.js";

const HEIGHT = 20;
const BAR = 2;
const LEAST_S = 5;
/** The picture is at least so many seconds high, so that what is always at once looks like it. */

/** @param {(number | null)[]} minutes mean delay of each, in seconds, the oldest first */
export function spark(minutes) {
  const known = minutes.filter((each) => each !== null);
  if (known.length === 0) return h("span", { class: "quiet" }, "–");
  const most = Math.max(...known);
  const scale = HEIGHT / Math.max(LEAST_S, most);
  const bars = minutes.map((each, index) => {
    if (each === null) return null;
    const height = Math.max(1, each * scale);
    return svg("rect", { x: index * BAR, y: HEIGHT - height, width: BAR - 0.5, height });
  });
  const label = t("admin.sources.spark", { last: span(known.at(-1) ?? 0), most: span(most) });
  return svg(
    "svg",
    { class: "spark", role: "img", "aria-label": label, viewBox: `0 0 ${minutes.length * BAR} ${HEIGHT}` },
    svg("title", {}, label),
    ...bars,
  );
}
