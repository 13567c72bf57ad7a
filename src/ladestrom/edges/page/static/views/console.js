/**
 * The view `console`: any request and stream of this server, run here, and the same as code.
 */

import { key } from "../base/api.js";
import { codeTabs } from "../base/code.js";
import { openapi, operations } from "../base/contract.js";
import { confirmed } from "../base/dialog.js";
import { h, put } from "../base/dom.js";
import { blocks } from "../base/markdown.js";
import { failure, open } from "../base/shell.js";
import { PLACEHOLDER, snippets } from "../base/snippets.js";
import { t } from "../base/words.js";
import { answer } from "./console/answer.js";
import { opened } from "./console/channel.js";
import { fields } from "./console/form.js";
import { messages } from "./console/messages.js";

/** @typedef {import("../base/contract.js").Operation} Operation */

const FIRST = "streamV2";
const SAME = "streamV1Realtime";
/** The other path of the first version's stream. */

const shell = await open("console");

/** @type {Operation[]} */
let known = [];
/** @type {Operation | null} */
let operation = null;
/** @type {import("./console/channel.js").Channel | null} */
let channel = null;

const choice = h("select", {
  id: "operation",
  name: "operation",
  onchange: () => choose(choice.value, new URLSearchParams()),
});
const about = h("div", { class: "about quiet" });
const line = h("p", { class: "line" });
const form = fields(changed);
const run = h("button", { class: "primary" });
const reselect = h("button", { type: "button", onclick: select }, t("console.select"));
const shown = h("input", { type: "checkbox", name: "shown", onchange: changed });
const withKey = h("label", { class: "check" }, shown, t("code.key"));
const tabs = codeTabs(t("console.code"));
const once = answer(shell);
const stream = messages();
const state = h("p", { class: "row" });
const result = h("section", { class: "card result", "aria-labelledby": "result" });

put(
  shell.main,
  h("div", { class: "title" }, h("h1", {}, t("nav.console")), h("p", { class: "quiet" }, t("console.intro"))),
);
const trouble = h("div");
shell.main.append(trouble);
await load();

async function load() {
  try {
    const document = await openapi();
    known = operations(document).filter((each) => each.kind !== "socket" && each.id !== SAME);
    put(trouble);
    build();
  } catch (error) {
    put(trouble, failure(error, load));
  }
}

function build() {
  const streams = known.filter((each) => each.kind !== "rest");
  /** @type {Map<string, Operation[]>} */
  const groups = new Map([[t("console.streams"), streams]]);
  for (const each of known.filter((one) => one.kind === "rest")) {
    groups.set(each.tag, [...(groups.get(each.tag) ?? []), each]);
  }
  put(
    choice,
    [...groups].map(([label, members]) =>
      h(
        "optgroup",
        { label },
        members.map((each) => h("option", { value: each.id }, named(each))),
      ),
    ),
  );
  put(result, h("h2", { id: "result" }, t("console.result")), state, once.element, stream.element);
  shell.main.append(
    h(
      "div",
      { class: "console" },
      h(
        "section",
        { class: "card", "aria-labelledby": "what" },
        h("h2", { id: "what" }, t("console.what")),
        h(
          "form",
          { onsubmit: submitted },
          h(
            "div",
            { class: "field" },
            h("label", { for: "operation" }, h("strong", {}, t("console.operation"))),
            choice,
          ),
          about,
          form.element,
          h("div", { class: "row" }, run, reselect),
        ),
      ),
      h(
        "div",
        { class: "beside" },
        h(
          "section",
          { class: "card", "aria-labelledby": "code" },
          h("h2", { id: "code" }, t("console.code")),
          line,
          withKey,
          tabs.element,
        ),
        result,
      ),
    ),
  );
  fromAddress();
  window.addEventListener("hashchange", fromAddress);
  window.addEventListener("ladestrom-key", changed);
}

/** @param {Operation} each */
function named(each) {
  return each.kind === "rest" ? `${each.method} ${each.path}` : `${each.summary} (${each.path})`;
}

function fromAddress() {
  const [id = "", query = ""] = location.hash.slice(1).split("?");
  const wanted = id === SAME ? "streamV1" : id;
  if (wanted === operation?.id && query === String(form.kept())) return;
  choose(known.some((each) => each.id === wanted) ? wanted : FIRST, new URLSearchParams(query));
}

/** @param {string} id @param {URLSearchParams} values */
function choose(id, values) {
  disconnect();
  once.stop();
  operation = known.find((each) => each.id === id) ?? null;
  if (operation === null) return;
  choice.value = id;
  const isStream = operation.kind !== "rest";
  put(
    about,
    isStream ? null : h("p", {}, operation.summary),
    blocks(operation.description),
    h("p", {}, h("a", { href: `/docs#${id}` }, t("console.about"))),
  );
  form.show(operation, values);
  put(once.element, isStream ? null : h("p", { class: "empty quiet" }, t("console.notyet")));
  once.element.hidden = isStream;
  stream.element.hidden = !isStream;
  state.hidden = !isStream;
  if (isStream) {
    stream.begin("");
    tell("plain", t("stream.ended"));
  }
  changed();
}

/** What stands in the fields is another: so are the code and the address. */
function changed() {
  if (operation === null) return;
  const call = form.call();
  withKey.hidden = key() === "";
  put(line, h("code", {}, `${call.method} ${call.path}`));
  tabs.show(snippets(call, shown.checked && key() ? key() : PLACEHOLDER));
  const query = String(form.kept());
  history.replaceState(null, "", `#${operation.id}${query ? `?${query}` : ""}`);
  buttons();
}

function buttons() {
  const isStream = operation !== null && operation.kind !== "rest";
  put(run, isStream ? t(channel ? "console.disconnect" : "console.connect") : t("console.send"));
  reselect.hidden = channel?.say === undefined || channel.say === null;
}

/** @param {Event} event */
async function submitted(event) {
  event.preventDefault();
  if (operation === null) return;
  const call = form.call();
  if (operation.kind === "rest") {
    const isForGood = call.method === "DELETE" || call.path.endsWith("/rotate");
    const line = `${call.method} ${call.path}`;
    if (isForGood && !(await confirmed(t("console.confirm"), line, t("console.send")))) return;
    await once.run(call);
    showResult();
  } else if (channel) {
    disconnect();
    tell("plain", t("stream.ended"));
    buttons();
  } else connect(call);
}

/** @param {import("../base/snippets.js").Call} call */
function connect(call) {
  stream.begin(form.query().find(([name]) => name === "since")?.[1] ?? "");
  tell("plain", t("stream.connecting"));
  channel = opened(call, {
    opened() {
      tell("good", t("console.connected"));
      shell.announce(t("console.connected"));
      buttons();
    },
    message: stream.add,
    ended(why) {
      channel = null;
      tell("bad", why ? t("console.ended.why", { why }) : t("console.ended"));
      shell.announce(t("console.ended"));
      buttons();
    },
  });
  buttons();
  showResult();
}

function disconnect() {
  channel?.close();
  channel = null;
}

/** Below a long form nobody would see that something came. */
function showResult() {
  if (result.getBoundingClientRect().top > innerHeight - 120) result.scrollIntoView({ block: "start" });
}

/** Another selection on the connection that is open. */
function select() {
  const filters = form.query().filter(([name]) => !["since", "mode", "batch_ms"].includes(name));
  channel?.say?.(JSON.stringify({ type: "select", ...Object.fromEntries(filters) }));
}

/** @param {"good" | "bad" | "plain"} tone @param {string} text */
function tell(tone, text) {
  put(state, h("span", { class: "badge", "data-tone": tone }, text));
}
