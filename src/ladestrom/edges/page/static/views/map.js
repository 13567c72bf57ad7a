/** The view `map`: puts together the ground, the markers, what is beside them, and the address. */

import { ApiError } from "../base/api.js";
import { h, put } from "../base/dom.js";
import { failure, open } from "../base/shell.js";
import { count, t } from "../base/words.js";
import { Board } from "../map/board.js";
import { Legend, chips, fields } from "../map/choices.js";
import { narrows, pass } from "../map/filters.js";
import { Files } from "../map/files.js";
import { Finder } from "../map/finder.js";
import { groupIndex, STATES } from "../map/groups.js";
import { xOf, yOf } from "../map/hierarchy.js";
import { kindsOf, kindsText } from "../map/kinds.js";
import { List } from "../map/list.js";
import { countsInView, kilometres, placeOf, stationsInView, viewpointOf } from "../map/looking.js";
import { plugName } from "../map/names.js";
import { Panel } from "../map/panel.js";
import { read, write } from "../map/place.js";
import { PHONE_PX, Scene } from "../map/scene.js";
import { Search } from "../map/search.js";
import { sheets } from "../map/sheets.js";
import { tools } from "../map/tools.js";

/** @typedef {import("../map/filters.js").Choice} Choice */

const STATION_ZOOM = 12.5;
/** From this many inhabitants on, how near one goes to see a whole place. */
const PLACE_ZOOMS = [[1_000_000, 10.5], [200_000, 11], [30_000, 12]];
const LIST_MS = 2_500;
const LEGEND_MS = 500;
const ADDRESS_MS = 250;
const HOURS_MS = 60_000;
/** How often it is judged anew what is open. */
const VIEW_WAIT_MS = 4_000;
/** After so long without stations the map is drawn as it is. */

const shell = await open("map");
const place = read();
let { choice } = place;
/** @type {Search | null} */
let search = null;
/** @type {Scene | null} */
let scene = null;
let listTimer = 0;
let addressTimer = 0;
let legendTimer = 0;
let isAway = false;

/** @type {(viewpoint: import("../map/ground.js").Viewpoint) => void} */
let placed = () => {};
/** @type {Promise<import("../map/ground.js").Viewpoint>} */
const firstViewpoint = new Promise((resolve) => (placed = resolve));

const container = h("div", { class: "ground" });
/** @type {Map<string, HTMLElement>} */
const said = new Map();
const notices = h("div", { class: "notices" });
const waiting = h("p", { class: "waiting notice", role: "status", "aria-busy": "true" }, t("map.loading"));
const tip = h("div", { class: "tip", "aria-hidden": "true", hidden: true });
const filterBox = h("div", { class: "filtering" });
const chipBox = h("div", { class: "chips", role: "group", "aria-label": t("map.chips") });
/** Where the visitor is, once that is known. @type {{lon: number, lat: number} | null} */
let here = null;

const board = new Board({
  made(made) {
    if (!made.columns || !made.hierarchy || !made.tallies) return;
    search = new Search(made.columns);
    const row = board.rowOf(place.station);
    placed(row === undefined ? viewpointOf(container, made.hierarchy) : { ...placeOf(made.hierarchy, row), zoom: STATION_ZOOM });
    scene?.show(made);
    redrawFilters();
    if (place.station && place.station === panel.uuid) scene?.markers.choose(row ?? -1);
    else if (place.station) openStation(place.station, null);
  },
  counted() {
    waiting.remove();
    say("board", board.columns?.uuid.length === 0 ? h("p", { class: "notice" }, t("map.empty")) : null);
    scene?.markers.stale();
    panel.refresh();
    tellLegend();
    listSoon(0);
  },
  changed(row, change) {
    scene?.markers.pulse(row, groupIndex(change));
    panel.take(change);
  },
  settled() {
    scene?.markers.stale();
    legendSoon();
    if (sheet.isOpen("list") || narrows(choice)) listSoon(LIST_MS);
  },
  stream(state, why) {
    shell.stream(state, why);
    const isLost = state === "waiting" || state === "ended";
    if (isLost && !isAway) shell.announce(t("map.lost"));
    if (state === "live" && isAway) shell.announce(t("map.back"));
    // A key that has ended while the page is open.
    if (state === "ended") say("board", failure(new ApiError(401, "unauthenticated", why)));
    if (isLost || state === "live") isAway = isLost;
    shell.main.dataset["stream"] = state;
  },
  failed(error) {
    waiting.remove();
    placed(viewpointOf(container, null));
    say("board", failure(error, () => board.join()));
  },
});

const panel = new Panel({
  closed: () => closeStation(),
  look: (uuid) => lookAt(uuid),
  grown: (uuid) => {
    const row = board.rowOf(uuid);
    if (row !== undefined && board.hierarchy) scene?.reveal(placeOf(board.hierarchy, row), panel.element);
  },
});
const files = new Files(
  () => ({ choice, box: scene ? scene.box() : null }),
  (text) => shell.announce(text),
);
const list = new List((uuid, opener) => openStation(uuid, opener), files.element);
const finder = new Finder({
  search: () => search,
  hit: (row) => described(row),
  rowOf: (uuid) => board.rowOf(uuid),
  chosen: (uuid) => {
    lookAt(uuid);
    openStation(uuid, finder.field);
  },
  went: ({ lon, lat, population }) => {
    const zoom = PLACE_ZOOMS.find(([least]) => population >= least)?.[1] ?? STATION_ZOOM;
    if (place.station) closeStation();
    scene?.go({ lon, lat, zoom });
    remember(true);
    if (container.clientWidth > PHONE_PX) sheet.open("list");
  },
});
const legend = new Legend((states) => choose({ ...choice, states }));
const sheet = sheets(
  [
    { name: "filters", title: t("map.filters"), content: filterBox },
    { name: "list", title: t("map.list"), content: list.element },
  ],
  (name) => name === "list" && listSoon(0),
);

put(
  shell.main,
  h("h1", { class: "spoken" }, t("map.title")),
  container,
  h("div", { class: "beside" }, finder.element, chipBox, sheet.buttons, sheet.element),
  legend.element,
  tip,
  notices,
  waiting,
  panel.element,
);
legend.show(choice.states);
board.filter((tallies, columns, units) => pass(choice, tallies, columns, units));
setInterval(() => choice.open && board.filter((tallies, columns, units) => pass(choice, tallies, columns, units)), HOURS_MS);
setTimeout(() => placed(viewpointOf(container, null)), VIEW_WAIT_MS);
if (place.viewpoint) placed(place.viewpoint);
if (shell.facts.local) void begin();
void board.join();
void stage();

/** On the machine of a new server, its first steps stand before the map. */
async function begin() {
  const { firstSteps } = await import("./map/first.js");
  const steps = await firstSteps(shell).catch(() => null);
  if (!steps) return;
  shell.main.classList.add("beginning");
  shell.main.append(steps);
}

/** Lays the ground and puts the markers on it; where that cannot be, the list stands for the map. */
async function stage() {
  try {
    scene = await Scene.set(container, {
      viewpoint: firstViewpoint,
      tiles: shell.facts.tiles,
      attribution: shell.facts.tiles_attribution,
      tilesFailed: () => say("ground", notice(t("map.tiles.failed"))),
    });
  } catch (error) {
    console.warn(error);
    shell.main.classList.add("flat");
    say("ground", notice(t("map.nowebgl")));
    waiting.remove();
    sheet.open("list");
    listSoon(0);
    return;
  }
  const whole = () => board.hierarchy && viewpointOf(container, board.hierarchy);
  const found = (/** @type {{lon: number, lat: number}} */ at) => {
    here = at;
    scene?.stand(at);
    listSoon(0);
  };
  shell.main.append(tools(scene, whole, found, (text) => say("position", notice(text))));
  if (board.columns) {
    scene.show(board);
    const row = board.rowOf(panel.uuid);
    if (row !== undefined) scene.markers.choose(row);
  }
  scene.listen({
    moved: () => {
      clearTimeout(addressTimer);
      addressTimer = setTimeout(() => remember(false), ADDRESS_MS);
      legendSoon();
      listSoon(0);
    },
    pressed: (mark) => {
      if (!scene) return;
      if (mark.station >= 0) openStation(board.columns?.uuid[mark.station] ?? "", null);
      else if (!scene.enter(mark.node)) {
        sheet.open("list");
        listSoon(0);
      }
    },
    over: (mark, point) => {
      tip.hidden = mark === null;
      if (!mark) return;
      tip.style.translate = `${point.x}px ${point.y}px`;
      if (mark.station < 0) return put(tip, count("map.stations", mark.stations));
      const { title, below } = described(mark.station);
      return put(tip, h("strong", {}, title), h("br"), below);
    },
  });
  remember(false);
  listSoon(0);
  legendSoon();
}

/** Shows a notice in place of the last one of its kind; null takes it away. @param {string} kind @param {HTMLElement | null} shown */
function say(kind, shown) {
  const last = said.get(kind);
  if (shown) {
    said.set(kind, shown);
    if (last?.isConnected) last.replaceWith(shown);
    else notices.append(shown);
  } else {
    said.delete(kind);
    last?.remove();
  }
}

/** A notice that can be put away. @param {string} text */
function notice(text) {
  const close = h("button", { type: "button", class: "close", "aria-label": t("shell.close"), onclick: () => shown.remove() }, "×");
  const shown = h("div", { class: "notice told", role: "status" }, h("span", {}, text), close);
  return shown;
}

/** What the list and the finder say of a station. @param {number} row */
function described(row) {
  const { columns, tallies, units, hierarchy } = board;
  if (!columns || !tallies || !units || !hierarchy) throw new Error("no stations yet");
  const parts = [kindsText(kindsOf(columns, units, tallies, row, choice)) || t("map.kind.none")];
  if (here) parts.unshift(distance(kilometres(here, placeOf(hierarchy, row))));
  const city = columns.city[row];
  if (city) parts.push(city);
  const operator = columns.operators[columns.operator[row]];
  if (operator) parts.push(operator);
  return {
    uuid: columns.uuid[row],
    title: columns.name[row] || columns.uuid[row],
    below: parts.join(" · "),
    state: STATES[tallies.stateOf(row)] ?? "unknown",
  };
}

/** @param {string} uuid @param {HTMLElement | null} opener */
function openStation(uuid, opener) {
  if (!uuid) return;
  const row = board.rowOf(uuid);
  place.station = uuid;
  remember(uuid !== new URLSearchParams(location.search).get("station"));
  shell.main.classList.add("opened");
  scene?.markers.choose(row ?? -1);
  legend.offer(null);
  void panel.open(uuid, row === undefined ? "" : (board.columns?.name[row] ?? ""), opener ?? container.querySelector("canvas"));
}

/** @param {boolean} [isBack] */
function closeStation(isBack = false) {
  place.station = "";
  panel.close();
  shell.main.classList.remove("opened");
  scene?.markers.choose(-1);
  listSoon(0);
  if (!isBack) remember(true);
}

/** @param {string} uuid */
function lookAt(uuid) {
  const row = board.rowOf(uuid);
  if (row === undefined || !board.hierarchy || !scene) return;
  scene.fly(board.hierarchy, row, STATION_ZOOM);
}

/** @param {Choice} chosen */
function choose(chosen) {
  choice = chosen;
  files.refresh();
  legend.show(choice.states);
  board.filter((tallies, columns, units) => pass(choice, tallies, columns, units));
  redrawFilters();
  remember(false);
}

/** What the EVSEs are called that the filter passes: "CCS 150 kW". */
function wanted() {
  const { plugs, kw } = choice;
  return [plugs.map(plugName).join(" / "), kw && t("map.power.least", { kw })].filter(Boolean).join(" ");
}

/** A way in words. @param {number} km */
const distance = (km) => (km < 1 ? t("map.metres", { m: Math.max(10, Math.round(km * 100) * 10) }) : t("map.km", { km: km < 10 ? km : Math.round(km) }));

function redrawFilters() {
  if (!board.columns) return;
  const chip = chipBox.contains(document.activeElement) ? document.activeElement?.getAttribute("name") : null;
  put(chipBox, chips(board.columns, choice, choose));
  if (chip) /** @type {HTMLElement | null} */ (chipBox.querySelector(`[name="${chip}"]`))?.focus();
  const focused = /** @type {HTMLInputElement | null} */ (filterBox.contains(document.activeElement) ? document.activeElement : null);
  put(filterBox, fields(board.columns, choice, choose));
  if (focused) {
    const same = [...filterBox.querySelectorAll("input, select, button")].find(
      (field) => field instanceof HTMLElement && field.getAttribute("name") === focused.getAttribute("name") && (focused.type !== "checkbox" || /** @type {HTMLInputElement} */ (field).value === focused.value),
    );
    /** @type {HTMLElement | undefined} */ (same)?.focus();
  }
  const n = narrows(choice);
  sheet.label("filters", n ? t("map.filters.some", { n }) : t("map.filters"));
}

/** @param {boolean} isPushed */
function remember(isPushed) {
  write({ viewpoint: scene?.viewpoint() ?? place.viewpoint, choice, station: place.station }, isPushed);
}

function legendSoon() {
  legendTimer ||= setTimeout(() => {
    legendTimer = 0;
    tellLegend();
  }, LEGEND_MS);
}

function tellLegend() {
  const { tallies, hierarchy } = board;
  if (!tallies || !hierarchy) return;
  const { byState, groups } = countsInView(hierarchy, tallies, scene ? scene.box() : null);
  legend.tell(byState, groups, wanted());
}

/** @param {number} waitMs */
function listSoon(waitMs) {
  if (listTimer && waitMs > 0) return;
  clearTimeout(listTimer);
  listTimer = setTimeout(() => {
    listTimer = 0;
    if (!board.columns || !board.tallies || !board.hierarchy) return;
    const from = here && { x: xOf(here.lon), y: yOf(here.lat) };
    const { rows, inView } = stationsInView(board.hierarchy, board.tallies, scene ? scene.box() : null, from);
    sheet.label("list", t("map.list.some", { n: inView }));
    offerNearest(rows[0]);
    if (sheet.isOpen("list")) list.show(rows.map(described), inView);
  }, waitMs);
}

/** Offers the nearest of the stations that a filter passes. @param {number | undefined} row */
function offerNearest(row) {
  if (row === undefined || narrows(choice) === 0 || place.station) return legend.offer(null);
  const { uuid, title, below } = described(row);
  legend.offer({ text: t("map.nearest", { name: title, what: below }), pressed: (opener) => openStation(uuid, opener) });
}

window.addEventListener("popstate", () => {
  const { station, choice: chosen, viewpoint } = read();
  if (viewpoint) scene?.jump(viewpoint);
  if (JSON.stringify(chosen) !== JSON.stringify(choice)) choose(chosen);
  if (station === place.station) return;
  if (station) openStation(station, null);
  else closeStation(true);
});
window.addEventListener("ladestrom-theme", () => scene?.repaint());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => scene?.repaint());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && place.station && !(/** @type {HTMLElement} */ (event.target).closest("dialog, .menu.open"))) closeStation();
});
