// undici: the WebSocket of browsers, which has neither pings nor a server. It answers pings.
import * as told from "./told.mjs";

const { WebSocket } = told.require("undici");
const { version } = told.require("undici/package.json");

function client(url) {
  const ws = new WebSocket(url);
  ws.binaryType = "arraybuffer";
  ws.onmessage = ({ data }) => {
    if (data === "zoo:burst") told.BURST.forEach((text) => ws.send(text));
    else if (data === "zoo:ping" || data === "zoo:fragments") ws.send("zoo:cannot");
    else if (data === "zoo:close") ws.close(...told.CLOSE);
    else ws.send(data);
  };
  return new Promise((resolve) => {
    ws.onclose = ({ code, reason }) => resolve(told.closed(code, reason));
  });
}

await told.main(version, client);
