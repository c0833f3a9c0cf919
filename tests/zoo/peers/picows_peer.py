"""picows, both roles: frames, and no compression."""

import asyncio
from importlib.metadata import version

from picows import WSListener, WSMsgType, ws_connect, ws_create_server

import told


class Obedient(WSListener):
    """Puts fragments together."""

    def __init__(self):
        super().__init__()
        self.kind, self.message = None, b""

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.PONG:
            transport.send(WSMsgType.TEXT, b"zoo:pong " + frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            code, reason = frame.get_close_code(), frame.get_close_message()
            told.closed(int(code), (reason or b"").decode())
            transport.send_close(code, reason)
            transport.disconnect()
        else:
            if frame.msg_type != WSMsgType.CONTINUATION:
                self.kind, self.message = frame.msg_type, b""
            self.message += frame.get_payload_as_bytes()
            if frame.fin:
                self.obey(transport)

    def obey(self, transport):
        match self.message:
            case b"zoo:burst":
                for text in told.BURST:
                    transport.send(WSMsgType.TEXT, text.encode())
            case b"zoo:fragments":
                for number, (piece, last) in enumerate(told.FRAGMENTS):
                    kind = WSMsgType.CONTINUATION if number else WSMsgType.TEXT
                    transport.send(kind, piece.encode(), last)
            case b"zoo:ping":
                transport.send_ping(b"zoo")
            case b"zoo:close":
                code, reason = told.CLOSE
                transport.send_close(code, reason.encode())
            case _:
                transport.send(self.kind, self.message)


async def client(url):
    transport, _ = await ws_connect(Obedient, url)
    await transport.wait_disconnected()


async def server():
    listener = await ws_create_server(lambda request: Obedient(), "127.0.0.1", 0)
    told.listening(listener.sockets[0].getsockname()[1])
    await listener.serve_forever()


told.main(version("picows"), client, server)
