/**
 * A stream of either version as it comes, opened with a ticket: over WebSocket, or as server-sent events.
 */

import { ask, post, problem } from "../../base/api.js";

/** @typedef {import("../../base/snippets.js").Call} Call */
/**
 * @typedef {object} Listener
 * @property {() => void} opened
 * @property {(text: string) => void} message
 * @property {(why: string) => void} ended told once, whatever ended it but `close`
 */
/**
 * @typedef {object} Channel
 * @property {() => void} close
 * @property {((text: string) => void) | null} say speaks to the server; null where that cannot be
 */

/**
 * Opens a stream. It does not come back by itself: who looks sees how it ended.
 *
 * @param {Call} call
 * @param {Listener} listener
 * @returns {Channel}
 */
export function opened(call, listener) {
  return call.kind === "events" ? events(call, listener) : socket(call, listener);
}

/** The call's path with a ticket that is good once. @param {Call} call */
async function ticketed({ path }) {
  const { ticket } = await post("/api/v2/tickets");
  return `${path}${path.includes("?") ? "&" : "?"}ticket=${encodeURIComponent(ticket)}`;
}

/** @param {Call} call @param {Listener} listener @returns {Channel} */
function socket(call, listener) {
  /** @type {WebSocket | null} */
  let stream = null;
  let over = false;
  let wasOpen = false;

  /** @param {string} why */
  function end(why) {
    if (over) return;
    over = true;
    listener.ended(why);
  }

  async function begin() {
    const path = await ticketed(call);
    if (over) return;
    stream = new WebSocket(location.origin.replace(/^http/, "ws") + path);
    stream.onopen = () => {
      wasOpen = true;
      if (!over) listener.opened();
    };
    stream.onmessage = ({ data }) => {
      if (!over) listener.message(String(data));
    };
    stream.onclose = async ({ code, reason }) => {
      // A browser does not tell what a request was refused with before it became a WebSocket.
      end(wasOpen ? [code, reason].filter(Boolean).join(" ") : await refusal(call));
    };
  }

  begin().catch((error) => end(error instanceof Error ? error.message : String(error)));
  return {
    close() {
      over = true;
      stream?.close(1000);
    },
    say: call.kind === "v2" ? (text) => stream?.send(text) : null,
  };
}

/** What the same request is told as events, which have the words of version 2. @param {Call} call */
async function refusal(call) {
  const plain = call.path.replace(/^[^?]*/, "/api/v2/events");
  const own = new AbortController();
  try {
    const response = await ask("GET", await ticketed({ ...call, path: plain }), undefined, { signal: own.signal });
    if (!response.ok) return (await problem(response)).message;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    own.abort();
  }
  return "1006";
}

/** @param {Call} call @param {Listener} listener @returns {Channel} */
function events(call, listener) {
  const own = new AbortController();

  async function begin() {
    const response = await ask("GET", await ticketed(call), undefined, {
      signal: own.signal,
      headers: { accept: "text/event-stream" },
    });
    if (!response.ok || !response.body) throw await problem(response);
    listener.opened();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let kept = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (kept + value).split("\n\n");
      kept = parts.pop() ?? "";
      for (const part of parts) {
        const data = part.split("\n").filter((line) => line.startsWith("data:"));
        if (data.length > 0) listener.message(data.map((line) => line.slice(5).trimStart()).join("\n"));
      }
    }
  }

  begin()
    .then(() => listener.ended(""))
    .catch((error) => {
      if (!own.signal.aborted) listener.ended(error instanceof Error ? error.message : String(error));
    });
  return { close: () => own.abort(), say: null };
}
