/**
 * Requests of this server as code that runs: for a shell, in Python, in JavaScript.
 *
 * Python has nothing but its standard library where that is enough, and `websockets` for WebSockets. JavaScript
 * runs in a browser and in Node.js.
 */

/** @typedef {import("./code.js").Form} Form */
/**
 * @typedef {object} Call
 * @property {"rest" | "v1" | "v2" | "events"} kind
 * @property {string} method
 * @property {string} path with its query, without a key
 * @property {string} [body] JSON
 * @property {Record<string, string>} [headers] beside those of key and body
 */

export const PLACEHOLDER = "YOUR_KEY";
/** Stands in code for a key that is not shown. */

/** @param {Call} call @param {string} key @returns {Form[]} */
export function snippets(call, key) {
  const address = location.origin + call.path;
  const socket = address.replace(/^http/, "ws");
  const by = {
    rest: () => [curl(call, address, key), pythonRest(call, address, key), scriptRest(call, address, key)],
    events: () => [curl(call, address, key), pythonEvents(address, key), scriptEvents(address, key)],
    v1: () => [curlSocket(socket, key), pythonSocket(socket, key, V1_LINES), scriptSocket(socket, key)],
    v2: () => [curlSocket(socket, key), pythonResuming(socket, key), scriptResuming(socket, key)],
  };
  const [shell, python, javascript] = by[call.kind]();
  /** @type {Form[]} */
  const forms = [
    { label: "curl", language: "shell", text: shell ?? "" },
    { label: "Python", language: "python", text: python ?? "" },
    { label: "JavaScript", language: "javascript", text: javascript ?? "" },
  ];
  if (call.kind === "v2") forms.push({ label: "Python, proved", language: "python", text: pythonProving(socket, key) });
  return forms;
}

/** A text as the shell takes it. @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A text as Python and JavaScript take it. @param {string} text */
const literal = (text) => JSON.stringify(text);

/** @param {Call} call @param {string} address @param {string} key */
function curl(call, address, key) {
  const parts = [`curl ${call.kind === "events" ? "-sN" : "-s"} -H ${quoted(`X-Api-Key: ${key}`)}`];
  if (call.method !== "GET") parts.push(`-X ${call.method}`);
  for (const [name, value] of Object.entries(call.headers ?? {})) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (call.body !== undefined) parts.push(`-H 'Content-Type: application/json'`, `-d ${quoted(call.body)}`);
  parts.push(quoted(address));
  return parts.join(" \\\n  ");
}

/** @param {string} address @param {string} key */
const curlSocket = (address, key) =>
  `# curl 8.11 or newer\ncurl -sN -H ${quoted(`X-Api-Key: ${key}`)} \\\n  ${quoted(address)}`;

/** @param {Call} call @param {string} address @param {string} key */
function pythonRest(call, address, key) {
  const lines = [`    ${literal(address)},`, `    method=${literal(call.method)},`];
  const headers = Object.entries({ "X-Api-Key": key, ...call.headers }).map((pair) => pair.map(literal).join(": "));
  if (call.body !== undefined) {
    headers.push('"Content-Type": "application/json"');
    lines.push(`    data=${literal(call.body)}.encode(),`);
  }
  lines.push(`    headers={${headers.join(", ")}},`);
  return `import urllib.error
import urllib.request

request = urllib.request.Request(
${lines.join("\n")}
)
try:
    with urllib.request.urlopen(request) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as refused:
    print(refused.read().decode())
`;
}

/** @param {string} address @param {string} key */
const pythonEvents = (address, key) => `import json
import urllib.request

request = urllib.request.Request(
    ${literal(address)},
    headers={"X-Api-Key": ${literal(key)}},
)
with urllib.request.urlopen(request) as events:
    for line in events:
        if line.startswith(b"data:"):
            message = json.loads(line[5:])
            print(message["type"], message.get("seq", ""), flush=True)
            for change in message.get("changes", []):
                print(change["evse"], change["status"], flush=True)
`;

const V1_LINES = `                if message["type"] == "status:update":
                    print(message["data"]["uuid"], message["data"]["status"], flush=True)`;

/**
 * Follows without a gap: each message says which one it follows, and who comes back says where it was.
 *
 * @param {string} address
 * @param {string} key
 */
const pythonResuming = (address, key) => `import asyncio
import json
import random

import websockets  # pip install websockets

URL = ${literal(address)}
KEY = ${literal(key)}


async def follow(position):
    """Until the connection ends; gives the position to go on from."""
    resume = f"{'&' if '?' in URL else '?'}since={position}" if position else ""
    try:
        async with websockets.connect(
            URL + resume, additional_headers={"X-Api-Key": KEY}, max_size=None
        ) as stream:
            async for text in stream:
                message = json.loads(text)
                if position and "prev" in message and position != f"{message['epoch']}-{message['prev']}":
                    return ""  # a message was lost: begin anew
                print(message["type"], message.get("seq", ""), flush=True)
                for change in message.get("changes", []):
                    print(change["evse"], change["status"], flush=True)
                if message["type"] == "reset":
                    position = ""
                elif message["type"] in {"snapshot", "changes", "heartbeat"}:
                    if message.get("part") == message.get("parts"):
                        position = f"{message['epoch']}-{message['seq']}"
    except (OSError, websockets.ConnectionClosed):
        pass
    return position


async def main():
    position = ""
    while True:
        position = await follow(position)
        await asyncio.sleep(1 + 4 * random.random())


asyncio.run(main())
`;

/**
 * Keeps the state, and proves with each heartbeat that it is the server's.
 *
 * @param {string} address
 * @param {string} key
 */
const pythonProving = (address, key) => `import asyncio
import json
import zlib

import websockets  # pip install websockets

URL = ${literal(address)}
KEY = ${literal(key)}


def digest(rows):
    """What the rows add up to: the server says the same, or one of them is wrong."""
    total = 0
    for evse, row in rows.items():
        said = f"{evse}|{row['status']}|{row['error']}|{row['changed_at'] or ''}"
        crc = zlib.crc32(said.encode())
        crc = (crc ^ crc >> 16) * 0x85EBCA6B % 2**32
        crc = (crc ^ crc >> 13) * 0xC2B2AE35 % 2**32
        total += crc ^ crc >> 16
    return f"{total % 2**32:08x}"


async def main():
    async for stream in websockets.connect(URL, additional_headers={"X-Api-Key": KEY}, max_size=None):
        rows, seq = {}, None
        try:
            async for text in stream:
                message = json.loads(text)
                if seq is not None and message.get("prev", seq) != seq:
                    raise ValueError("a message was lost")
                for row in message.get("evses", []) + message.get("changes", []):
                    evse = row["evse"].upper().replace("*", "").replace("-", "")
                    rows.pop(evse, None)
                    if row["status"] not in {"PLANNED", "REMOVED"}:
                        rows[evse] = row
                if message["type"] in {"snapshot", "changes", "heartbeat"}:
                    if message.get("part") == message.get("parts"):
                        seq = message["seq"]
                print(message["type"], message.get("seq", ""), flush=True)
                for change in message.get("changes", []):
                    print(change["evse"], change["status"], flush=True)
                if message["type"] == "heartbeat":
                    if (message["count"], message["digest"]) != (len(rows), digest(rows)):
                        raise ValueError("a row is wrong")
                    print("proved:", len(rows), "charging points are as on the server", flush=True)
        except (ValueError, websockets.ConnectionClosed) as end:
            print("begins anew:", end, flush=True)


asyncio.run(main())
`;

/** @param {string} address @param {string} key @param {string} lines */
const pythonSocket = (address, key, lines) => `import asyncio
import json

import websockets  # pip install websockets

URL = ${literal(address)}
KEY = ${literal(key)}


async def main():
    async for stream in websockets.connect(URL, additional_headers={"X-Api-Key": KEY}, max_size=None):
        try:
            async for text in stream:
                message = json.loads(text)
                print(message["type"], message.get("seq", ""), flush=True)
${lines}
        except websockets.ConnectionClosed:
            continue  # the loop connects again


asyncio.run(main())
`;

/** @param {Call} call @param {string} address @param {string} key */
function scriptRest(call, address, key) {
  const headers = Object.entries({ "X-Api-Key": key, ...call.headers }).map((pair) => pair.map(literal).join(": "));
  const lines = [`  method: ${literal(call.method)},`];
  if (call.body !== undefined) {
    headers.push('"Content-Type": "application/json"');
    lines.push(`  body: ${literal(call.body)},`);
  }
  lines.push(`  headers: { ${headers.join(", ")} },`);
  return `async function ask() {
  const answer = await fetch(${literal(address)}, {
${lines.map((line) => `  ${line}`).join("\n")}
  });
  console.log(answer.status, await answer.text());
}

ask();
`;
}

const TAKE = `let position = "";

/** Checks that nothing is missing, and remembers where to go on. */
function take(message) {
  if (position && "prev" in message && position !== \`\${message.epoch}-\${message.prev}\`) {
    position = "";
    throw new Error("a message was lost: begin anew");
  }
  console.log(message.type, message.seq ?? "", ...(message.changes ?? []).map((change) => change.evse));
  if (message.type === "reset") position = "";
  const counts = ["snapshot", "changes", "heartbeat"].includes(message.type) && message.part === message.parts;
  if (counts) position = \`\${message.epoch}-\${message.seq}\`;
}
`;

/** @param {string} address @param {string} key */
const scriptEvents = (address, key) => `${TAKE}
async function follow() {
  const address = new URL(${literal(address)});
  if (position) address.searchParams.set("since", position);
  const answer = await fetch(address, { headers: { "X-Api-Key": ${literal(key)} } });
  if (!answer.ok) throw new Error(await answer.text());
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (kept + value).split("\\n");
    kept = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) take(JSON.parse(line.slice(5)));
  }
}

async function main() {
  for (;;) {
    await follow().catch((error) => console.error(error.message));
    await new Promise((resolve) => setTimeout(resolve, 1000 + 4000 * Math.random()));
  }
}

main();
`;

/** @param {string} address @param {string} key */
const scriptResuming = (address, key) => `// A browser sends no key with a WebSocket: a ticket opens it, once.
${TAKE}
async function follow() {
  const answer = await fetch(${literal(`${location.origin}/api/v2/tickets`)}, {
    method: "POST",
    headers: { "X-Api-Key": ${literal(key)} },
  });
  if (!answer.ok) throw new Error(await answer.text());
  const address = new URL(${literal(address)});
  address.searchParams.set("ticket", (await answer.json()).ticket);
  if (position) address.searchParams.set("since", position);
  const stream = new WebSocket(address);
  stream.onmessage = ({ data }) => {
    try {
      take(JSON.parse(data));
    } catch (error) {
      console.error(error.message);
      stream.close();
    }
  };
  stream.onclose = again;
}

const again = () => setTimeout(() => follow().catch(again), 1000 + 4000 * Math.random());
follow().catch(again);
`;

/** @param {string} address @param {string} key */
const scriptSocket = (address, key) => `// A browser sends no key with a WebSocket: a ticket opens it, once.
async function follow() {
  const answer = await fetch(${literal(`${location.origin}/api/v2/tickets`)}, {
    method: "POST",
    headers: { "X-Api-Key": ${literal(key)} },
  });
  if (!answer.ok) throw new Error(await answer.text());
  const address = new URL(${literal(address)});
  address.searchParams.set("ticket", (await answer.json()).ticket);
  const stream = new WebSocket(address);
  stream.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    console.log(message.type, message.seq ?? "", message.data?.uuid ?? "");
  };
  stream.onclose = () => setTimeout(follow, 1000 + 4000 * Math.random());
}

follow();
`;
