// WebSocket-Node (`websocket` of npm), both roles; without compression.
import http from "node:http";
import * as told from "./told.mjs";

const { client: Client, server: Server, version } = told.require("websocket");
// longer messages leave in fragments
const fragmentationThreshold = told.PIECE.length;
const OPTIONS = {
  fragmentationThreshold,
  maxReceivedFrameSize: 1 << 24,
  maxReceivedMessageSize: 1 << 24,
};

function obeyText(connection, text) {
  if (text === "zoo:burst") told.BURST.forEach((burst) => connection.sendUTF(burst));
  else if (text === "zoo:fragments") connection.sendUTF(told.FRAGMENTED);
  else if (text === "zoo:ping") connection.ping(Buffer.from("zoo"));
  else if (text === "zoo:close") connection.close(...told.CLOSE);
  else connection.sendUTF(text);
}

function obey(connection) {
  connection.on("message", (message) => {
    if (message.type === "binary") connection.sendBytes(message.binaryData);
    else obeyText(connection, message.utf8Data);
  });
  connection.on("pong", (data) => connection.sendUTF(`zoo:pong ${data}`));
  return new Promise((resolve) =>
    connection.on("close", (code, reason) => resolve(told.closed(code, reason))),
  );
}

function client(url) {
  return new Promise((resolve, reject) => {
    const ws = new Client(OPTIONS);
    ws.on("connectFailed", reject);
    ws.on("connect", (connection) => obey(connection).then(resolve));
    ws.connect(url);
  });
}

function server() {
  const httpServer = http.createServer();
  const ws = new Server({ httpServer, autoAcceptConnections: true, ...OPTIONS });
  ws.on("connect", obey);
  httpServer.listen(0, "127.0.0.1", () => told.listening(httpServer.address().port));
}

await told.main(version, client, server);
