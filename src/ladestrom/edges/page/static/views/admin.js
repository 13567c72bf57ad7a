/**
 * The view `admin`: the process, its sources, keys, what could not be read, settings; for whoever runs the server.
 */

import { ApiError, get, key } from "../base/api.js";
import { following } from "../base/commands.js";
import { h, put } from "../base/dom.js";
import { poll } from "../base/live.js";
import { askForKey, failure, open } from "../base/shell.js";
import { t } from "../base/words.js";
import { keys } from "./admin/keys.js";
import { overview } from "./admin/overview.js";
import { quarantine } from "./admin/quarantine.js";
import { log } from "./admin/log.js";
import { refusals } from "./admin/refusals.js";
import { settings } from "./admin/settings.js";
import { sources } from "./admin/sources.js";
import { verdict } from "./admin/verdict.js";

/** @typedef {import("../base/words.js").Word} Word */
/** @typedef {{element: HTMLElement, ask: () => Promise<void>, everyMs: number}} Part `everyMs` 0: asked once */

const shell = await open("admin");

const body = h("div", { class: "admin", "aria-busy": "true" });
put(
  shell.main,
  h("div", { class: "title" }, h("h1", {}, t("nav.admin")), h("p", { class: "quiet" }, t("admin.intro"))),
  body,
);
/** What asks again and again. @type {{stop: () => void}[]} */
const asking = [];
void begin();

async function begin() {
  try {
    if (key() === "") throw new ApiError(401, "unauthenticated", "");
    await get("/api/v2/admin");
  } catch (error) {
    const isKey = error instanceof ApiError && (error.status === 401 || error.status === 403);
    put(body, isKey ? needed(error) : failure(error, begin));
    body.removeAttribute("aria-busy");
    return;
  }
  const title = document.title;
  const found = verdict((n) => {
    document.title = n > 0 ? `(${n}) ${title}` : title;
  });
  /** @type {[string, Word, Part][]} */
  const parts = [
    ["sources", "admin.sources", sources(shell, found)],
    ["overview", "admin.overview", overview(found)],
    ["log", "admin.log.lines", log()],
    ["refusals", "admin.refusals", refusals()],
    ["quarantine", "admin.quarantine", quarantine(shell)],
    ["keys", "admin.keys", keys(shell, found)],
    ["settings", "admin.settings", settings()],
  ];
  put(
    body,
    found.element,
    h(
      "nav",
      { class: "jump", "aria-label": t("admin.sections") },
      h(
        "ul",
        {},
        parts.map(([id, word]) => h("li", {}, h("a", { href: `#${id}` }, t(word)))),
      ),
    ),
    parts.map(([id, word, part]) => section(id, word, part)),
  );
  body.removeAttribute("aria-busy");
}

/** Nothing is shown any more to who may not see it. @param {ApiError} error */
function lock(error) {
  for (const each of asking.splice(0)) each.stop();
  put(body, needed(error));
}

/** @param {string} id @param {Word} word @param {Part} part */
function section(id, word, part) {
  const trouble = h("div");
  part.element.setAttribute("aria-busy", "true");
  const asked = poll(
    async () => {
      await part.ask();
      put(trouble);
      part.element.removeAttribute("aria-busy");
      if (part.everyMs === 0) asked.stop();
    },
    part.everyMs || 10_000,
    (error) => {
      part.element.removeAttribute("aria-busy");
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) lock(error);
      else put(trouble, failure(error, asked.now));
    },
  );
  asking.push(asked);
  return h(
    "section",
    { class: "card", id, "aria-labelledby": `${id}-title` },
    h("h2", { id: `${id}-title` }, t(word)),
    trouble,
    part.element,
  );
}

/** @param {ApiError} error */
function needed(error) {
  const make = "ladestrom keys create --name me --scope admin";
  const command = h("pre", { tabindex: 0, role: "region", "aria-label": t("admin.needed.command") }, make);
  // Without its data directory, the command would make another one.
  if (shell.facts.local) void get("/api/v2/setup").then((setup) => put(command, make + following(setup.options)), () => {});
  return h(
    "div",
    { class: "notice" },
    h("p", {}, h("strong", {}, t("admin.needed"))),
    h("p", {}, key() ? t("admin.needed.other", { detail: error.message }) : t("admin.needed.how")),
    key() === "" &&
      command,
    h(
      "p",
      { class: "row" },
      h("button", { type: "button", class: "primary", onclick: askForKey }, t("shell.key.title")),
    ),
  );
}
