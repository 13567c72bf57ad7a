/**
 * Code that is shown: coloured a little, copied with one press, in tabs where there are several forms of it.
 */

import { h, put } from "./dom.js";
import { t } from "./words.js";

/** @typedef {"shell" | "python" | "javascript" | "json" | "text"} Language */
/** @typedef {{label: string, language: Language, text: string}} Form */

const COLOURED_CHARACTERS_MAX = 60_000;
/** Beyond it a text is shown plainly: each coloured word is an element. */
const COPIED_MS = 2_000;
const WORDS =
  "and as async await class const continue def except false finally for from function if import in let new null of or pass return true try while with None True False";
const JSON_TOKENS = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b/g;
const STRING = `"(?:[^"\\\\\\n]|\\\\.)*"|'(?:[^'\\\\\\n]|\\\\.)*'|\`(?:[^\`\\\\]|\\\\.)*\``;
const CODE_TOKENS = {
  hash: new RegExp(`(${STRING})|(#.*)|\\b(${WORDS.split(" ").join("|")})\\b`, "g"),
  slashes: new RegExp(`(${STRING})|((?<![:\\w])//.*)|\\b(${WORDS.split(" ").join("|")})\\b`, "g"),
};

/** A text as nodes with colours. @param {string} text @param {Language} language @returns {(Node | string)[]} */
export function coloured(text, language) {
  if (language === "text" || text.length > COLOURED_CHARACTERS_MAX) return [text];
  const isJson = language === "json";
  const tokens = isJson ? JSON_TOKENS : language === "javascript" ? CODE_TOKENS.slashes : CODE_TOKENS.hash;
  /** @type {(Node | string)[]} */
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(tokens)) {
    const [whole, string, second, third, fourth] = match;
    if (match.index > end) nodes.push(text.slice(end, match.index));
    if (isJson && string !== undefined) {
      nodes.push(h("span", { class: second ? "c-name" : "c-string" }, string), second ?? "");
    } else {
      const kind = isJson
        ? third !== undefined
          ? "c-number"
          : "c-word"
        : string !== undefined
          ? "c-string"
          : second !== undefined
            ? "c-note"
            : "c-word";
      nodes.push(h("span", { class: kind }, string ?? second ?? third ?? fourth ?? whole));
    }
    end = match.index + whole.length;
  }
  nodes.push(text.slice(end));
  return nodes;
}

/**
 * A button that copies what `text` gives when it is pressed, and says that it did.
 *
 * @param {() => string} text
 * @param {string} [label]
 */
export function copyButton(text, label = t("code.copy")) {
  let timer = 0;
  const button = h(
    "button",
    {
      type: "button",
      class: "copy",
      onclick: async () => {
        await copy(text());
        put(button, t("code.copied"));
        clearTimeout(timer);
        timer = setTimeout(() => put(button, label), COPIED_MS);
      },
    },
    label,
  );
  return button;
}

/** @param {string} text */
async function copy(text) {
  // The clipboard is there on pages of https and of this machine only.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = h("textarea", { class: "spoken" });
  field.value = text;
  const holder = document.querySelector("dialog[open]") ?? document.body;
  const before = document.activeElement;
  holder.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  if (before instanceof HTMLElement) before.focus();
}

/** One text with its button. @param {string} label what it is @param {Language} language @param {string} text */
export function code(label, language, text) {
  return h(
    "div",
    { class: "code" },
    h("pre", { tabindex: 0, role: "region", "aria-label": label }, h("code", {}, coloured(text, language))),
    copyButton(() => text),
  );
}

/**
 * Several forms of the same code, one shown at a time; the arrow keys change between them.
 *
 * @param {string} label
 * @returns {{element: HTMLElement, show: (forms: Form[]) => void}} `show` with as many forms as before
 */
export function codeTabs(label) {
  const id = `code-${++made}`;
  let chosen = 0;
  /** @type {Form[]} */
  let forms = [];
  const list = h("div", { class: "segments", role: "tablist", "aria-label": label });
  const text = h("code");
  const panel = h("pre", { role: "tabpanel", tabindex: 0, id: `${id}-panel` }, text);
  const element = h(
    "div",
    { class: "tabbed" },
    h(
      "div",
      { class: "row" },
      list,
      copyButton(() => forms[chosen]?.text ?? ""),
    ),
    h("div", { class: "code" }, panel),
  );
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    choose((chosen + step + forms.length) % forms.length);
    /** @type {HTMLElement} */ (list.children[chosen]).focus();
  });

  /** @param {number} index */
  function choose(index) {
    chosen = index;
    [...list.children].forEach((tab, each) => {
      tab.setAttribute("aria-selected", String(each === index));
      tab.setAttribute("tabindex", each === index ? "0" : "-1");
    });
    panel.setAttribute("aria-labelledby", `${id}-tab-${index}`);
    const form = forms[index];
    if (form) {
      put(text, coloured(form.text, form.language));
      panel.dataset["language"] = form.language;
    }
  }

  return {
    element,
    show(given) {
      forms = given;
      if (list.children.length !== forms.length) {
        put(
          list,
          forms.map((form, index) =>
            h(
              "button",
              {
                type: "button",
                role: "tab",
                id: `${id}-tab-${index}`,
                "aria-controls": `${id}-panel`,
                onclick: () => choose(index),
              },
              form.label,
            ),
          ),
        );
      }
      choose(Math.min(chosen, forms.length - 1));
    },
  };
}

let made = 0;
