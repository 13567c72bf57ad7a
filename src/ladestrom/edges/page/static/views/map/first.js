/**
 * The first steps of a new server, for whoever set it up: each with its command, ticked off when it is done.
 */

import { get } from "../../base/api.js";
import { code } from "../../base/code.js";
import { following } from "../../base/commands.js";
import { h, put } from "../../base/dom.js";
import { poll } from "../../base/live.js";
import { t } from "../../base/words.js";

/**
 * @typedef {object} Setup what `/api/v2/setup` says
 * @property {string[]} options
 * @property {number} stations
 * @property {number} operators
 * @property {number} keys
 * @property {"anyone" | "key"} visitors
 */
/** @typedef {import("../../base/words.js").Word} Word */
/** @typedef {{name: string, title: Word, about: Word, guide: string, isDone: (setup: Setup) => boolean, commands: (given: string) => string}} Step */

const EVERY_MS = 2_000;

/** @type {Step[]} */
const STEPS = [
  {
    name: "stations",
    title: "first.stations",
    about: "first.stations.about",
    guide: "/docs/registers",
    isDone: (setup) => setup.stations > 0,
    commands: (given) =>
      `ladestrom import nobil${given} nobil.json\nladestrom import irve${given} irve.csv\nladestrom import stations${given} own.csv`,
  },
  {
    name: "operators",
    title: "first.operators",
    about: "first.operators.about",
    guide: "/docs/operators",
    isDone: (setup) => setup.operators > 0,
    commands: (given) => `ladestrom operators add fjordlys --party NO*FJL${given}`,
  },
  {
    name: "keys",
    title: "first.keys",
    about: "first.keys.about",
    guide: "/docs/operations",
    isDone: (setup) => setup.keys > 0,
    commands: (given) =>
      `ladestrom keys create --name me --scope admin${given}\nladestrom keys create --name fjordlys --scope report --operator fjordlys${given}`,
  },
  {
    name: "visitors",
    title: "first.visitors",
    about: "first.visitors.about",
    guide: "/docs/settings",
    isDone: (setup) => setup.visitors === "anyone",
    commands: (given) => `ladestrom serve --page.visitors anyone${given}`,
  },
];

/**
 * The steps, while one of the first three is left; null where a server is past them.
 *
 * @param {import("../../base/shell.js").Shell} shell
 * @returns {Promise<HTMLElement | null>}
 */
export async function firstSteps(shell) {
  const setup = /** @type {Setup} */ (await get("/api/v2/setup"));
  if (setup.stations > 0 && setup.keys > 0) return null;
  const given = following(setup.options);
  const ready = h(
    "p",
    { class: "row", hidden: true },
    h("button", { type: "button", class: "primary", onclick: () => location.reload() }, t("first.ready")),
  );
  const items = STEPS.map((step) => {
    const sign = h("span", { class: "badge" });
    const element = h(
      "li",
      { "data-step": step.name },
      h("div", { class: "row" }, h("h3", {}, t(step.title)), sign),
      h("p", { class: "quiet" }, t(step.about), " ", h("a", { href: step.guide }, t("first.guide"))),
      code(t(step.title), "shell", step.commands(given)),
    );
    return { step, sign, element };
  });
  let done = -1;

  /** @param {Setup} now */
  function show(now) {
    for (const { step, sign, element } of items) {
      const isDone = step.isDone(now);
      element.dataset["done"] = String(isDone);
      sign.dataset["tone"] = isDone ? "good" : "wait";
      put(sign, t(isDone ? "first.done" : "first.open"));
    }
    const n = STEPS.filter((step) => step.isDone(now)).length;
    if (done >= 0 && n > done) shell.announce(t("first.announced", { n, all: STEPS.length }));
    done = n;
    ready.hidden = !(now.stations > 0 && now.keys > 0);
  }

  show(setup);
  poll(async () => show(await get("/api/v2/setup")), EVERY_MS, () => {});
  return h(
    "section",
    { class: "first card", "aria-labelledby": "first", tabindex: 0 },
    h("h2", { id: "first" }, t("first.title")),
    h("p", {}, t("first.intro")),
    h(
      "ol",
      {},
      items.map((each) => each.element),
    ),
    ready,
  );
}
