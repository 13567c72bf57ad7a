// The same with the WebSocket that is built into node, as browsers have it.

const [address] = process.argv.slice(2);
const socket = new WebSocket(address);

socket.onmessage = (event) => process.stdout.write(`${event.data}\n`);
socket.onerror = (event) => process.stderr.write(`${event.message ?? "error"}\n`);
socket.onclose = (event) => process.stdout.write(`${JSON.stringify({ type: "close", code: event.code })}\n`);
