// An echo server on node `ws`, with its defaults.
//
//     node_ws.mjs [--compute] [--deflate]
//
// `--compute`: a handler that computes for a millisecond. `--deflate`: permessage-deflate, which is off
// by default. Run it with INTEROP_MODULES set to the folder that holds node_modules.

import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.INTEROP_MODULES ?? process.cwd(), "peer.mjs"));
const { WebSocketServer } = require("ws");

const options = process.argv.slice(2);
const computes = options.includes("--compute");

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  perMessageDeflate: options.includes("--deflate"),
});
server.on("listening", () => console.log(`listening on ws://127.0.0.1:${server.address().port}`));
server.on("connection", (ws) => {
  ws.on("error", () => {}); // what a peer does wrong is none of the server's business
  ws.on("message", (data, binary) => {
    if (computes) compute();
    ws.send(data, { binary });
  });
});

function compute() {
  const end = performance.now() + 1;
  while (performance.now() < end);
}
