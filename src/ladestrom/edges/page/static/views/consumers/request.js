/**
 * The form in which somebody asks for a key, and the key, shown once.
 */

import { ApiError, post, setKey } from "../../base/api.js";
import { copyButton } from "../../base/code.js";
import { h, put } from "../../base/dom.js";
import { askForKey } from "../../base/shell.js";
import { moment, t } from "../../base/words.js";

/** @typedef {import("../../base/shell.js").PageFacts} PageFacts */
/** @typedef {{id: string, key: string, name: string, state: string, expires_at: string | null, overlap_until?: string | null}} MadeKey */

const NAME_CHARACTERS_MAX = 80;
const PURPOSE_CHARACTERS_MAX = 500;

/** What the server's policy leaves to do. @param {PageFacts} facts @returns {HTMLElement} */
export function request(facts) {
  const given = h(
    "p",
    { class: "quiet" },
    t("consumers.have"),
    " ",
    h("button", { type: "button", class: "link", onclick: askForKey }, t("consumers.have.use")),
  );
  if (facts.keys === "closed") {
    return h(
      "div",
      {},
      h(
        "div",
        { class: "notice" },
        h("p", {}, t("consumers.closed")),
        h("p", {}, facts.contact ? t("shell.contact", { contact: facts.contact }) : t("consumers.closed.nocontact")),
      ),
      given,
    );
  }
  const place = h("div");
  put(
    place,
    form(facts, (made) => {
      const box = shownOnce(made);
      put(place, box);
      box.focus();
    }),
    given,
  );
  return place;
}

/** @param {PageFacts} facts @param {(made: MadeKey) => void} done */
function form(facts, done) {
  const name = h("input", {
    name: "name",
    required: true,
    maxlength: NAME_CHARACTERS_MAX,
    autocomplete: "organization",
  });
  const email = h("input", { name: "email", type: "email", autocomplete: "email" });
  const purpose = h("textarea", { name: "purpose", rows: 2, maxlength: PURPOSE_CHARACTERS_MAX });
  const button = h(
    "button",
    { class: "primary" },
    t(facts.keys === "open" ? "consumers.form.get" : "consumers.form.ask"),
  );
  const complaint = h("p", { class: "bad", role: "alert" });
  return h(
    "form",
    {
      onsubmit: async (/** @type {Event} */ event) => {
        event.preventDefault();
        button.disabled = true;
        put(complaint);
        const asked = {
          name: name.value,
          ...(email.value && { email: email.value }),
          ...(purpose.value && { purpose: purpose.value }),
        };
        try {
          done(await post("/api/v2/keys", asked));
        } catch (error) {
          put(complaint, error instanceof ApiError ? error.message : String(error));
        }
        button.disabled = false;
      },
    },
    h("p", {}, t(facts.keys === "open" ? "consumers.open" : "consumers.approval")),
    h("label", { class: "field" }, h("span", {}, t("consumers.form.name")), name),
    h("label", { class: "field" }, h("span", {}, t("consumers.form.email")), email),
    h("label", { class: "field" }, h("span", {}, t("consumers.form.purpose")), purpose),
    complaint,
    button,
  );
}

/** The text of a key that was just made. @param {MadeKey} made @returns {HTMLElement} */
export function shownOnce(made) {
  return h(
    "div",
    { class: "made", tabindex: -1, "aria-labelledby": "made" },
    h("h3", { id: "made" }, t("consumers.made", { name: made.name })),
    h("p", {}, t("consumers.made.once")),
    h(
      "div",
      { class: "secret" },
      h("code", {}, made.key),
      copyButton(() => made.key, t("consumers.made.copy")),
    ),
    made.state === "pending" && h("p", { class: "notice" }, t("consumers.made.pending")),
    made.overlap_until && h("p", {}, t("consumers.made.overlap", { at: moment(made.overlap_until) })),
    made.expires_at && h("p", { class: "quiet" }, t("consumers.made.until", { at: moment(made.expires_at) })),
    h("button", { type: "button", class: "primary", onclick: () => setKey(made.key) }, t("consumers.made.use")),
  );
}
