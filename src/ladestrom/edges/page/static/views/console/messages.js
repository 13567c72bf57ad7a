/**
 * What a stream says, as a list that is bounded, with figures and a look at whether anything is missing.
 */

import { coloured, copyButton } from "../../base/code.js";
import { h, put } from "../../base/dom.js";
import { bytes, count, number, t } from "../../base/words.js";
import { indented } from "./answer.js";

const KEPT_MAX = 200;
const KEPT_CHARACTERS_MAX = 8_000_000;
const SHOWN_CHARACTERS_MAX = 60_000;
const RATE_S = 5;
const FIGURES_MS = 500;
const TIME = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
});

/** @typedef {{at: number, text: string, message: any}} Heard */

/** Says whether what comes follows on what came. @param {string} since the position that was asked for */
export function chain(since) {
  /** @type {number | null} */
  let seq = since ? Number(since.split("-")[1]) : null;
  let links = 0;
  /** @type {string} */
  let broken = "";
  return {
    /** @param {any} message */
    take(message) {
      const isChained = message.type === "changes" || message.type === "heartbeat";
      if (isChained && seq !== null) {
        if (message.prev === seq) links += 1;
        else broken = t("console.chain.broken", { prev: String(message.prev), seq: String(seq) });
      }
      if (message.type === "status:update") {
        if (seq !== null && message.seq <= seq) broken = t("console.chain.order", { seq: String(message.seq) });
        else links += 1;
      }
      if (message.type === "reset" || message.type === "selected") seq = null;
      else if (message.type === "snapshot" && message.part < message.parts) return;
      else if (typeof message.seq === "number") seq = message.seq;
    },
    /** @returns {{broken: string, links: number}} */
    state: () => ({ broken, links }),
  };
}

/** The list with its controls. */
export function messages() {
  /** @type {Heard[]} */
  let kept = [];
  let characters = 0;
  let total = 0;
  let totalBytes = 0;
  /** @type {number[]} */
  let recent = [];
  let position = "";
  let links = chain("");
  let paused = false;
  let last = false;
  let waiting = 0;
  let frame = 0;
  let figuresAt = 0;
  const encoder = new TextEncoder();

  const figures = h("p", { class: "row figures-line" });
  const chained = h("span");
  const list = h("ol", { class: "messages", tabindex: 0, "aria-label": t("console.messages") });
  const none = h("p", { class: "empty quiet" }, t("console.messages.none"));
  const pause = h(
    "button",
    { type: "button", "aria-pressed": "false", onclick: () => setPaused(!paused) },
    t("console.pause"),
  );
  const order = h(
    "select",
    {
      name: "order",
      onchange: () => {
        last = order.value === "last";
        redraw();
      },
    },
    h("option", { value: "first" }, t("console.order.first")),
    h("option", { value: "last" }, t("console.order.last")),
  );
  const element = h(
    "div",
    {},
    figures,
    h(
      "div",
      { class: "row" },
      pause,
      h("button", { type: "button", onclick: clear }, t("console.clear")),
      h("label", { class: "check" }, t("console.order"), order),
    ),
    list,
    none,
  );

  /** @param {boolean} wanted */
  function setPaused(wanted) {
    paused = wanted;
    pause.setAttribute("aria-pressed", String(paused));
    put(pause, t(paused ? "console.resume" : "console.pause"));
    if (!paused) redraw();
  }

  function clear() {
    kept = [];
    characters = 0;
    waiting = 0;
    redraw();
  }

  function redraw() {
    put(list, (last ? kept : [...kept].reverse()).map(item));
    waiting = 0;
    none.hidden = kept.length > 0;
    if (last) list.scrollTop = list.scrollHeight;
  }

  function draw() {
    frame = 0;
    if (!paused && waiting > 0) {
      if (waiting >= KEPT_MAX) redraw();
      else {
        const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
        const fresh = kept.slice(-waiting).map(item);
        waiting = 0;
        if (last) list.append(...fresh);
        else list.prepend(...fresh.reverse());
        while (list.children.length > kept.length) (last ? list.firstElementChild : list.lastElementChild)?.remove();
        none.hidden = kept.length > 0;
        if (last && isAtEnd) list.scrollTop = list.scrollHeight;
      }
    }
    if (performance.now() - figuresAt > FIGURES_MS) showFigures();
  }

  function showFigures() {
    figuresAt = performance.now();
    recent = recent.filter((at) => figuresAt - at < RATE_S * 1000);
    const { broken, links: whole } = links.state();
    put(chained, broken || (whole > 0 ? count("console.chain", whole) : t("console.chain.none")));
    chained.className = "badge";
    chained.dataset["tone"] = broken ? "bad" : whole > 0 ? "good" : "plain";
    put(
      figures,
      h("span", {}, count("console.count", total)),
      h("span", {}, t("console.rate", { rate: recent.length / RATE_S })),
      h("span", {}, bytes(totalBytes)),
      position && h("span", {}, t("console.position"), " ", h("code", {}, position)),
      chained,
    );
  }

  setInterval(() => {
    if (total > 0) showFigures();
  }, 1_000);
  showFigures();

  return {
    element,
    /** Begins anew. @param {string} since */
    begin(since) {
      total = 0;
      totalBytes = 0;
      recent = [];
      position = "";
      links = chain(since);
      setPaused(false);
      clear();
      showFigures();
    },
    /** @param {string} text */
    add(text) {
      const message = parsed(text);
      total += 1;
      totalBytes += encoder.encode(text).length;
      recent.push(performance.now());
      if (recent.length > 20_000) recent.splice(0, 10_000);
      links.take(message);
      if (message.epoch && typeof message.seq === "number") position = `${message.epoch}-${message.seq}`;
      kept.push({ at: Date.now(), text, message });
      characters += text.length;
      waiting += 1;
      while (kept.length > KEPT_MAX || (characters > KEPT_CHARACTERS_MAX && kept.length > 1)) {
        characters -= kept.shift()?.text.length ?? 0;
      }
      waiting = Math.min(waiting, kept.length);
      frame ||= requestAnimationFrame(draw);
    },
  };
}

/** @param {string} text @returns {any} */
function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/** One message; its text is laid out when it is opened. @param {Heard} heard */
function item({ at, text, message }) {
  const body = h("div");
  const details = h(
    "details",
    {
      ontoggle: () => {
        if (!details.open || body.firstChild) return;
        const pretty = indented(text);
        put(
          body,
          h(
            "div",
            { class: "code" },
            h(
              "pre",
              { tabindex: 0, role: "region", "aria-label": String(message.type ?? "") },
              h("code", {}, coloured(pretty.slice(0, SHOWN_CHARACTERS_MAX), "json")),
            ),
            copyButton(() => text),
          ),
          pretty.length > SHOWN_CHARACTERS_MAX &&
            h("p", { class: "quiet" }, t("console.cut", { shown: SHOWN_CHARACTERS_MAX, all: pretty.length })),
        );
      },
    },
    h(
      "summary",
      {},
      h("time", { class: "quiet" }, TIME.format(at)),
      h("strong", {}, String(message.type ?? "?")),
      h("span", { class: "gist" }, gist(message)),
      h("span", { class: "quiet size" }, bytes(text.length)),
    ),
    body,
  );
  return h("li", {}, details);
}

/** What a message says, on one line. @param {any} message @returns {string} */
function gist(message) {
  switch (message.type) {
    case "hello":
      return message.server;
    case "snapshot":
      return t("console.gist.snapshot", { part: message.part, parts: message.parts, evses: message.evses.length });
    case "changes":
      return message.changes
        .map((/** @type {any} */ one) => `${one.evse} ${one.status}`)
        .slice(0, 5)
        .join(", ");
    case "heartbeat":
      return `${message.server_time} ${message.count} ${message.digest}`;
    case "snapshot:init":
      return t("console.gist.stations", { stations: message.data.length });
    case "status:update":
    case "status:raw":
      return `${message.data.uuid} ${number(message.data.status)}`;
    default:
      return message.reason ?? message.code ?? message.detail ?? "";
  }
}
