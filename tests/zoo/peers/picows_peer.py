"""picows, both roles: frames, and no compression."""

import asyncio
from importlib.metadata import version

from picows import WSListener, WSMsgType, ws_connect, ws_create_server

import told


class Obedient(WSListener):
    """Puts fragments together; sansws sends none here."""

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
        elif not frame.fin:
            raise RuntimeError("a fragment")
        else:
            self.obey(transport, frame)

    def obey(self, transport, frame):
        match payload := frame.get_payload_as_bytes():
            case b"zoo:burst":
                for text in told.BURST:
                    transport.send(WSMsgType.TEXT, text.encode())
            case b"zoo:ping":
                transport.send_ping(b"zoo")
            case b"zoo:close":
                code, reason = told.CLOSE
                transport.send_close(code, reason.encode())
            case _:
                transport.send(frame.msg_type, payload)


async def client(url):
    transport, _ = await ws_connect(Obedient, url)
    await transport.wait_disconnected()


async def server():
    listener = await ws_create_server(lambda request: Obedient(), "127.0.0.1", 0)
    told.listening(listener.sockets[0].getsockname()[1])
    await listener.serve_forever()


told.main(version("picows"), client, server)
