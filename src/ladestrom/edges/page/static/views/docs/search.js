/**
 * The search through all that there is to read: guides section by section, requests, streams, error codes.
 */

import { get } from "../../base/api.js";
import { operations, openapi } from "../../base/contract.js";
import { h, put } from "../../base/dom.js";
import { count, t } from "../../base/words.js";

/** @typedef {{address: string, guide: string, title: string, text: string}} Entry */

const HITS_MAX = 30;
const AROUND_CHARACTERS = 90;
const WAIT_MS = 120;

/** @type {Promise<Entry[]> | null} */
let asked = null;

/** All that is searched, fetched once. @returns {Promise<Entry[]>} */
function entries() {
  asked ??= Promise.all([get("/docs/index.json"), openapi()]).then(
    ([guides, requests]) => [
      ...guides,
      ...operations(requests).map((each) => ({
        address: `/docs#${each.id}`,
        guide: t("docs.reference"),
        title: `${each.method} ${each.path}`,
        text: [each.id, each.summary, each.description, ...each.parameters.map((one) => one.name)].join(" "),
      })),
    ],
    (error) => {
      // The next word asks again.
      asked = null;
      throw error;
    },
  );
  return asked;
}

/**
 * A field, and where its hits stand.
 *
 * @param {() => number} [also] looks elsewhere too, and says how much it found
 * @returns {{element: HTMLElement, hits: HTMLElement, input: HTMLInputElement}}
 */
export function searching(also) {
  const input = h("input", { type: "search", name: "search", autocomplete: "off", oninput: soon });
  const found = h("p", { class: "quiet", role: "status" });
  const hits = h("div", { class: "hits" });
  let timer = 0;
  let run = 0;
  let own = 0;

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(() => void look(), WAIT_MS);
    own = also?.() ?? 0;
  }

  async function look() {
    const words = wordsOf(input.value);
    const mine = ++run;
    if (words.length === 0) {
      put(hits);
      put(found);
      return;
    }
    try {
      const all = ranked(await entries(), words);
      if (mine !== run) return;
      put(found, all.length > 0 ? count("docs.hits", all.length) : own > 0 ? "" : t("docs.none"));
      put(
        hits,
        all.length > 0 &&
          h("div", { class: "card" }, h("ol", {}, all.slice(0, HITS_MAX).map((each) => drawn(each, words)))),
      );
    } catch {
      put(found, t("shell.unreachable"));
    }
  }

  return { element: h("div", {}, h("label", { class: "field" }, h("span", {}, t("docs.search")), input), found), hits, input };
}

/** @param {string} text */
const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

/** Entries that have all words, those with more of them in their titles first. @param {Entry[]} all @param {string[]} words */
function ranked(all, words) {
  return all
    .map((entry) => {
      const title = entry.title.toLowerCase();
      const text = `${entry.guide} ${entry.title} ${entry.text}`.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      return { entry, rank: fits ? words.filter((word) => title.includes(word)).length + 1 : 0 };
    })
    .filter(({ rank }) => rank > 0)
    .sort((a, b) => b.rank - a.rank)
    .map(({ entry }) => entry);
}

/** @param {Entry} entry @param {string[]} words */
function drawn({ address, guide, title, text }, words) {
  const place = Math.max(0, ...words.map((word) => text.toLowerCase().indexOf(word)));
  const from = Math.max(0, place - AROUND_CHARACTERS);
  const part = text.slice(from, place + AROUND_CHARACTERS);
  return h(
    "li",
    { lang: "en" },
    h("a", { href: address }, guide && guide !== title ? `${guide}: ${title}` : title),
    h("p", { class: "quiet" }, from > 0 && "… ", marked(part, words), from + part.length < text.length && " …"),
  );
}

/** @param {string} text @param {string[]} words */
function marked(text, words) {
  const pattern = new RegExp(`(${words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "gi");
  return text.split(pattern).map((piece, index) => (index % 2 ? h("mark", {}, piece) : piece));
}
