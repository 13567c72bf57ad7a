// A peer: ws, one send per consumer and message. Prints {"port":..,"feed":..}; messages come over a
// connection to the feed's port, after a line `FEED`, each after its length (32 bits, network order).
"use strict";

const net = require("node:net");
const { WebSocketServer } = require("ws");

const LENGTH_BYTES = 4;
const GREETING = "FEED\n";
const HOST = "127.0.0.1";

const consumers = new WebSocketServer({ host: HOST, port: 0, backlog: 4096, perMessageDeflate: false });

const feed = net.createServer((connection) => {
  let unread = Buffer.alloc(0);
  let greeted = false;
  connection.on("error", () => connection.destroy());
  connection.on("data", (data) => {
    unread = unread.length ? Buffer.concat([unread, data]) : data;
    if (!greeted) {
      if (unread.length < GREETING.length) return;
      unread = unread.subarray(GREETING.length);
      greeted = true;
    }
    while (unread.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + unread.readUInt32BE(0);
      if (unread.length < end) break;
      const payload = unread.subarray(LENGTH_BYTES, end);
      for (const consumer of consumers.clients) consumer.send(payload, { binary: false });
      unread = unread.subarray(end);
    }
  });
});

consumers.on("connection", (consumer) => consumer.on("error", () => consumer.terminate()));
consumers.on("listening", () => {
  feed.listen(0, HOST, () => {
    const ports = { port: consumers.address().port, feed: feed.address().port };
    process.stdout.write(JSON.stringify(ports) + "\n");
  });
});
