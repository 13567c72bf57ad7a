/**
 * Whether a station is open, as the server judges it (`core/open_hours.py`). Knows records and clocks; no words,
 * and no page.
 */

/** @typedef {{weekday: number, begin: string, end: string}} Hours */
/** @typedef {{begin: string, end: string}} Span */
/** @typedef {{always?: boolean, hours?: Hours[], openings?: Span[], closings?: Span[], text?: string}} Opening */

const DAY = 24 * 60;
const WEEK = 7 * DAY;
const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/** By zone: making one takes longer than using it. @type {Map<string, Intl.DateTimeFormat>} */
const FORMATS = new Map();
const CLOCK = /^(?:([01]\d|2[0-3]):([0-5]\d)|24:00)$/;

/**
 * Null where that does not follow from what is known.
 *
 * @param {Opening | undefined} opening
 * @param {string | undefined} zone
 * @param {number} now milliseconds since 1970
 * @returns {boolean | null}
 */
export function isOpen(opening, zone, now) {
  if (!opening) return null;
  const { always, hours = [], openings = [], closings = [], text } = opening;
  if (closings.some((span) => holds(span, now))) return false;
  if (always || openings.some((span) => holds(span, now))) return true;
  const minute = hours.length ? minuteOfWeek(zone, now) : null;
  if (minute === null || !hours.every(({ begin, end }) => CLOCK.test(begin) && CLOCK.test(end))) return null;
  const within = hours.some(({ weekday, begin, end }) => {
    const [from, to] = [minuteOf(begin), minuteOf(end)];
    const lasts = to > from ? to - from : to - from + DAY;
    return (minute - (weekday - 1) * DAY - from + 2 * WEEK) % WEEK < lasts;
  });
  return !within && text !== undefined ? null : within;
}

/**
 * Days with the same hours, one after the other, as rows: `[1, 5, ["08:00–20:00"]]` is Monday to Friday.
 *
 * @param {Hours[]} hours
 * @returns {[number, number, string[]][]}
 */
export function rowsOf(hours) {
  /** @type {[number, number, string[]][]} */
  const rows = [];
  for (let day = 1; day <= 7; day += 1) {
    const times = hours.filter(({ weekday }) => weekday === day).map(({ begin, end }) => `${begin}–${end}`);
    const last = rows.at(-1);
    if (last && last[2].join() === times.join()) last[1] = day;
    else rows.push([day, day, times]);
  }
  return rows;
}

/** @param {Span} span @param {number} now */
const holds = ({ begin, end }, now) => Date.parse(begin) <= now && now < Date.parse(end);

/** @param {string} clock */
const minuteOf = (clock) => Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3));

/** What clocks in a zone show, in minutes since Monday, 00:00. @param {string | undefined} zone @param {number} now */
function minuteOfWeek(zone, now) {
  if (!zone) return null;
  try {
    const format = FORMATS.get(zone) ?? new Intl.DateTimeFormat("en-GB", {
      timeZone: zone,
      weekday: "short",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
    FORMATS.set(zone, format);
    const parts = Object.fromEntries(format.formatToParts(now).map(({ type, value }) => [type, value]));
    return DAYS.indexOf(parts["weekday"] ?? "") * DAY + Number(parts["hour"]) * 60 + Number(parts["minute"]);
  } catch {
    return null;
  }
}
