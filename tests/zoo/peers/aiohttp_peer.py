"""aiohttp, both roles. It answers pings and closes itself unless told otherwise, so it is told."""

import asyncio

import aiohttp
from aiohttp import WSMsgType, web

import told


async def talk(ws):
    async for message in ws:
        if message.type == WSMsgType.PING:
            await ws.pong(message.data)
        elif message.type == WSMsgType.PONG:
            await ws.send_str("zoo:pong " + bytes(message.data).decode())
        elif message.type == WSMsgType.BINARY:
            await ws.send_bytes(message.data)
        elif message.type == WSMsgType.TEXT:
            match message.data:
                case "zoo:burst":
                    for text in told.BURST:
                        await ws.send_str(text)
                case "zoo:fragments":
                    await ws.send_str("zoo:cannot")
                case "zoo:ping":
                    await ws.ping(b"zoo")
                case "zoo:close":
                    code, reason = told.CLOSE
                    await ws.close(code=code, message=reason.encode())
                case text:
                    await ws.send_str(text)
        else:
            raise RuntimeError(f"{message!r}")


async def client(url):
    options = {"autoping": False, "compress": 15, "max_msg_size": 0}
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, **options) as ws:
            reason = spy(ws)
            await talk(ws)
            told.closed(ws.close_code, reason and reason[0])


async def accept(request):
    ws = web.WebSocketResponse(autoping=False, compress=True, max_msg_size=0)
    await ws.prepare(request)
    reason = spy(ws)
    await talk(ws)
    told.closed(ws.close_code, reason and reason[0])
    return ws


def spy(ws):
    """The reason of a Close, which iterating over messages keeps for itself."""
    reasons, receive = [], ws.receive

    async def wrapped(*arguments, **options):
        message = await receive(*arguments, **options)
        if message.type == WSMsgType.CLOSE:
            reasons.append(message.extra)
        return message

    ws.receive = wrapped
    return reasons


async def server():
    app = web.Application()
    app.router.add_get("/{case:.*}", accept)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    told.listening(runner.addresses[0][1])
    await asyncio.Event().wait()


told.main(aiohttp.__version__, client, server)
