/**
 * What every view stands in: header with navigation, language, colours and key, the state of the stream, footer.
 */

import { ApiError, bearer, get, key, send, setKey } from "./api.js";
import { h, put, svg } from "./dom.js";
import { keep, kept } from "./kept.js";
import { language, setLanguage, t } from "./words.js";

/** @typedef {import("./words.js").Word} Word */
/** @typedef {import("./words.js").Language} Language */
/** @typedef {import("./stream.js").StreamState} StreamState */
/**
 * @typedef {object} PageFacts what `/api/v2/page` says
 * @property {string} title
 * @property {string} version
 * @property {boolean} demo
 * @property {"anyone" | "key"} visitors
 * @property {"open" | "approval" | "closed"} keys
 * @property {string} tiles
 * @property {string} tiles_attribution
 * @property {string} licence
 * @property {string} attribution
 * @property {string} contact
 * @property {boolean} local
 * @property {string} station
 */
/**
 * @typedef {object} Shell
 * @property {HTMLElement} main where the view draws
 * @property {PageFacts} facts
 * @property {(state: StreamState | null, why?: string) => void} stream shows how the stream is; null hides it
 * @property {(text: string) => void} announce tells screen readers
 */

/** @type {[string, string, Word][]} */
const VIEWS = [
  ["/", "map", "nav.map"],
  ["/now", "now", "nav.now"],
  ["/consumers", "consumers", "nav.consumers"],
  ["/console", "console", "nav.console"],
  ["/docs", "docs", "nav.docs"],
  ["/admin", "admin", "nav.admin"],
];
const THEME = "ladestrom.theme";
/** @type {readonly ["auto", "light", "dark"]} */
const THEMES = ["auto", "light", "dark"];
const PASSING = new Set([0, 429, 503]);
/** Answers, and having none, that another try may get over. */
const RETRY_MS = 4_000;
const KEY_SHOWN = 14;
/** Characters of a key that are no secret: `lst_` and its public id. */

showTheme(kept("local", THEME) ?? "auto");

/**
 * Draws the shell and learns what the server says of its page.
 *
 * @param {string} view name of the view, as in `VIEWS`
 * @param {Node | null} [content] what is there to be read meanwhile
 * @returns {Promise<Shell>}
 */
export async function open(view, content = null) {
  const main = h("main", { id: "main", tabindex: -1 }, content);
  const status = h("span", { class: "stream", hidden: true }, h("span", { class: "dot" }), h("span"));
  const spoken = h("div", { class: "spoken", role: "status", "aria-live": "polite" });
  const footer = h("footer", { class: "footer" });
  const title = t(VIEWS.find(([, name]) => name === view)?.[2] ?? "nav.map");
  document.title = `${title} – ladestrom`;
  document.body.dataset["view"] = view;
  document.body.append(
    h("a", { class: "skip", href: "#main" }, t("nav.skip")),
    header(view, status),
    main,
    footer,
    spoken,
  );
  const facts = await learned(main);
  document.title = `${title} – ${facts.title}`;
  put(brandName(), facts.title);
  put(footer, ...footnotes(facts));
  return {
    main,
    facts,
    stream(state, why = "") {
      status.hidden = state === null;
      if (state === null) return;
      status.dataset["state"] = state;
      status.title = why;
      put(/** @type {Element} */ (status.lastChild), t(`stream.${state}`));
    },
    announce(text) {
      put(spoken, text);
    },
  };
}

/** Asks until the server answers, and says why it has to. @param {HTMLElement} main @returns {Promise<PageFacts>} */
async function learned(main) {
  const trouble = h("div");
  main.prepend(trouble);
  for (;;) {
    try {
      const facts = await get("/api/v2/page");
      put(trouble);
      return facts;
    } catch (error) {
      await new Promise((resolve) => put(trouble, failure(error, () => resolve(null))));
    }
  }
}

/**
 * A box that says what went wrong, with a button to try again. Where waiting is all that is to be done, it tries
 * again by itself.
 *
 * @param {unknown} error
 * @param {() => void} [retry]
 */
export function failure(error, retry) {
  const isOurs = error instanceof ApiError;
  const isKey = isOurs && (error.status === 401 || error.status === 403);
  const passes = isOurs && PASSING.has(error.status);
  const element = h(
    "div",
    { class: "notice bad", role: "alert" },
    h("p", {}, wording(error), retry && passes && ` ${t("shell.again")}`),
    h(
      "div",
      { class: "row" },
      isKey && h("button", { type: "button", class: "primary", onclick: askForKey }, t(key() ? "shell.key.other" : "shell.key.title")),
      isKey && key() !== "" && h("button", { type: "button", onclick: forgetKey }, t("shell.key.forget")),
      retry && !isKey && h("button", { type: "button", onclick: retry }, t("shell.retry")),
    ),
  );
  if (retry && passes) {
    const wait = Math.max(RETRY_MS, (error.retryAfterS ?? 0) * 1000) * (1 + Math.random() / 2);
    setTimeout(() => element.isConnected && retry(), wait);
  }
  return element;
}

/** What went wrong, in words. @param {unknown} error */
function wording(error) {
  const detail = error instanceof Error ? error.message : String(error);
  if (!(error instanceof ApiError)) return t("shell.failed", { detail });
  switch (error.status) {
    case 0:
      return t("shell.unreachable");
    case 401:
      return key() ? t("shell.key.bad", { detail }) : t("shell.key.needed");
    case 403:
      return t("shell.key.forbidden", { detail });
    case 429:
      return t("shell.toomany");
    default:
      return t("shell.failed", { detail });
  }
}

function forgetKey() {
  setKey("");
  location.reload();
}

/** @returns {Element} */
function brandName() {
  return /** @type {Element} */ (document.querySelector(".brand .name"));
}

/** @param {string} view @param {HTMLElement} status */
function header(view, status) {
  const menu = h("nav", { class: "menu", id: "menu", "aria-label": t("nav.label") }, links(view), controls());
  const toggle = h(
    "button",
    {
      type: "button",
      class: "toggle",
      "aria-expanded": "false",
      "aria-controls": "menu",
      "aria-label": t("nav.menu"),
      onclick: () => {
        const open = menu.classList.toggle("open");
        toggle.setAttribute("aria-expanded", String(open));
      },
    },
    svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: "M3 6h18M3 12h18M3 18h18" })),
  );
  /** @param {KeyboardEvent} event */
  const escaped = (event) => {
    if (event.key !== "Escape" || !menu.classList.contains("open")) return;
    menu.classList.remove("open");
    toggle.setAttribute("aria-expanded", "false");
    toggle.focus();
  };
  return h(
    "header",
    { class: "header", onkeydown: escaped },
    h("a", { class: "brand", href: "/" }, sign(), h("span", { class: "name" }, "ladestrom")),
    status,
    toggle,
    menu,
  );
}

function sign() {
  return svg(
    "svg",
    { viewBox: "0 0 32 32", "aria-hidden": "true", class: "sign" },
    svg("rect", { width: 32, height: 32, rx: 8 }),
    svg("path", { d: "M18.6 4.5 8.2 18.2h6.2l-1.5 9.3 10.9-14.2h-6.5z" }),
  );
}

/** @param {string} view */
function links(view) {
  return h(
    "ul",
    {},
    VIEWS.map(([path, name, word]) =>
      h("li", {}, h("a", { href: path, "aria-current": name === view ? "page" : null }, t(word))),
    ),
  );
}

function controls() {
  const theme = kept("local", THEME) ?? "auto";
  return h(
    "div",
    { class: "controls" },
    keyButton(),
    h(
      "label",
      { class: "choice" },
      h("span", { class: "quiet" }, t("shell.theme")),
      h(
        "select",
        {
          name: "theme",
          onchange: (/** @type {any} */ event) => {
            keep("local", THEME, event.target.value);
            showTheme(event.target.value);
          },
        },
        THEMES.map((name) => h("option", { value: name, selected: name === theme }, t(`shell.theme.${name}`))),
      ),
    ),
    h(
      "label",
      { class: "choice" },
      h("span", { class: "quiet" }, t("shell.language")),
      h(
        "select",
        {
          name: "language",
          onchange: (/** @type {any} */ event) => setLanguage(/** @type {Language} */ (event.target.value)),
        },
        h("option", { value: "en", lang: "en", selected: language === "en" }, "English"),
        h("option", { value: "nb", lang: "nb", selected: language === "nb" }, "Norsk"),
        h("option", { value: "fr", lang: "fr", selected: language === "fr" }, "Français"),
      ),
    ),
  );
}

/** @param {string} theme */
function showTheme(theme) {
  const root = document.documentElement;
  if (theme === "light" || theme === "dark") root.dataset["theme"] = theme;
  else delete root.dataset["theme"];
  window.dispatchEvent(new CustomEvent("ladestrom-theme"));
}

function keyButton() {
  const button = h("button", { type: "button", class: "key", onclick: askForKey });
  const show = () => {
    const text = key();
    put(button, text ? t("shell.key.used", { key: `${text.slice(0, KEY_SHOWN)}${text.length > KEY_SHOWN ? "…" : ""}` }) : t("shell.key.none"));
    button.classList.toggle("used", text !== "");
  };
  window.addEventListener("ladestrom-key", show);
  show();
  return button;
}

/** Opens the dialog in which a visitor gives a key; the page is shown anew with it. */
export function askForKey() {
  const field = h("input", {
    name: "key",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    value: key(),
  });
  const complaint = h("p", { class: "bad", role: "alert" });
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "key-title" },
    h(
      "form",
      {
        method: "dialog",
        onsubmit: async (/** @type {Event} */ event) => {
          event.preventDefault();
          const given = field.value.trim();
          try {
            // Not kept before the server has said that it is good.
            await send("GET", "/api/v2/keys/self", undefined, { headers: bearer(given) });
          } catch (error) {
            put(complaint, t("shell.key.wrong", { detail: error instanceof Error ? error.message : "" }));
            field.focus();
            return;
          }
          setKey(given);
          dialog.close();
          location.reload();
        },
      },
      h("h2", { id: "key-title" }, t("shell.key.title")),
      h("p", { class: "quiet" }, t("shell.key.why")),
      h("label", { class: "field" }, h("span", {}, t("shell.key.field")), field),
      complaint,
      h(
        "div",
        { class: "row" },
        h("button", { class: "primary" }, t("shell.key.use")),
        key() !== "" &&
          h(
            "button",
            { type: "button", onclick: forgetKey },
            t("shell.key.forget"),
          ),
        h("button", { type: "button", onclick: () => dialog.close() }, t("shell.cancel")),
        h("a", { href: "/consumers" }, t("shell.key.get")),
      ),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** @param {PageFacts} facts */
function footnotes(facts) {
  return [
    facts.demo && h("span", { class: "demo" }, t("shell.demo")),
    facts.licence && h("span", {}, t("shell.licence", { licence: facts.licence })),
    facts.attribution && h("span", {}, t("shell.source", { attribution: facts.attribution })),
    facts.contact && h("span", {}, t("shell.contact", { contact: facts.contact })),
    h("span", {}, t("shell.version", { version: facts.version })),
  ];
}
