/**
 * The view `consumers`: get a key, try it, read on; and what a key that is in use was used for.
 */

import { key } from "../base/api.js";
import { h, put } from "../base/dom.js";
import { open } from "../base/shell.js";
import { t } from "../base/words.js";
import { own } from "./consumers/own.js";
import { request } from "./consumers/request.js";
import { trial } from "./consumers/trial.js";

const shell = await open("consumers");
const { facts } = shell;
const attempts = trial();

const step1 = h("section", { class: "card", "aria-labelledby": "step-1" });
const first = h("span");
const mine = h("div");

/** @type {{stop: () => void} | null} */
let watching = null;

/** What stands first: the form, or what there is to say of the key in use. */
function showKey() {
  watching?.stop();
  watching = null;
  put(first, t(key() ? "consumers.own" : "consumers.get"));
  if (key()) {
    const shown = own(shell);
    watching = shown;
    put(mine, shown.element);
  } else put(mine, request(facts));
  attempts.show();
}

put(step1, h("h2", { id: "step-1" }, h("span", { class: "step" }, "1"), first), mine);
put(
  shell.main,
  h("div", { class: "title" }, h("h1", {}, t("consumers.title")), h("p", { class: "quiet" }, t("consumers.intro"))),
  h(
    "div",
    { class: "steps" },
    step1,
    h(
      "section",
      { class: "card", "aria-labelledby": "step-2" },
      h("h2", { id: "step-2" }, h("span", { class: "step" }, "2"), t("consumers.try")),
      attempts.element,
    ),
    h(
      "section",
      { class: "card", "aria-labelledby": "step-3" },
      h("h2", { id: "step-3" }, h("span", { class: "step" }, "3"), t("consumers.read")),
      h(
        "ul",
        { class: "reading" },
        h("li", {}, h("a", { href: "/console" }, t("consumers.read.console"))),
        h("li", {}, h("a", { href: "/docs" }, t("consumers.read.docs"))),
        h("li", {}, h("a", { href: "/docs#stream-streamV2" }, t("consumers.read.stream"))),
      ),
      h("h3", {}, t("consumers.licence")),
      facts.licence || facts.attribution
        ? h(
            "p",
            {},
            facts.licence && t("shell.licence", { licence: facts.licence }),
            facts.licence && facts.attribution && h("br"),
            facts.attribution && t("shell.source", { attribution: facts.attribution }),
          )
        : h("p", { class: "quiet" }, t("consumers.licence.none")),
      facts.contact && h("p", {}, t("shell.contact", { contact: facts.contact })),
    ),
  ),
);
window.addEventListener("ladestrom-key", showKey);
showKey();
