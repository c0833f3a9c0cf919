// One of several servers of Socket.IO with its Redis adapter, for `backplane.rs`:
// node socket_io.mjs DIRECTORY_OF_NODE_MODULES REDIS_URL. The first line is its port.
import { createRequire } from "node:module";
import { createServer } from "node:http";

const [directory, url] = process.argv.slice(2);
const require = createRequire(directory + "/");
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");

const publish = createClient({ url });
const subscribe = publish.duplicate();
await Promise.all([publish.connect(), subscribe.connect()]);
const http = createServer();
const io = new Server(http, {
    adapter: createAdapter(publish, subscribe),
    transports: ["websocket"],
});
io.on("connection", (socket) => {
    socket.on("join", () => socket.join("room 0"));
    socket.on("send", (count, text) => {
        for (let at = 0; at < count; at++) io.to("room 0").emit("m", text);
    });
});
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
