// An echo server on node `ws`, with its defaults.
//
//     node_ws.mjs [--compute] [--broadcast] [--deflate [--all]]
//
// `--compute`: a handler that computes for a millisecond. `--broadcast`: messages go to
// all clients. `--deflate`: permessage-deflate, which is off by default, and with `--all` for messages
// of any length. Run it with INTEROP_MODULES set to the folder that holds node_modules.

import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.INTEROP_MODULES ?? process.cwd(), "peer.mjs"));
const { WebSocketServer } = require("ws");

const options = process.argv.slice(2);
const computes = options.includes("--compute");
const broadcasts = options.includes("--broadcast");

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  perMessageDeflate: options.includes("--deflate") && (options.includes("--all") ? { threshold: 0 } : true),
});
server.on("listening", () => console.log(`listening on ws://127.0.0.1:${server.address().port}`));
server.on("connection", (ws) => {
  ws.on("error", () => {}); // what a peer does wrong is none of the server's business
  ws.on("message", (data, binary) => {
    if (computes) compute();
    for (const to of broadcasts ? server.clients : [ws]) to.send(data, { binary });
  });
});

function compute() {
  const end = performance.now() + 1;
  while (performance.now() < end);
}
