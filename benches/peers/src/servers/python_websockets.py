"""A server on python `websockets`, with its defaults.

python_websockets.py [--broadcast]

It sends every message back, compressed if the client offers it, or with --broadcast to all clients
without compression. Run it with the python of the environment that tests/interop/install.sh makes.
"""

import asyncio
import sys

from websockets.asyncio.server import broadcast, serve

BROADCAST = "--broadcast" in sys.argv


async def handle(connection):
    async for message in connection:
        if BROADCAST:
            broadcast(connection.server.connections, message)
        else:
            await connection.send(message)


async def main():
    compression = None if BROADCAST else "deflate"
    async with serve(handle, "127.0.0.1", 0, compression=compression) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"listening on ws://127.0.0.1:{port}", flush=True)
        await server.serve_forever()


asyncio.run(main())
