"""The python `websockets` end of the interoperability tests.

    peer.py client URL       runs the scenario against an echo server
    peer.py limit URL LEN    checks that the server takes messages of LEN bytes and no longer ones
    peer.py deflate URL      runs the scenario with permessage-deflate, with every window and with
                             and without context takeover
    peer.py server [BITS TAKEOVER]
                             prints its port, runs the scenario against two echo clients in turn;
                             compressed with windows of 2^BITS bytes, if those are given, and with
                             TAKEOVER `takeover` or `no-takeover`

A server speaks TLS if the environment names TLS_CERTIFICATE and TLS_KEY, two files in PEM form.

Prints `ok` and exits 0 when everything came back as it should; any failure is a traceback and a
non-zero exit status.
"""

import asyncio
import os
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

# A run takes about a second; a peer that hangs must not take the test runner with it.
TIME_LIMIT = 45

MIB = 1024 * 1024
TEXTS = ["", "a", "κόσμε · 日本語 · 🎈", "ß" * 40_000, "\0 \x7f\r\n"]
# The edges of the three length encodings (RFC 6455 §5.2), and one large message.
BINARY_LENGTHS = [0, 1, 125, 126, 127, 65_535, 65_536, MIB]
REASON = "that is all 👋"


def pattern(length: int) -> bytes:
    """Bytes whose period is a prime, so that no displaced piece looks right."""
    period = bytes(i * 7 % 251 for i in range(251))
    return (period * (length // len(period) + 1))[:length]


def same(got, sent) -> None:
    assert type(got) is type(sent), f"got {type(got).__name__}, sent {type(sent).__name__}"
    if got != sent:
        raise AssertionError(f"{len(sent)} sent, {len(got)} came back changed: {got[:80]!r}")


async def scenario(ws) -> None:
    """Everything that an echoing peer must get right, short of closing."""
    for text in TEXTS:
        await ws.send(text)
        same(await ws.recv(), text)
    for length in BINARY_LENGTHS:
        await ws.send(pattern(length))
        same(await ws.recv(), pattern(length))
    await fragments(ws)
    await pings(ws)
    await pipelined(ws)


async def fragments(ws) -> None:
    await ws.send(["κόσ", "", "με ", "🎈"])
    same(await ws.recv(), "κόσμε 🎈")

    # Fragments may end in the middle of a character.
    encoded = "日本🎈".encode()
    await ws.send([encoded[i : i + 1] for i in range(len(encoded))], text=True)
    same(await ws.recv(), "日本🎈")

    payload = pattern(300_000)
    await ws.send([payload[:1], payload[1:126], payload[126:100_000], payload[100_000:]])
    same(await ws.recv(), payload)

    await ws.send([b"", b"", b""])
    same(await ws.recv(), b"")

    # Control frames may arrive between two fragments (§5.4), and are answered there.
    async def interrupted():
        yield "one "
        await (await ws.ping(b"between fragments"))
        yield "message"

    await ws.send(interrupted())
    same(await ws.recv(), "one message")


async def pings(ws) -> None:
    # The future of a ping resolves only with a pong of the same payload.
    for payload in [b"", b"p", pattern(125)]:
        latency = await (await ws.ping(payload))
        assert 0 <= latency < TIME_LIMIT, latency


async def pipelined(ws) -> None:
    messages = [f"message {i}" if i % 2 else pattern(i) for i in range(100)]
    for message in messages:
        await ws.send(message)
    for message in messages:
        same(await ws.recv(), message)


async def close(ws, code: int, reason: str) -> None:
    await ws.close(code, reason)
    received, sent = ws.protocol.close_rcvd, ws.protocol.close_sent
    assert sent.code == code and sent.reason == reason, sent
    assert received is not None, "the peer closed TCP without a Close frame"
    assert received.code == code, f"closed with {code}, the answer was {received}"
    assert not ws.protocol.close_rcvd_then_sent, "the peer closed first"


async def client(url: str) -> None:
    # The default offer of permessage-deflate stays in: a server that does not want it must
    # decline it, as it must the subprotocol.
    async with connect(url, proxy=None, subprotocols=["never.heard.of"]) as ws:
        assert ws.subprotocol is None, ws.subprotocol
        assert ws.protocol.extensions == [], ws.protocol.extensions
        await scenario(ws)
        await close(ws, 1000, REASON)
    async with connect(url, proxy=None, compression=None) as ws:
        await ws.send("second connection")
        same(await ws.recv(), "second connection")
        await close(ws, 4001, REASON)
    async with connect(url, proxy=None, compression=None) as ws:
        await close(ws, 1000, "")


async def limit(url: str, length: int) -> None:
    async with connect(url, proxy=None) as ws:
        await ws.send(pattern(length))
        same(await ws.recv(), pattern(length))
        try:
            await ws.send(pattern(length + 1))
            got = await ws.recv()
            raise AssertionError(f"{length + 1} bytes were echoed: {got[:80]!r}")
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "no Close frame"
            assert closed.rcvd.code == 1009, closed.rcvd


async def deflate(url: str) -> None:
    for bits in range(9, 16):
        for no_takeover in [False, True]:
            factory = ClientPerMessageDeflateFactory(
                server_no_context_takeover=no_takeover,
                client_no_context_takeover=no_takeover,
                server_max_window_bits=bits,
                client_max_window_bits=bits,
            )
            async with connect(url, proxy=None, compression=None, extensions=[factory]) as ws:
                [agreed] = ws.protocol.extensions
                assert agreed.remote_no_context_takeover or not no_takeover, agreed
                assert agreed.remote_max_window_bits <= bits, agreed
                await scenario(ws)
                await close(ws, 1000, REASON)


async def server(extensions: list) -> None:
    finished = asyncio.Queue()

    async def handler(ws) -> None:
        try:
            headers = ws.request.headers
            assert "Sec-WebSocket-Protocol" not in headers, headers
            assert len(ws.protocol.extensions) == len(extensions), ws.protocol.extensions
            if server.connections == 0:
                server.connections += 1
                await scenario(ws)
                await close(ws, 1000, REASON)
            else:
                await ws.send("second connection")
                same(await ws.recv(), "second connection")
                await close(ws, 4001, REASON)
            await finished.put(None)
        except BaseException as error:
            await finished.put(error)
            raise

    server.connections = 0
    compression = None if extensions else "deflate"  # which no client of ours offers by itself
    served = serve(
        handler, "127.0.0.1", 0, extensions=extensions, compression=compression, ssl=tls()
    )
    async with served as listener:
        print(listener.sockets[0].getsockname()[1], flush=True)
        for _ in range(2):
            if error := await finished.get():
                raise error


def tls():
    if "TLS_CERTIFICATE" not in os.environ:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["TLS_CERTIFICATE"], os.environ["TLS_KEY"])
    return context


async def main(arguments: list[str]) -> None:
    async with asyncio.timeout(TIME_LIMIT):
        match arguments:
            case ["client", url]:
                await client(url)
            case ["limit", url, length]:
                await limit(url, int(length))
            case ["deflate", url]:
                await deflate(url)
            case ["server"]:
                await server([])
            case ["server", bits, takeover]:
                no_takeover = {"takeover": False, "no-takeover": True}[takeover]
                factory = ServerPerMessageDeflateFactory(
                    server_no_context_takeover=no_takeover,
                    client_no_context_takeover=no_takeover,
                    server_max_window_bits=int(bits),
                    client_max_window_bits=int(bits),
                )
                await server([factory])
            case _:
                sys.exit(__doc__)
    print("ok", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
