// Prints each message of the stream as one line, and comes back when the connection ends.

import WebSocket from "ws";

const [address] = process.argv.slice(2);
const RETRY_MS = 100;

function connect() {
  const socket = new WebSocket(address);
  socket.on("message", (data) => process.stdout.write(`${data}\n`));
  socket.on("error", (error) => process.stderr.write(`${error.message}\n`));
  socket.on("close", (code) => {
    process.stdout.write(`${JSON.stringify({ type: "close", code })}\n`);
    setTimeout(connect, RETRY_MS);
  });
}

connect();
