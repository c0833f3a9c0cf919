// faye-websocket with permessage-deflate, both roles.
import http from "node:http";
import * as told from "./told.mjs";

const WebSocket = told.require("faye-websocket");
const deflate = told.require("permessage-deflate");
const { version } = told.require("faye-websocket/package.json");
const OPTIONS = { extensions: [deflate] };

function obey(ws) {
  ws.on("message", ({ data }) => {
    if (data === "zoo:burst") told.BURST.forEach((text) => ws.send(text));
    else if (data === "zoo:fragments") ws.send("zoo:cannot");
    else if (data === "zoo:ping") ws.ping("zoo", () => ws.send("zoo:pong zoo"));
    else if (data === "zoo:close") ws.close(...told.CLOSE);
    else ws.send(data);
  });
  return new Promise((resolve) =>
    ws.on("close", ({ code, reason }) => resolve(told.closed(code, reason))),
  );
}

function server() {
  const httpServer = http.createServer();
  httpServer.on("upgrade", (request, socket, head) => {
    obey(new WebSocket(request, socket, head, [], OPTIONS));
  });
  httpServer.listen(0, "127.0.0.1", () => told.listening(httpServer.address().port));
}

await told.main(version, (url) => obey(new WebSocket.Client(url, [], OPTIONS)), server);
