// WebSockets over HTTP/2 by node's own implementation of it, and frames by the package `ws`.
//
//     h2.mjs client http://HOST:PORT/PATH    talks to an echo server, and prints `ok`
//     h2.mjs server                          prints its port, and echoes

import assert from 'node:assert';
import http2 from 'node:http2';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { WebSocket } = createRequire(join(process.env.INTEROP_MODULES, 'x.js'))('ws');

// What `ws` does itself behind a handshake of HTTP/1.1.
function open(stream, isServer) {
    const options = { autoPong: true, maxPendingAutoPongs: 16, closeTimeout: 30_000 };
    const ws = new WebSocket(null, undefined, options);
    ws._isServer = isServer;
    ws.setSocket(stream, Buffer.alloc(0), {
        allowSynchronousEvents: true,
        maxPayload: 1 << 24,
        skipUTF8Validation: false,
    });
    return ws;
}

const once = (emitter, event) =>
    new Promise((resolve) => emitter.once(event, (...values) => resolve(values)));

async function client(url) {
    const { origin, pathname } = new URL(url);
    const session = http2.connect(origin);
    const [settings] = await once(session, 'remoteSettings');
    assert(settings.enableConnectProtocol);
    const stream = session.request({
        ':method': 'CONNECT',
        ':protocol': 'websocket',
        ':path': pathname,
        'sec-websocket-version': '13',
    });
    const [headers] = await once(stream, 'response');
    assert.equal(headers[':status'], 200);
    assert.equal(headers['sec-websocket-accept'], undefined);

    const ws = open(stream, false);
    // larger than the windows of flow control, which are 64 KiB at first
    for (const sent of ['κόσμε 🎈', '', 'x'.repeat(1 << 20)]) {
        ws.send(sent);
        const [got] = await once(ws, 'message');
        assert.equal(got.toString(), sent);
    }
    ws.ping('here?');
    assert.equal((await once(ws, 'pong'))[0].toString(), 'here?');
    ws.close(4001, 'that is all');
    const [code] = await once(ws, 'close');
    assert.equal(code, 4001);
    assert.equal(stream.rstCode, http2.constants.NGHTTP2_NO_ERROR);
    session.close();
    console.log('ok');
}

function server() {
    const server = http2.createServer({ settings: { enableConnectProtocol: true } });
    server.on('stream', (stream, headers) => {
        assert.equal(headers[':protocol'], 'websocket');
        assert.equal(headers['sec-websocket-version'], '13');
        for (const name of ['connection', 'upgrade', 'host', 'sec-websocket-key']) {
            assert.equal(headers[name], undefined, name);
        }
        stream.respond({ ':status': 200 });
        const ws = open(stream, true);
        ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
    });
    server.listen(0, '127.0.0.1', () => console.log(server.address().port));
}

const [mode, url] = process.argv.slice(2);
await (mode === 'client' ? client(url) : server());
