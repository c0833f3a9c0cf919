"""Settings of routes and rates of the event server, as python's websockets sees them.

The argument is the URL of the server; `tests/server/rates.rs` says what its routes are.
"""

import asyncio
import sys
import time

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


async def closed(ws):
    """The code with which the server closes."""
    try:
        while True:
            await ws.recv()
    except ConnectionClosed as end:
        return end.rcvd and end.rcvd.code


async def main(url):
    # ten at once and ten a second after that: none is lost, and their order stays
    async with connect(url + "/paced") as ws:
        began = time.monotonic()
        for number in range(20):
            await ws.send(str(number))
        for number in range(20):
            assert await ws.recv() == str(number)
        assert time.monotonic() - began > 0.5, "faster than the rate"
        await ws.ping()
    async with connect(url + "/strict") as ws:
        try:
            for _ in range(20):
                await ws.send("x")
        except ConnectionClosed:
            pass
        assert await closed(ws) == 1008
    async with connect(url + "/idle") as ws:
        assert await closed(ws) == 1001
    async with connect(url + "/short", max_size=None) as ws:
        await ws.send("x" * 11)
        assert await closed(ws) == 1009
    async with connect(url + "/spoken", subprotocols=["v1", "v2"]) as ws:
        assert ws.subprotocol == "v2", ws.subprotocol
    async with connect(url + "/one"):
        try:
            async with connect(url + "/one"):
                raise AssertionError("two connections")
        except InvalidStatus as refused:
            assert refused.response.status_code == 503
    print("ok")


asyncio.run(main(sys.argv[1]))
