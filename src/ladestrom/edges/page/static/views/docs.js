/**
 * The view `docs`: every request and stream of this server, drawn from the contracts that it publishes.
 */

import { asyncapi, openapi, operations } from "../base/contract.js";
import { h, put } from "../base/dom.js";
import { blocks, inline } from "../base/markdown.js";
import { failure, open } from "../base/shell.js";
import { count, t } from "../base/words.js";
import { channels, drawnChannel } from "./docs/channel.js";
import { anyStation } from "./docs/example.js";
import { drawnOperation } from "./docs/operation.js";
import { drawnSchema } from "./docs/schema.js";
import { searching } from "./docs/search.js";

/** @typedef {import("../base/contract.js").Document} Document */
/** @typedef {{id: string, label: string, method: string, text: string, draw: () => HTMLElement}} Entry */
/** @typedef {{title: string, about: string, entries: Entry[]}} Group */

const shell = await open("docs");
const guides = document.querySelector("nav.guides");
const found = h("p", { class: "quiet", role: "status" });
const search = searching(() => filter());
const contents = h("nav", { class: "contents", "aria-label": t("docs.contents") });
const body = h("div", { class: "reference" });
/** @type {{entry: Entry, item: HTMLElement, section: HTMLElement, group: HTMLElement, part: HTMLElement}[]} */
let drawn = [];

put(
  shell.main,
  h("div", { class: "title" }, h("h1", {}, t("nav.docs")), h("p", { class: "quiet" }, t("docs.intro"))),
  h(
    "div",
    { class: "row raw" },
    h("a", { href: "/openapi.json" }, t("docs.raw.openapi")),
    h("a", { href: "/asyncapi.json" }, t("docs.raw.asyncapi")),
    h("a", { href: "/console" }, t("docs.console")),
    h("a", { href: "/docs/errors" }, t("docs.errors")),
    h("a", { href: "/llms.txt" }, "llms.txt"),
  ),
  h(
    "div",
    { class: "docs", "aria-busy": "true" },
    h(
      "div",
      { class: "side" },
      search.element,
      found,
      contents,
    ),
    h("div", { class: "reference" }, search.hits, body),
  ),
);
await load();

async function load() {
  try {
    const [requests, streams, station] = await Promise.all([openapi(), asyncapi(), anyStation(shell.facts.station)]);
    draw(requests, streams, station);
  } catch (error) {
    put(body, failure(error, load));
  }
  shell.main.querySelector(".docs")?.removeAttribute("aria-busy");
}

/** @param {Document} requests @param {Document} streams @param {import("./docs/example.js").Station | null} station */
function draw(requests, streams, station) {
  if (guides) contents.append(h("div", { class: "group" }, h("h2", {}, t("docs.guides")), guides));
  const groups = [...ofRequests(requests, station), ofStreams(streams), ofSchemas(requests, streams)];
  put(
    body,
    h(
      "section",
      { class: "card about", "aria-labelledby": "about" },
      h("h2", { id: "about" }, t("docs.about")),
      blocks(requests["info"].description),
    ),
  );
  for (const [index, group] of groups.entries()) {
    const list = h("ul");
    const item = h("div", { class: "group" }, h("h2", {}, group.title), list);
    const id = `group-${index}`;
    const part = h(
      "section",
      { "aria-labelledby": id },
      h("h2", { id }, group.title),
      group.about && h("p", { class: "quiet" }, inline(group.about)),
    );
    for (const entry of group.entries) {
      const section = h("article", {
        class: "card entry",
        id: entry.id,
        tabindex: -1,
        "aria-labelledby": `${entry.id}-title`,
      });
      const link = h(
        "li",
        {},
        h(
          "a",
          { href: `#${entry.id}` },
          entry.method && h("span", { class: "method", "data-method": entry.method }, entry.method),
          h("span", {}, entry.label),
        ),
      );
      put(section, entry.draw());
      drawn.push({ entry, item: link, section, group: item, part });
      list.append(link);
      part.append(section);
    }
    contents.append(item);
    body.append(part);
  }
  licence();
  filter();
  toAnchor();
  window.addEventListener("hashchange", toAnchor);
}

/** @param {Document} document @param {import("./docs/example.js").Station | null} station @returns {Group[]} */
function ofRequests(document, station) {
  const all = operations(document);
  const tags = /** @type {{name: string, description?: string}[]} */ (document["tags"] ?? []);
  return tags.map(({ name, description }) => ({
    title: name,
    about: description ?? "",
    entries: all
      .filter((each) => each.tag === name)
      .map((each) => ({
        id: each.id,
        label: each.path,
        method: each.kind === "rest" || each.kind === "events" ? each.method : "WS",
        text: [
          each.id,
          each.method,
          each.path,
          each.summary,
          each.description,
          ...each.parameters.map((one) => one.name),
        ].join(" "),
        draw: () => drawnOperation(document, each, station),
      })),
  }));
}

/** @param {Document} document @returns {Group} */
function ofStreams(document) {
  return {
    title: t("docs.streams"),
    about: "",
    entries: channels(document).map((each) => ({
      id: `stream-${each.id}`,
      label: each.address,
      method: each.isSocket ? "WS" : "SSE",
      text: [each.id, each.address, each.title, each.description, ...each.messages.map((one) => one.name)].join(" "),
      draw: () => drawnChannel(document, each),
    })),
  };
}

/** The shapes of both documents; where both have one, it is the same. @param {Document} requests @param {Document} streams @returns {Group} */
function ofSchemas(requests, streams) {
  /** @type {Record<string, any>} */
  const all = { ...streams["components"].schemas, ...requests["components"].schemas };
  return {
    title: t("docs.schemas"),
    about: "",
    entries: Object.keys(all)
      .sort()
      .map((name) => ({
        id: `schema-${name}`,
        label: name,
        method: "",
        text: `${name} ${all[name].description ?? ""} ${Object.keys(all[name].properties ?? {}).join(" ")}`,
        draw: () => drawnSchema(name, all[name]),
      })),
  };
}

function licence() {
  const { licence, attribution } = shell.facts;
  body.append(
    h(
      "section",
      { class: "card", "aria-labelledby": "licence" },
      h("h2", { id: "licence" }, t("docs.licence")),
      h("p", {}, licence ? t("shell.licence", { licence }) : t("consumers.licence.none")),
      attribution && h("p", {}, t("shell.source", { attribution })),
      h("p", { class: "quiet" }, t("docs.licence.program")),
    ),
  );
}

/** Leaves what has all of the words, and says how much that is. */
function filter() {
  const words = search.input.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  /** @type {Set<HTMLElement>} */
  const seen = new Set();
  for (const { entry, item, section, group, part } of drawn) {
    const text = entry.text.toLowerCase();
    const fits = words.every((word) => text.includes(word));
    item.hidden = !fits;
    section.hidden = !fits;
    if (fits) {
      shown += 1;
      seen.add(group).add(part);
    }
  }
  for (const { group, part } of drawn) {
    group.hidden = !seen.has(group);
    part.hidden = !seen.has(part);
  }
  put(found, words.length === 0 || shown === 0 ? "" : count("docs.found", shown));
  return shown;
}

/** Goes where the address points; what the search hides is shown again. */
function toAnchor() {
  const wanted = decodeURIComponent(location.hash.slice(1));
  const entry = drawn.find((each) => each.entry.id === wanted);
  for (const each of drawn) {
    if (each === entry) each.item.firstElementChild?.setAttribute("aria-current", "location");
    else each.item.firstElementChild?.removeAttribute("aria-current");
  }
  if (!entry) return;
  if (entry.section.hidden) {
    search.input.value = "";
    filter();
  }
  entry.section.scrollIntoView({ block: "start" });
  entry.section.focus({ preventScroll: true });
}
