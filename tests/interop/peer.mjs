// The node `ws` end of the interoperability tests.
//
//     peer.mjs client URL       runs the scenario against an echo server
//     peer.mjs limit URL LEN    checks that the server takes messages of LEN bytes, no longer ones
//     peer.mjs server           prints its port, runs the scenario against two echo clients in turn
//
// A server speaks TLS if the environment names TLS_CERTIFICATE and TLS_KEY, two files in PEM form.
//
// Prints `ok` and exits 0 when everything came back as it should; any failure is a stack trace and
// a non-zero exit status. Run it with INTEROP_MODULES set to the folder that holds node_modules:
// modules are looked up from there, because nothing is ever installed beside this file.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.INTEROP_MODULES ?? process.cwd(), "peer.mjs"));
const { WebSocket, WebSocketServer } = require("ws");

// A run takes about a second; a peer that hangs must not take the test runner with it.
const TIME_LIMIT = 45_000;

const MIB = 1024 * 1024;
const TEXTS = ["", "a", "κόσμε · 日本語 · 🎈", "ß".repeat(40_000), "\0 \x7f\r\n"];
// The edges of the three length encodings (RFC 6455 §5.2), and one large message.
const BINARY_LENGTHS = [0, 1, 125, 126, 127, 65_535, 65_536, MIB];
const REASON = "that is all 👋";

// Bytes whose period is a prime, so that no displaced piece looks right.
const PERIOD = Buffer.from(Array.from({ length: 251 }, (_, i) => (i * 7) % 251));
const pattern = (length) => Buffer.alloc(length, PERIOD);

// One connection: what arrives is queued from the first moment on, and awaited in order.
class Peer {
  constructor(ws) {
    this.ws = ws;
    this.opened = ws.readyState === WebSocket.OPEN ? Promise.resolve() : once(ws, "open");
    this.messages = new Queue();
    this.pongs = new Queue();
    this.closed = new Queue();
    ws.on("message", (data, binary) => this.messages.push(binary ? data : data.toString("utf8")));
    ws.on("pong", (data) => this.pongs.push(data));
    ws.on("close", (code, reason) => {
      this.closed.push({ code, reason: reason.toString("utf8") });
      this.messages.fail(new Error(`closed with ${code} ${reason} while a message was due`));
      this.pongs.fail(new Error(`closed with ${code} ${reason} while a pong was due`));
    });
    ws.on("error", (error) => this.messages.fail(error));
  }

  send(data, options) {
    this.ws.send(data, options);
  }

  async echoes(expected) {
    same(await this.messages.shift(), expected);
  }

  // RFC 6455 §5.5.1: the answer to a Close carries the code that it answers.
  async close(code, reason) {
    assert.equal(this.ws.readyState, WebSocket.OPEN);
    this.ws.close(code, reason);
    const answer = await this.closed.shift();
    assert.equal(answer.code, code, `closed with ${code}, the answer was ${answer.code}`);
  }
}

class Queue {
  #items = [];
  #waiting = [];
  #error;

  push(item) {
    const waiter = this.#waiting.shift();
    if (waiter) waiter.resolve(item);
    else this.#items.push(item);
  }

  fail(error) {
    this.#error ??= error;
    for (const waiter of this.#waiting.splice(0)) waiter.reject(this.#error);
  }

  shift() {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    if (this.#error) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }
}

function once(emitter, event) {
  return new Promise((resolve, reject) => {
    emitter.once(event, resolve);
    emitter.once("error", reject);
  });
}

function same(got, sent) {
  assert.equal(Buffer.isBuffer(got), Buffer.isBuffer(sent), "text came back as binary or vice versa");
  const equal = Buffer.isBuffer(sent) ? got.equals(sent) : got === sent;
  const excerpt = got.subarray?.(0, 80) ?? got.slice(0, 80);
  assert.ok(equal, `${sent.length} sent, ${got.length} came back changed: ${excerpt}`);
}

// Everything that an echoing peer must get right, short of closing.
async function scenario(peer) {
  for (const text of TEXTS) {
    peer.send(text);
    await peer.echoes(text);
  }
  for (const length of BINARY_LENGTHS) {
    peer.send(pattern(length));
    await peer.echoes(pattern(length));
  }
  await fragments(peer);
  await pings(peer);
  await pipelined(peer);
}

async function fragments(peer) {
  sendFragments(peer, ["κόσ", "", "με ", "🎈"]);
  await peer.echoes("κόσμε 🎈");

  // Fragments may end in the middle of a character.
  const encoded = Buffer.from("日本🎈");
  sendFragments(peer, Array.from(encoded, (_, i) => encoded.subarray(i, i + 1)), { binary: false });
  await peer.echoes("日本🎈");

  const payload = pattern(300_000);
  const cuts = [0, 1, 126, 100_000, payload.length];
  sendFragments(peer, cuts.slice(1).map((end, i) => payload.subarray(cuts[i], end)));
  await peer.echoes(payload);

  sendFragments(peer, [Buffer.alloc(0), Buffer.alloc(0), Buffer.alloc(0)]);
  await peer.echoes(Buffer.alloc(0));

  // Control frames may arrive between two fragments (§5.4), and are answered there.
  peer.send("one ", { fin: false });
  peer.ws.ping("between fragments");
  same(await peer.pongs.shift(), Buffer.from("between fragments"));
  peer.send("message", { fin: true });
  await peer.echoes("one message");
}

function sendFragments(peer, parts, options = {}) {
  parts.forEach((part, i) => peer.send(part, { ...options, fin: i === parts.length - 1 }));
}

async function pings(peer) {
  for (const payload of [Buffer.alloc(0), Buffer.from("p"), pattern(125)]) {
    peer.ws.ping(payload);
    same(await peer.pongs.shift(), payload);
  }
}

async function pipelined(peer) {
  const messages = Array.from({ length: 100 }, (_, i) => (i % 2 ? `message ${i}` : pattern(i)));
  for (const message of messages) peer.send(message);
  for (const message of messages) await peer.echoes(message);
}

async function connect(url, options) {
  const peer = new Peer(new WebSocket(url, [], options));
  await peer.opened;
  return peer;
}

async function client(url) {
  // The default offer of permessage-deflate stays in: a server that does not want it must
  // decline it.
  const first = await connect(url);
  assert.equal(first.ws.protocol, "");
  assert.equal(first.ws.extensions, "");
  await scenario(first);
  await first.close(1000, REASON);

  const second = await connect(url, { perMessageDeflate: false });
  second.send("second connection");
  await second.echoes("second connection");
  await second.close(4001, REASON);

  // A Close without a code is answered without one; 1005 stands for that (§7.1.5).
  const third = await connect(url, { perMessageDeflate: false });
  third.ws.close();
  assert.equal((await third.closed.shift()).code, 1005);
}

async function limit(url, length) {
  const peer = await connect(url);
  peer.send(pattern(length));
  await peer.echoes(pattern(length));
  peer.send(pattern(length + 1));
  await assert.rejects(peer.messages.shift(), `${length + 1} bytes were echoed`);
  assert.equal((await peer.closed.shift()).code, 1009);
}

function deflateOptions(bits, noTakeover) {
  return {
    threshold: 0,
    // `false` would forbid it to the other end
    serverNoContextTakeover: noTakeover || undefined,
    clientNoContextTakeover: noTakeover || undefined,
    serverMaxWindowBits: bits,
    clientMaxWindowBits: bits,
  };
}

async function deflate(url) {
  for (let bits = 9; bits <= 15; bits++) {
    for (const noTakeover of [false, true]) {
      const peer = await connect(url, { perMessageDeflate: deflateOptions(bits, noTakeover) });
      assert.equal(peer.ws.extensions, "permessage-deflate");
      await scenario(peer);
      await peer.close(1000, REASON);
    }
  }
}

async function server(bits, takeover) {
  const compressed = bits !== undefined;
  const perMessageDeflate = compressed ? deflateOptions(bits, takeover === "no-takeover") : true;
  const { TLS_CERTIFICATE, TLS_KEY } = process.env;
  let listener;
  if (TLS_CERTIFICATE) {
    const pem = { cert: readFileSync(TLS_CERTIFICATE), key: readFileSync(TLS_KEY) };
    const secure = createServer(pem).listen(0, "127.0.0.1");
    await once(secure, "listening");
    listener = new WebSocketServer({ server: secure, perMessageDeflate });
  } else {
    listener = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate });
    await once(listener, "listening");
  }
  console.log(listener.address().port);

  await new Promise((resolve, reject) => {
    let connections = 0;
    listener.on("connection", (ws, request) => {
      const run = async (number) => {
        const peer = new Peer(ws);
        assert.equal(request.headers["sec-websocket-protocol"], undefined);
        assert.equal(ws.extensions, compressed ? "permessage-deflate" : "");
        if (number === 1) {
          await scenario(peer);
          await peer.close(1000, REASON);
        } else {
          peer.send("second connection");
          await peer.echoes("second connection");
          await peer.close(4001, REASON);
          resolve();
        }
      };
      run((connections += 1)).catch(reject);
    });
  });
}

setTimeout(() => {
  console.error(`not finished after ${TIME_LIMIT / 1000} s`);
  process.exit(1);
}, TIME_LIMIT).unref();

const [mode, url, length] = process.argv.slice(2); // of `server`: the window bits and the takeover
if (mode === "client" && url) await client(url);
else if (mode === "limit" && url && length) await limit(url, Number(length));
else if (mode === "deflate" && url) await deflate(url);
else if (mode === "server" && url) await server(Number(url), length);
else if (mode === "server") await server();
else {
  console.error("usage: peer.mjs client URL | limit URL LEN | deflate URL | server [BITS TAKEOVER]");
  process.exit(2);
}
console.log("ok");
process.exit(0);
