"""The python `websockets` end of these tests.

    client HOW WHERE [CA]  everything that a server must get right
    server HOW [WHERE]     prints where it listens, and serves four clients, of which it lets the
                           first close, closes the second, cuts off the third, refuses the fourth
    bridge HOST PORT       carries standard input and output to a TCP connection, and back
    inetd PROGRAM          prints where it listens, and starts the program for every connection,
    ssh PROGRAM            with the socket, or with two pipes, as its standard input and output

HOW is `tcp`, `tls` or `unix`. The first two print `ok` and exit with 0 when all was well.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
from http import HTTPStatus

sys.path.insert(0, os.environ["INTEROP"])
from peer import close, pattern, same, scenario  # of the tests of the crate

from websockets.asyncio.client import connect, unix_connect
from websockets.asyncio.server import serve, unix_serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

TIME_LIMIT = 50

# More than sockets and TLS hold, in both directions together.
FLOOD = 48


async def client(how: str, where: str, ca: str | None) -> None:
    context = ssl.create_default_context(cafile=ca) if how == "tls" else None

    def ws(path="/", **options):
        if how == "unix":
            return unix_connect(where, f"ws://localhost{path}", **options)
        host, port = where.rsplit(":", 1)
        if how == "tls":
            options |= {"ssl": context, "host": host, "port": port}
            return connect(f"wss://localhost{path}", proxy=None, **options)
        return connect(f"ws://{where}{path}", proxy=None, **options)

    async def raw():
        if how == "unix":
            return await asyncio.open_unix_connection(where)
        host, port = where.rsplit(":", 1)
        name = "localhost" if context else None
        return await asyncio.open_connection(host, int(port), ssl=context, server_hostname=name)

    # Says nothing: it has to be sent away, while all else happens.
    silent = await raw()

    async with ws() as it:
        [extension] = it.protocol.extensions
        assert extension.name == "permessage-deflate", extension
        await scenario(it)
        await close(it, 1000, "that is all 👋")
    async with ws(compression=None) as it:
        assert it.protocol.extensions == [], it.protocol.extensions
        await scenario(it)
        await close(it, 4001, "")

    # What breaks a rule is told which: an unmasked frame is 1002.
    async with ws(compression=None) as it:
        it.transport.write(b"\x81\x00")
        try:
            raise AssertionError(f"{await it.recv()!r} for an unmasked frame")
        except ConnectionClosed as closed:
            assert closed.rcvd is not None and closed.rcvd.code == 1002, closed

    await flood(ws)

    # Cut off: in the middle of a frame, and with an echo on its way.
    it = await ws()
    await it.send(pattern(1 << 20))
    it.transport.write(b"\x82\xfe")
    it.transport.abort()

    try:
        await ws("/elsewhere")
        raise AssertionError("a path that is not there")
    except InvalidStatus as refused:
        assert refused.response.status_code == 404, refused.response

    reader, writer = await raw()
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await reader.read()  # to its end
    assert answer.startswith(b"HTTP/1.1 426 "), answer
    writer.close()

    answer = await silent[0].read()
    assert answer.startswith(b"HTTP/1.1 408 "), answer
    silent[1].close()


async def flood(ws) -> None:
    """A peer that sends and does not read is not read from; all comes back when it does."""
    async with ws(compression=None, max_queue=1) as it:
        sent = 0

        async def send():
            nonlocal sent
            for _ in range(FLOOD):
                await it.send(pattern(1 << 20))
                sent += 1

        sending = asyncio.create_task(send())
        seen = -1
        while seen < sent:
            seen = sent
            await asyncio.sleep(1)
        assert sent < FLOOD, "a server took in more than it could get rid of"
        for _ in range(FLOOD):
            same(await it.recv(), pattern(1 << 20))
        await sending
        await close(it, 1000, "")


async def server(how: str, where: str | None) -> None:
    finished = asyncio.Queue()
    endings = iter(["to its end", "closed", "cut off"])

    async def handler(ws) -> None:
        try:
            match next(endings):
                case "to its end":
                    [extension] = ws.protocol.extensions
                    assert extension.name == "permessage-deflate", extension
                    async for message in ws:
                        await (await ws.ping(pattern(125)))
                        await ws.send(message)
                    assert ws.protocol.close_rcvd_then_sent, "it did not close"
                case "closed":
                    await ws.recv()
                    await close(ws, 4001, "enough")
                case "cut off":
                    await ws.recv()
                    ws.transport.abort()
            await finished.put(None)
        except BaseException as error:
            await finished.put(error)
            raise

    count = 0

    async def refuse(connection, request):
        nonlocal count
        count += 1
        if count == 4:
            await finished.put(None)
            return connection.respond(HTTPStatus.NOT_FOUND, "nobody is here\n")

    if how == "unix":
        served = unix_serve(handler, where, process_request=refuse)
    else:
        context = None
        if how == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(os.environ["TLS_CERTIFICATE"], os.environ["TLS_KEY"])
        served = serve(handler, "127.0.0.1", 0, process_request=refuse, ssl=context)
    async with served as listener:
        name = listener.sockets[0].getsockname()
        print(where if how == "unix" else name[1], flush=True)
        for _ in range(4):
            if error := await finished.get():
                raise error


async def bridge(host: str, port: str) -> None:
    """What `socat - TCP:HOST:PORT` does."""
    reader, writer = await asyncio.open_connection(host, int(port))
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)

    async def there():
        with contextlib.suppress(ConnectionError):
            while data := await stdin.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    async def back():
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await loop.run_in_executor(None, write_all, data)
        os.close(1)

    await asyncio.gather(there(), back())


def write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def listen() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"listening on ws://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    return listener


def inetd(program: str) -> None:
    """Starts the program for every connection, which is its standard input and output."""
    listener = listen()
    while True:
        connection, _ = listener.accept()
        with connection:
            child = subprocess.Popen([program], stdin=connection, stdout=connection)
        threading.Thread(target=child.wait, daemon=True).start()


def ssh(program: str) -> None:
    """Starts the program for every connection, with pipes, and carries bytes to and fro."""
    listener = listen()
    while True:
        carry(listener.accept()[0], program)


def carry(connection: socket.socket, program: str) -> None:
    pipe = subprocess.PIPE
    child = subprocess.Popen([program], stdin=pipe, stdout=pipe, bufsize=0)
    for way in [there, back]:
        threading.Thread(target=way, args=[connection, child], daemon=True).start()


def there(connection: socket.socket, child: subprocess.Popen) -> None:
    with contextlib.suppress(OSError):
        while data := connection.recv(65536):
            while data:
                data = data[child.stdin.write(data) :]
    with contextlib.suppress(OSError):
        child.stdin.close()


def back(connection: socket.socket, child: subprocess.Popen) -> None:
    with contextlib.suppress(OSError):
        while data := child.stdout.read(65536):
            connection.sendall(data)
    child.stdout.close()
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
    child.wait()


async def main(arguments: list[str]) -> None:
    async with asyncio.timeout(TIME_LIMIT):
        match arguments:
            case ["client", how, where]:
                await client(how, where, None)
            case ["client", how, where, ca]:
                await client(how, where, ca)
            case ["server", how]:
                await server(how, None)
            case ["server", how, where]:
                await server(how, where)
            case ["bridge", host, port]:
                return await bridge(host, port)
            case _:
                sys.exit(__doc__)
    print("ok", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["inetd", program]:
            inetd(program)
        case ["ssh", program]:
            ssh(program)
        case arguments:
            asyncio.run(main(arguments))
